"""The one door for images: allow-listed formats, a pixel cap, and a decision for every pixel format."""

from __future__ import annotations

import logging
import os
import re
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import PHOTOMETRIC_INTERPRETATION

from chinspect.errors import ImageWarning, InputError, MissingImageError, one_line
from chinspect.images.pixels import AnyImage, of_pixels

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP")
"""Formats that are decoded. The list is short on purpose: rarely used decoders are where the holes are."""
MAX_PIXELS = 89_478_485
"""Largest number of pixels that is decoded: Pillow's own limit, at which Pillow itself only warns."""
MIN_SIDE = 8
"""Shortest side, in pixels, that is accepted: below it there is nothing to explain."""

_STANDARD_ERROR = threading.Lock()
_ORIENTATION = 0x0112  # of EXIF
_DARK = 65536 // 16  # 12 bits in a file of 16, as X-ray detectors give them, stay below
_HIDDEN = 0.01  # of the pixels: rounded corners and antialiased edges hide less

# Pillow logs what it cannot read, which would reach the user's terminal where nobody has set up logging.
logging.getLogger("PIL").addHandler(logging.NullHandler())

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

    The size is checked in the header, before anything is decoded. The EXIF orientation is applied. Of a file of several
    frames or pages the first is taken; see `to_rgb` for the pixel formats. ICC profiles are ignored, as torchvision and
    open_clip do.

    Raises `MissingImageError`, an `InputError`, for a path that is no regular file, and `InputError` for an empty file,
    a file in no format of `FORMATS` or in a variant that Pillow does not decode, a damaged or truncated file, more than
    `MAX_PIXELS` pixels, or a side shorter than `MIN_SIDE`. Warns with `ImageWarning`, once a file, of 16-bit greyscale
    that uses less than a sixteenth of its range, of frames beyond the first, and of transparency that hides more than
    1 % of the pixels.
    """
    path = Path(path)
    with opened(path) as (image, frames):
        notes = [_of_frames(frames), _of_range(image), _of_alpha(image)]
        picture = to_rgb(image)
    for note in filter(None, notes):
        _warn(str(path), note)
    return picture


def open_rgba(path: str | Path) -> Image.Image:
    """Read one file of a picture with transparency, which is to lie on another, as 8-bit RGBA.

    Raises `InputError` as `open_image` does, and for a file that is no PNG or has no transparency.
    """
    with opened(Path(path)) as (image, _):
        if image.format != "PNG" or not image.has_transparency_data:
            raise InputError("the file must be a PNG with transparency: save it as RGBA.")
        return image.convert("RGBA")


@contextmanager
def opened(path: Path) -> Iterator[tuple[Image.Image, bool]]:
    """The decoded, upright image of a file in its own pixel format, and whether frames or pages follow it.

    Inside the context Pillow's own warnings are silent: what a user should know is said in sentences of this package.

    Raises `InputError` as `open_image` does, also for what is raised inside the context, with the path before it.
    """
    check_image_file(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                _check_size(*image.size)
                with _libtiff_silent() if image.format == "TIFF" else nullcontext():
                    image.load()
                upright = _black_is_zero(ImageOps.exif_transpose(image), image)
                upright.format = image.format
                yield upright, _has_more(image)
    except InputError as error:
        raise InputError(f"{str(path)!r}: {error}") from error
    except UnidentifiedImageError as error:
        raise InputError(f"{str(path)!r} is not an image in one of the formats {', '.join(FORMATS)}.") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        pixels = re.search(r"\d+", str(error))
        raise InputError(f"{str(path)!r}: {_too_large(pixels[0] if pixels else 'too many')}") from error
    except _DAMAGED as error:
        raise InputError(f"{str(path)!r} {_undecoded(error)}.") from error


def as_picture(image: AnyImage) -> Image.Image:
    """A picture from its path, see `open_image`, or from its pixels, see `chinspect.images.pixels`, or the picture
    itself, turned upright as its EXIF orientation says.

    Raises `InputError` as `open_image` does, for pixels that are none, and for a picture whose size is out of range.
    Warns of transparency, too.
    """
    if isinstance(image, str | Path):
        return open_image(image)
    if not isinstance(image, Image.Image):
        image = of_pixels(image)
    _check_size(*image.size)
    if note := _of_alpha(image):
        warnings.warn(f"The picture {note}.", ImageWarning, stacklevel=2)
    return ImageOps.exif_transpose(image) if image.getexif().get(_ORIENTATION, 1) != 1 else image


def as_pixels(image: AnyImage) -> NDArray[Any]:
    """An array as it is; any other image, see `as_picture`, as uint8 pixels (H, W, 3)."""
    return image if isinstance(image, np.ndarray) else np.asarray(to_rgb(as_picture(image)))


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert a decoded image to RGB by fixed rules; the rules never look at the pixel values.

    * 16-bit greyscale is scaled linearly, 65535 to 255 (`open_image` inverts TIFF files whose 0 is white). Stretching
      each image to its own range would make the picture depend on its brightest pixel: an artefact of its own.
    * Alpha is dropped: what is seen are the stored colours, also where they are transparent. So do torchvision, timm
      and open_clip, by Pillow's ``convert("RGB")``, and what is explained has to be what the model sees.
    * CMYK, YCbCr, HSV, greyscale, 1-bit and palette images are converted as Pillow does.

    Raises `InputError` for 32-bit integer, floating point and other pixels without a fixed range.
    """
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I;16"):
        grey = np.asarray(image) / 257.0  # 65535 = 255 * 257, so that white stays white
        return Image.fromarray(np.round(grey).astype(np.uint8)).convert("RGB")
    if image.mode in ("La", "RGBa"):  # colours multiplied by alpha, which Pillow divides again on the way
        return image.convert(image.mode.upper()).convert("RGB")
    if image.mode in ("1", "L", "P", "PA", "LA", "RGBA", "CMYK", "YCbCr", "HSV"):
        return image.convert("RGB")
    raise InputError(f"pixels of mode {image.mode!r} have no fixed range; save the image with 8 or 16 bits a channel.")


def alpha_of(image: Image.Image) -> NDArray[np.uint8] | None:
    """The opacity of each pixel (H, W), 0 transparent to 255; None where all are opaque."""
    if image.mode not in ("PA", "LA", "La", "RGBA", "RGBa") and "transparency" not in image.info:
        return None
    bands = image if image.mode not in ("La", "RGBa") else image.convert(image.mode.upper())
    alpha = np.asarray(bands.convert("RGBA"))[..., 3]
    return None if alpha.min() == 255 else alpha


def _of_alpha(image: Image.Image) -> str:
    alpha = alpha_of(image)
    if alpha is None:
        return ""
    remedy = "lay it on a background to decide what is seen"
    pixels = np.asarray(to_rgb(image))
    if bool((pixels == pixels[0, 0]).all()):
        return f"is of one colour without its transparency, which models do not see: {remedy}"
    hidden = float((alpha < 128).mean())  # what is more than half transparent is mostly not what is shown
    if hidden <= _HIDDEN:
        return ""
    return f"hides {hidden:.0%} of its pixels by transparency, and models see the colours stored there: {remedy}"


def _of_frames(more: bool) -> str:
    return "holds several frames or pages, of which the first is read" if more else ""


def _of_range(image: Image.Image) -> str:
    if not image.mode.startswith("I;16") or (largest := int(np.asarray(image).max())) >= _DARK:
        return ""
    return (
        f"uses 0 to {largest} of its 16 bits (65535 is white) and is read as almost black: where it holds 12 bits or "
        "fewer, multiply its values to fill 16 and save it again"
    )


@cache  # once a file, however often it is read: Python forgets what it has shown wherever filters change
def _warn(path: str, note: str) -> None:
    warnings.warn(f"{path!r} {note}.", ImageWarning, stacklevel=3)


@contextmanager
def _libtiff_silent() -> Iterator[None]:
    """Nothing is written to the process's standard error, where libtiff tells of damage on its own.

    What it tells comes back as an exception all the same. One thread at a time, so that each restores what it found.
    """
    with _STANDARD_ERROR, open(os.devnull, "wb") as nowhere:
        before = os.dup(2)
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(before, 2)
            os.close(before)


def _has_more(image: Image.Image) -> bool:
    """Whether frames or pages follow the first; no where they cannot be found."""
    try:
        return bool(getattr(image, "is_animated", False))
    except _DAMAGED:
        return False


def _undecoded(error: Exception) -> str:
    """What is wrong with a file that Pillow opens and does not decode: it is of another variant, or damaged."""
    if re.search("unsupported|not supported|unknown", str(error), re.IGNORECASE):
        return f"is of a variant of its format that is not decoded ({one_line(error)}); save it as PNG"
    return f"is damaged or truncated and cannot be decoded ({one_line(error)}); save it again"


def _black_is_zero(upright: Image.Image, image: Image.Image) -> Image.Image:
    """16-bit TIFF files that count from white, inverted: Pillow inverts those of 8 bits only."""
    if image.mode.startswith("I;16") and getattr(image, "tag_v2", {}).get(PHOTOMETRIC_INTERPRETATION) == 0:
        return Image.fromarray(65535 - np.asarray(upright).astype(np.uint16))
    return upright


def check_image_file(path: str | Path) -> None:
    """`InputError` where there is no file that could hold an image, before long work begins; it is not decoded."""
    path = Path(path)
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


def _too_large(pixels: str) -> str:
    return f"the image has {pixels} pixels, a possible decompression bomb (the limit is {MAX_PIXELS}); scale it down."
