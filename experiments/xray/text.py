"""Where burnt-in annotations are: letters and signs that are brighter (or, on white, darker) than what they lie on.

At a common size (shorter side 256) a white top-hat keeps what is bright and smaller than its square; the same of the
negative keeps dark signs, which count on white only. A connected part is taken for a sign if it has the size of one,
fills its box as letters do, stands out strongly, has sharp edges, and lies in the outer third of the image. Its box is
marked. Electrodes and other metal at the edge look alike, and letters in the middle or on grey are missed: see
xray_text_quality.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from chinspect.artefacts.artefact import widened
from chinspect.datasets import XrayImages
from chinspect.errors import InputError
from chinspect.images import open_image
from chinspect.intervals import wilson
from chinspect.world import Scene

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]
SIDE = 256
"""Shorter side, in pixels, at which signs are looked for; the lengths below are shares of it."""
_SQUARE = 0.07
_HEIGHT, _WIDTH = (0.012, 0.1), 0.2
_FILL = (0.2, 0.96)
_CONTRAST, _SHARPNESS, _WHITE = 85, 85, 235
_EDGE = 0.33


def find_text(image: Pixels) -> Mask:
    """The boxes of signs in an image (H, W, 3) or (H, W), 0..255; (H, W)."""
    grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    height, width = grey.shape
    scale = SIDE / min(height, width)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    found = _signs(small, np.ones_like(small, dtype=bool)) | _signs(255 - small, _on_white(small))
    return cv2.resize(found.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST).astype(bool)


def text_masks(paths: Sequence[Path], folder: Path | None = None) -> list[Mask]:
    """Of each image, what `find_text` finds, or the PNG file of its name in a folder of masks.

    Raises `InputError` for a mask that is missing or does not fit its image.
    """
    if folder is None:
        return [find_text(np.asarray(open_image(path))) for path in paths]
    masks = [np.asarray(open_image(folder / f"{path.stem}.png").convert("L")) > 127 for path in paths]
    for path, mask in zip(paths, masks, strict=True):
        size = open_image(path).size
        if mask.shape != size[::-1]:
            raise InputError(f"The mask of {path.name!r} has {mask.shape[::-1]} pixels, but its image has {size}.")
    return masks


def frequency(images: XrayImages, masks: Mapping[Path, Mask]) -> pd.DataFrame:
    """How many images of each source and label have text, with Wilson intervals, and how much of them it covers."""
    rows = []
    kinds = list(zip(images.sources, images.labels, strict=True))
    for kind in sorted({*kinds}):
        some = [masks[path] for path, its in zip(images.paths, kinds, strict=True) if its == kind]
        count = sum(bool(mask.any()) for mask in some)
        low, high = wilson(count, len(some))
        row = {"source": kind[0], "covid": kind[1], "n": len(some), "with_text": 100 * count / len(some)}
        area = float(np.mean([mask.mean() for mask in some]))
        rows.append(row | {"with_text_low": 100 * low, "with_text_high": 100 * high, "area": 100 * area})
    return pd.DataFrame(rows)


def text_of(scene: Scene) -> Mask:
    """The box of the letters of a generated X-ray: its annotation without the black borders."""
    mask = scene.annotation.copy()
    border = max(len(mask) // 24, 1)
    mask[:, :border] = mask[:, -border:] = False
    return mask


def painted_out(image: Pixels, mask: Mask) -> Pixels:
    """An image (H, W, 3) with a region, two pixels wider, painted from its surroundings."""
    if not mask.any():
        return image.copy()
    region = widened(mask, 2).astype(np.uint8)
    return np.asarray(cv2.inpaint(np.ascontiguousarray(image), region, 3, cv2.INPAINT_TELEA))


def _signs(grey: Pixels, allowed: Mask) -> Mask:
    """Boxes of bright signs."""
    square = np.ones((round(_SQUARE * SIDE) | 1,) * 2, np.uint8)
    hat = cv2.morphologyEx(grey, cv2.MORPH_TOPHAT, square)
    edges = cv2.morphologyEx(grey, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    parts = ((hat > _CONTRAST / 2) & allowed).astype(np.uint8)
    _, labels, boxes, _ = cv2.connectedComponentsWithStats(parts, connectivity=8)
    found = np.zeros(grey.shape, dtype=bool)
    for number, box in enumerate(boxes[1:], 1):
        left, top, width, height, _ = box
        place = slice(top, top + height), slice(left, left + width)
        if _sized(box, grey.shape) and _stands_out(hat[place], edges[place], labels[place] == number):
            found[place] = True
    return widened(found) if found.any() else found


def _sized(box: NDArray[np.int32], shape: tuple[int, ...]) -> bool:
    left, top, width, height, area = box
    x, y = (left + width / 2) / shape[1], (top + height / 2) / shape[0]
    return (
        _HEIGHT[0] * SIDE <= height <= _HEIGHT[1] * SIDE
        and width <= _WIDTH * SIDE
        and area >= 6
        and _FILL[0] <= area / (width * height) <= _FILL[1]
        and min(x, 1 - x, y, 1 - y) <= _EDGE
    )


def _stands_out(hat: Pixels, edges: Pixels, part: Mask) -> bool:
    strong: bool = np.percentile(hat[part], 75) >= _CONTRAST and np.percentile(edges[part], 80) >= _SHARPNESS
    return strong


def _on_white(grey: Pixels) -> Mask:
    """Where the surroundings are white: the boxes of printed letters."""
    return cv2.morphologyEx(grey, cv2.MORPH_CLOSE, np.ones((round(_SQUARE * SIDE) | 1,) * 2, np.uint8)) >= _WHITE
