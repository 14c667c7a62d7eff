"""Arrays of pixels: what artefacts, isolation and placebos do with them, and RGBA files."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from chinspect.errors import ImageWarning, InputError
from chinspect.images import open_image

Pixels = NDArray[np.uint8]
Layer = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]


def checked(image: Pixels) -> None:
    """`InputError` unless these are 8-bit RGB pixels (H, W, 3)."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        kind = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise InputError(f"Images are uint8 arrays (H, W, 3), not {kind}: use np.asarray(open_image(path)).")
    if image.size == 0:
        raise InputError(f"An image without pixels {image.shape} cannot be edited.")


def resample(values: Layer, size: tuple[int, ...]) -> Layer:
    """An array (h, w) or (h, w, c) at a size (H, W): means of areas if no side grows, else linear interpolation."""
    import cv2

    if values.shape[:2] == tuple(size):
        return values
    shrinks = size[0] <= values.shape[0] and size[1] <= values.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR  # OpenCV's area mean is nearest neighbour where sides grow
    return np.asarray(cv2.resize(np.ascontiguousarray(values), (size[1], size[0]), interpolation=method))


def square(pixels: int) -> Pixels:
    """The structuring element that reaches so many pixels to each side."""
    return np.ones((2 * pixels + 1, 2 * pixels + 1), np.uint8)


def widened(mask: Mask, pixels: int = 1) -> Mask:
    """A mask and everything that lies within some pixels of it, in a square."""
    import cv2

    return np.asarray(cv2.dilate(mask.astype(np.uint8), square(pixels))).astype(bool)


def painted(image: Pixels, region: Mask) -> Pixels:
    """The image (H, W, 3) with a region (H, W) painted anew from its surroundings (Telea 2004)."""
    import cv2

    radius = 3  # pixels that are averaged; more blurs the edges that lead into the region
    return np.asarray(cv2.inpaint(np.ascontiguousarray(image), region.astype(np.uint8), radius, cv2.INPAINT_TELEA))


def read_rgba(path: Path) -> tuple[Layer, Layer]:
    """Colours (h, w, 3) and opacity (h, w), in [0, 1], of a PNG file with transparency.

    Raises `InputError` for a file that cannot be read or has no transparency.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImageWarning)  # of transparency, which is what is read here
        open_image(path)  # every check of the one door, which lets the transparency go
    with Image.open(path) as image:
        if image.format != "PNG" or not image.has_transparency_data:
            raise InputError(f"{str(path)!r} must be a PNG file with transparency: save the artefact as RGBA.")
        values = np.asarray(image.convert("RGBA")).astype(np.float32) / 255
    return values[..., :3], values[..., 3]
