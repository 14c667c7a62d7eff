"""The training images that a PatchCore compares with, as a figure shows them: the picture, and where the patch lies.

A memory bank holds descriptors and no pixels. So a detector keeps the names of its training images and small pictures
of them; the file is read again where it still is what the small picture shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Protocol

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from chinspect.anomaly.images import pictures, thumbnails
from chinspect.errors import InputError
from chinspect.images import load_inputs

_ROUNDING = 1  # of 255 levels: versions of torch average differently


class Reader(Protocol):
    """What reads images, and how large they are."""

    resizer: str
    size: int
    image_shape_: tuple[int, ...]


def training_picture(reader: Reader, names: Sequence[str], small: Tensor, index: int) -> NDArray[np.uint8]:
    """A training image (H, W, 3): from its file while that is what it was, else from its small picture.

    Args:
        names: paths of all training images, or none.
        small: small pictures of all of them (N, C, h, w), see `thumbnails`.
    """
    with suppress(InputError, LookupError):
        read = load_inputs([names[index]], reader.resizer, reader.size)
        if bool(((thumbnails(read)[0].int() - small[index].int()).abs() <= _ROUNDING).all()):
            return pictures(read)[0]
    enlarged = F.interpolate(small[index][None].float() / 127.5 - 1, reader.image_shape_[1:], mode="bilinear")
    return pictures(enlarged)[0]


def squares(cells: NDArray[Any], map_shape: Sequence[int], image_shape: Sequence[int]) -> NDArray[np.float64]:
    """Cells of a map (n, 2), row and column, in pixels of the image: x0, y0, x1, y1 (n, 4)."""
    height, width = (side / count for side, count in zip(image_shape[1:], map_shape, strict=True))
    corners = np.stack([cells[:, 1], cells[:, 0], cells[:, 1] + 1, cells[:, 0] + 1], 1)
    return np.asarray(corners * np.array([width, height, width, height]))
