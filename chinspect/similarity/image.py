"""One image of an explained similarity: what the encoder sees of it, and what its patches contribute."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from torch import Tensor

from chinspect.errors import InputError
from chinspect.images import Preprocessing
from chinspect.relevance import ShapleyMap

Array = NDArray[np.floating[Any]]
IN_MEMORY = "image"
"""The name of a picture that is no file."""
_THUMBNAIL = 448  # pixels of the longer side: enough to see in a figure what was cut away
_BLANK = 1e-4  # of the embedding: single precision rounds to 1e-7, a hundred layers to less than this
_LONGEST = 120  # characters of a label, three lines under a picture


@dataclass(frozen=True, eq=False)
class ExplainedImage:
    """One image, and what its patches contribute to its embedding.

    Attributes:
        name: its path, for a picture in memory ``image``.
        picture: what the encoder sees of it, RGB.
        thumbnail: all of it, RGB, small.
        original_size: (width, height) of the image before resize and crop.
        frame: x0, y0, x1, y1 in pixels of the original image: what of it the encoder sees.
        boxes: (h, w, 4) patches as x0, y0, x1, y1 in pixels of the original image, resize and crop undone; empty where
            a patch lies on a border that was added.
        embedding: (D,).
        contributions: ``T`` (h * w, D), row-major patches; the sum over patches is what is explained if relevance is
            conserved.
        explained: the embedding, or its difference to that of the reference, (D,).
        sampling: the Shapley map that the contributions are, with their standard errors.
        input: what the encoder reads, (1, C, H, W); None where it was not stored.
    """

    name: str
    picture: Image.Image = field(repr=False)
    thumbnail: Image.Image = field(repr=False)
    original_size: tuple[int, int]
    frame: tuple[float, ...]
    boxes: Array = field(repr=False)
    embedding: Array = field(repr=False)
    contributions: Array = field(repr=False)
    explained: Array = field(repr=False)
    sampling: ShapleyMap | None = field(default=None, repr=False)
    input: Tensor | None = field(default=None, repr=False)

    @classmethod
    def of(
        cls, name: str, picture: Image.Image, preprocessing: Preprocessing, patch_size: int, **contributions: Any
    ) -> ExplainedImage:
        """An image as a preprocessing shows it, in patches of a size; the other attributes by their names."""
        side = preprocessing.size
        boxes = patch_boxes((side, side), patch_size)
        thumbnail = picture.convert("RGB")
        thumbnail.thumbnail((_THUMBNAIL, _THUMBNAIL))
        return cls(
            name=name,
            picture=preprocessing.visible(picture),
            thumbnail=thumbnail,
            original_size=picture.size,
            frame=tuple(preprocessing.to_original([0, 0, side, side], picture.size).round(1).tolist()),
            boxes=preprocessing.to_original(boxes, picture.size),
            **contributions,
        )

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        return self.boxes.shape[0], self.boxes.shape[1]

    @property
    def seen(self) -> float:
        """The fraction of the image that the encoder sees, in (0, 1]."""
        x0, y0, x1, y1 = self.frame
        return (x1 - x0) * (y1 - y0) / (self.original_size[0] * self.original_size[1])

    @property
    def blank(self) -> bool:
        """Whether there is nothing to explain: its embedding is that of its reference up to rounding."""
        return float(np.linalg.norm(self.explained)) <= _BLANK * float(np.linalg.norm(self.embedding))

    def weights(self, region: ArrayLike) -> Array:
        """How much of each patch lies in a region, (h, w) in [0, 1]: a mask of patches, or a box; see `matches`."""
        values = np.asarray(region)
        if values.shape == self.grid:
            return values.astype(float)
        if values.shape != (4,):
            raise InputError(f"a region is a mask of {self.grid} patches or a box of 4 numbers, not {values.shape}.")
        x0, y0, x1, y1 = values.astype(float)
        if x1 <= x0 or y1 <= y0:
            raise InputError(f"the box {values.tolist()} is empty: give x0 < x1 and y0 < y1.")
        left, top, right, bottom = np.moveaxis(self.boxes, -1, 0)
        width = np.clip(np.minimum(right, x1) - np.maximum(left, x0), 0, None)
        height = np.clip(np.minimum(bottom, y1) - np.maximum(top, y0), 0, None)
        area = (right - left) * (bottom - top)
        return width * height / np.where(area > 0, area, 1)


def patch_boxes(shape: Sequence[int], patch_size: int) -> NDArray[np.float64]:
    """The patches of an input of ``shape`` (H, W) as (rows, columns, 4) boxes x0, y0, x1, y1 in its pixels."""
    height, width = shape
    top, left = np.meshgrid(np.arange(0, height, patch_size), np.arange(0, width, patch_size), indexing="ij")
    bottom = np.minimum(top + patch_size, height)
    right = np.minimum(left + patch_size, width)
    return np.stack([left, top, right, bottom], -1).astype(float)


def labels(first: str, second: str) -> tuple[str, str]:
    """Names of two images, short enough to stand under them and never the same.

    >>> labels("x/cat.jpg", "x/dog.jpg"), labels("x/1.png", "y/1.png"), labels("1.png", "1.png")
    (('cat.jpg', 'dog.jpg'), ('x/1.png', 'y/1.png'), ('1.png (left)', '1.png (right)'))
    """
    parts = [Path(name).parts or (name,) for name in (first, second)]
    for depth in range(1, max(map(len, parts)) + 1):
        a, b = (_shortened(str(Path(*names[-depth:]))) for names in parts)
        if a != b:
            return a, b
    name = _shortened(parts[0][-1])
    return f"{name} (left)", f"{name} (right)"


def _shortened(name: str) -> str:
    half = _LONGEST // 2 - 2
    return name if len(name) <= _LONGEST else f"{name[:half]} ... {name[-half:]}"
