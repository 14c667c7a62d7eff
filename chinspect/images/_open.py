"""The one door for images: allow-listed formats, a pixel cap, and a decision for every pixel format."""

from __future__ import annotations

import re
import struct
import warnings
import zlib
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import PHOTOMETRIC_INTERPRETATION

from chinspect.errors import ImageWarning, InputError, MissingImageError

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP")
"""Formats that are decoded. The list is short on purpose: rarely used decoders are where the holes are."""
MAX_PIXELS = 89_478_485
"""Largest number of pixels that is decoded: Pillow's own limit, at which Pillow itself only warns."""
MIN_SIDE = 8
"""Shortest side, in pixels, that is accepted: below it there is nothing to explain."""

_ORIENTATION = 0x0112  # of EXIF
_DARK = 65536 // 16  # 12 bits in a file of 16, as X-ray detectors give them, stay below

# what Pillow's decoders raise on damaged files, by fuzzing them
_DAMAGED = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    RuntimeError,
    OverflowError,
    MemoryError,
    struct.error,
    zlib.error,
)


def open_image(path: str | Path) -> Image.Image:
    """Read one image file as 8-bit RGB, upright, with nothing left open.

    The size is checked in the header, before anything is decoded. The EXIF orientation is applied. Of an animated file
    the first frame is taken; see `to_rgb` for the pixel formats. ICC profiles are ignored, as torchvision and open_clip
    do.

    Raises `MissingImageError`, an `InputError`, for a path that is no regular file, and `InputError` for an empty file,
    a file in no format of `FORMATS`, a damaged or truncated file, more than `MAX_PIXELS` pixels, or a side shorter than
    `MIN_SIDE`. Warns with `ImageWarning`, once
    a file, of 16-bit greyscale that uses less than a sixteenth of its range.
    """
    path = Path(path)
    _check_file(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                _check_size(*image.size)
                image.load()
                upright = _black_is_zero(ImageOps.exif_transpose(image), image)
                _check_range(path, upright)
                return to_rgb(upright)
    except InputError as error:
        raise InputError(f"{str(path)!r}: {error}") from error
    except UnidentifiedImageError as error:
        raise InputError(f"{str(path)!r} is not an image in one of the formats {', '.join(FORMATS)}.") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        pixels = re.search(r"\d+", str(error))
        raise InputError(f"{str(path)!r}: {_too_large(pixels[0] if pixels else 'too many')}") from error
    except _DAMAGED as error:
        raise InputError(
            f"{str(path)!r} is damaged or truncated and cannot be decoded ({error}); save it again."
        ) from error


def as_picture(image: str | Path | Image.Image) -> Image.Image:
    """A picture from its path, see `open_image`, or the picture itself, turned upright as its EXIF orientation says.

    Raises `InputError` as `open_image` does, and for a picture whose size is out of range.
    """
    if not isinstance(image, Image.Image):
        return open_image(image)
    _check_size(*image.size)
    return ImageOps.exif_transpose(image) if image.getexif().get(_ORIENTATION, 1) != 1 else image


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert a decoded image to RGB by fixed rules; the rules never look at the pixel values.

    * 16-bit greyscale is scaled linearly, 65535 to 255 (`open_image` inverts TIFF files whose 0 is white). Stretching
      each image to its own range would make the picture depend on its brightest pixel: an artefact of its own.
    * Palette and alpha are composited on white.
    * CMYK, YCbCr, HSV, greyscale and 1-bit images are converted as Pillow does.

    Raises `InputError` for 32-bit integer, floating point and other pixels without a fixed range.
    """
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I;16"):
        grey = np.asarray(image) / 257.0  # 65535 = 255 * 257, so that white stays white
        return Image.fromarray(np.round(grey).astype(np.uint8)).convert("RGB")
    if image.mode in ("P", "PA", "LA", "La", "RGBA", "RGBa") or "transparency" in image.info:
        return _on_white(image)
    if image.mode in ("1", "L", "CMYK", "YCbCr", "HSV"):
        return image.convert("RGB")
    raise InputError(f"pixels of mode {image.mode!r} have no fixed range; save the image with 8 or 16 bits a channel.")


def _black_is_zero(upright: Image.Image, image: Image.Image) -> Image.Image:
    """16-bit TIFF files that count from white, inverted: Pillow inverts those of 8 bits only."""
    if image.mode.startswith("I;16") and getattr(image, "tag_v2", {}).get(PHOTOMETRIC_INTERPRETATION) == 0:
        return Image.fromarray(65535 - np.asarray(upright).astype(np.uint16))
    return upright


def _on_white(image: Image.Image) -> Image.Image:
    coloured = image.convert("RGBA")
    white = Image.new("RGBA", coloured.size, "white")
    return Image.alpha_composite(white, coloured).convert("RGB")


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise MissingImageError(f"{str(path)!r} is a folder; give the path of one image.")
    if not path.exists():
        raise MissingImageError(f"{str(path)!r} does not exist; check the path of the image.")
    if not path.is_file():  # a pipe or a device could block or never end
        raise MissingImageError(f"{str(path)!r} is not a regular file; give the path of an image.")
    if path.stat().st_size == 0:
        raise InputError(f"{str(path)!r} is empty (0 bytes); save the image again.")


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise InputError(_too_large(f"{width} x {height}"))
    if min(width, height) < MIN_SIDE:
        raise InputError(f"the image has {width} x {height} pixels, and each side needs at least {MIN_SIDE}.")


def _check_range(path: Path, image: Image.Image) -> None:
    if image.mode.startswith("I;16") and (largest := int(np.asarray(image).max())) < _DARK:
        _warn_dark(str(path), largest)


@cache  # once a file, however often it is read: Python forgets what it has shown wherever filters change
def _warn_dark(path: str, largest: int) -> None:
    used = f"uses 0 to {largest} of its 16 bits (65535 is white) and is read as almost black"
    remedy = "where it holds 12 bits or fewer, multiply its values to fill 16 and save it again"
    warnings.warn(f"{path!r} {used}: {remedy}.", ImageWarning, stacklevel=4)


def _too_large(pixels: str) -> str:
    return f"the image has {pixels} pixels, a possible decompression bomb (the limit is {MAX_PIXELS}); scale it down."
