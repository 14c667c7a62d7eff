"""Where burnt-in annotations are: letters and signs that are brighter (or, on white, darker) than what they lie on.

At a common size (shorter side 256) a white top-hat keeps what is bright and smaller than its square; the same of the
negative keeps dark signs, which count on white only. A connected region is taken for a sign if it has the size of one,
fills its box as letters do, stands out strongly, has sharp edges, and lies in the outer third of the image. Its box is
marked. Electrodes and other metal at the edge look alike, and letters in the middle or on grey are missed: see
`experiments/xray/text_quality.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from chinspect.artefacts import widened
from chinspect.datasets import XrayImages
from chinspect.errors import InputError
from chinspect.images import open_image
from chinspect.intervals import wilson
from chinspect.world import Scene

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]
SIDE = 256
"""Shorter side, in pixels, at which signs are looked for; the lengths below are fractions of it."""
_SQUARE = 0.07  # side of the top-hat's square: what is wider in both directions is no sign
_HEIGHT = (0.012, 0.1)  # of a sign
_WIDTH = 0.2  # of a sign, at most; letters of a word may touch
_FILL = (0.2, 0.96)  # how much of its box a sign covers: less is a line, more a solid bar
_CONTRAST = 85  # grey levels of 255 ...
_SHARPNESS = 85  # ... that most of a sign stands out by, and has at its edges
_WHITE = 235  # grey levels of paper
_EDGE = 0.33  # how near to an edge of the image signs lie


def find_text(image: Pixels) -> Mask:
    """The boxes of signs in an image (H, W, 3) or (H, W), 0..255; (H, W)."""
    grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    height, width = grey.shape
    scale = SIDE / min(height, width)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    signs = _signs(small, np.ones_like(small, dtype=bool)) | _signs(255 - small, _on_white(small))
    return cv2.resize(signs.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST).astype(bool)


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
    for source, label in sorted({*kinds}):
        some = [masks[path] for path, kind in zip(images.paths, kinds, strict=True) if kind == (source, label)]
        count = sum(bool(mask.any()) for mask in some)
        low, high = wilson(count, len(some))
        row = {"source": source, "covid": label, "n": len(some), "with_text": 100 * count / len(some)}
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
    hat = cv2.morphologyEx(grey, cv2.MORPH_TOPHAT, _square())
    edges = cv2.morphologyEx(grey, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    # half of the contrast, so that thin strokes stay connected
    bright = ((hat > _CONTRAST / 2) & allowed).astype(np.uint8)
    _, labels, boxes, _ = cv2.connectedComponentsWithStats(bright, connectivity=8)
    signs = np.zeros(grey.shape, dtype=bool)
    for number, box in enumerate(boxes[1:], 1):
        left, top, width, height, _ = box
        window = slice(top, top + height), slice(left, left + width)
        if _sized(box, grey.shape) and _stands_out(hat[window], edges[window], labels[window] == number):
            signs[window] = True
    return widened(signs) if signs.any() else signs


def _sized(box: NDArray[np.int32], shape: tuple[int, ...]) -> bool:
    left, top, width, height, area = box
    x = (left + width / 2) / shape[1]
    y = (top + height / 2) / shape[0]
    return (
        _HEIGHT[0] * SIDE <= height <= _HEIGHT[1] * SIDE
        and width <= _WIDTH * SIDE
        and area >= 6  # pixels; fewer are noise
        and _FILL[0] <= area / (width * height) <= _FILL[1]
        and min(x, 1 - x, y, 1 - y) <= _EDGE
    )


def _stands_out(hat: Pixels, edges: Pixels, sign: Mask) -> bool:
    strong: bool = np.percentile(hat[sign], 75) >= _CONTRAST and np.percentile(edges[sign], 80) >= _SHARPNESS
    return strong


def _on_white(grey: Pixels) -> Mask:
    """Where the surroundings are white: the boxes of printed letters."""
    return cv2.morphologyEx(grey, cv2.MORPH_CLOSE, _square()) >= _WHITE


def _square() -> Pixels:
    """The square of the morphology, whose side is odd so that it has a centre."""
    return np.ones((round(_SQUARE * SIDE) | 1,) * 2, np.uint8)
