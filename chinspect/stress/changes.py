"""Changes that should not matter: what cameras, formats and loaders do to an image on its way to a detector.

A detector whose decisions change under one of them relies on something that is no property of the object.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from chinspect.errors import InputError, did_you_mean

Pixels = NDArray[np.uint8]
Change = Callable[[Pixels, np.random.Generator], Pixels]

_LEVELS = np.arange(256)
_OFFSETS = [(y, x) for y in (0, 1, 2) for x in (0, 1, 2) if (y, x) != (1, 1)]


def jpeg(pixels: Pixels, _rng: np.random.Generator, *, quality: int, chroma: str = "4:2:0") -> Pixels:
    """Compress and decompress; ``chroma`` is 4:4:4 where colours keep their resolution, 4:2:0 where it is halved."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, subsampling=chroma)
    return np.asarray(Image.open(buffer, formats=["JPEG"]))


def sharpened(pixels: Pixels, _rng: np.random.Generator, *, factor: float) -> Pixels:
    """Pillow's sharpness: the difference to a smoothed image times the factor; 1 changes nothing."""
    return np.asarray(ImageEnhance.Sharpness(Image.fromarray(pixels)).enhance(factor))


def rescaled(pixels: Pixels, _rng: np.random.Generator, *, factor: float, by: str = "bicubic") -> Pixels:
    """An image of another size, its sides times the factor."""
    height, width = (max(round(side * factor), 1) for side in pixels.shape[:2])
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling[by.upper()]))


def unchanged(pixels: Pixels, _rng: np.random.Generator) -> Pixels:
    """What the others are told from."""
    return pixels


def curve(pixels: Pixels, _rng: np.random.Generator, *, levels: NDArray[np.floating[Any]]) -> Pixels:
    """What the 256 levels become (256,), rounded and clipped."""
    table: Pixels = np.clip(np.round(levels), 0, 255).astype(np.uint8)
    return table[pixels]


def one_pixel_shift(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Move by one pixel of the original in one of the eight directions, drawn for each image; edges are repeated."""
    y, x = _OFFSETS[rng.integers(len(_OFFSETS))]
    padded = np.pad(pixels, ((1, 1), (1, 1), (0, 0)), mode="edge")
    return padded[y : y + pixels.shape[0], x : x + pixels.shape[1]]


def truncated_16_bit(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """A 16-bit image of which a loader takes the high bytes, where the 8-bit original was rounded.

    The lower bits are lost, so they are drawn: a 16-bit value is uniform among those that round to the 8-bit one.
    """
    # a level v of 8 bits is 257 v of 16, since 65535 = 257 * 255; those up to 128 beside it round to v, too
    lower = rng.integers(-128, 129, pixels.shape, dtype=np.int32)
    return (np.clip(257 * pixels.astype(np.int32) + lower, 0, 65535) >> 8).astype(np.uint8)


def bgr(pixels: Pixels, _rng: np.random.Generator) -> Pixels:
    """Red and blue exchanged: OpenCV's order of channels read as Pillow's."""
    return pixels[..., ::-1]


def exif_ignored(pixels: Pixels, _rng: np.random.Generator) -> Pixels:
    """A camera held upright stores its rows sideways with EXIF orientation 6; a loader that ignores it turns them."""
    return np.rot90(pixels)


CHANGES: Mapping[str, Change] = MappingProxyType(
    {
        "jpeg-90": partial(jpeg, quality=90),
        "jpeg-50": partial(jpeg, quality=50),
        # another display curve, 255 (v / 255)^exponent: an exponent below 1 brightens
        "gamma-0.9": partial(curve, levels=255 * (_LEVELS / 255) ** 0.9),
        "gamma-1.1": partial(curve, levels=255 * (_LEVELS / 255) ** 1.1),
        # another exposure, that of a lamp which ages or a camera which adapts
        "brightness-0.95": partial(curve, levels=_LEVELS * 0.95),
        "brightness-1.05": partial(curve, levels=_LEVELS * 1.05),
        "shift-1px": one_pixel_shift,
        "16-bit-truncated": truncated_16_bit,
        "bgr": bgr,
        "exif-ignored": exif_ignored,
        "jpeg-75-4:2:0": partial(jpeg, quality=75),
        "sharpen-2": partial(sharpened, factor=2),
        "rescale-0.5": partial(rescaled, factor=0.5),
    }
)
"""Innocuous changes by name. Each takes an RGB image (H, W, 3), uint8, and a generator for what chance decides."""

TRACES: Mapping[str, Mapping[str, Change]] = MappingProxyType(
    {
        "jpeg": {
            f"jpeg-{quality}-{chroma}": partial(jpeg, quality=quality, chroma=chroma)
            for quality in (75, 85, 95)
            for chroma in ("4:2:0", "4:4:4")
        },
        "sharpening": {
            "unchanged": unchanged,
            "sharpen-2": partial(sharpened, factor=2),
            "sharpen-4": partial(sharpened, factor=4),
        },
        "rescaling": {
            "unchanged": unchanged,
            "rescale-0.5": partial(rescaled, factor=0.5),
            "rescale-2": partial(rescaled, factor=2),
        },
        "interpolation": {
            f"rescale-0.5-{by}": partial(rescaled, factor=0.5, by=by)
            for by in ("box", "bilinear", "bicubic", "lanczos")
        },
    }
)
"""Families of processing that images go through before anyone sees them, as in "Processing and acquisition traces in
visual encoders" (ICCV 2025)."""


def change(pixels: Pixels, name: str, *, seed: int, index: int) -> Pixels:
    """Applies one of `CHANGES` to image number ``index``; the result depends on the seed, the index and the name only.

    Raises `InputError` for an unknown name.
    """
    check_changes([name])
    rng = np.random.default_rng([seed, index])
    return np.ascontiguousarray(CHANGES[name](pixels, rng))


def check_changes(names: Sequence[str]) -> None:
    """`InputError` for a name that is not in `CHANGES`."""
    for name in names:
        if name not in CHANGES:
            raise InputError(
                f"The change {name!r} is not known{did_you_mean(name, CHANGES)}; use one of {', '.join(CHANGES)}."
            )
