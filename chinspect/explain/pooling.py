"""Exact pooling of maps: sums over areas, so that nothing is lost, whatever the sizes.

The cell (u, v) of the pooled map is the integral of the map over the u-th and v-th of equal stretches of its height and
width, cells of the map that a border cuts counting by the fraction inside: the sum of the pooled map is the sum of the
map. Resizing instead, without antialiasing, loses a mark of 8 x 8 px entirely at many positions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chinspect.errors import InputError


def area_sum(maps: ArrayLike, size: int | tuple[int, int]) -> NDArray[np.float32]:
    """Maps (..., H, W), summed over areas to (..., h, w), ``size`` = (h, w) or one number; sums stay as they are.

    Maps are never enlarged: a side that is shorter than ``size`` stays as it is.
    """
    values = np.asarray(maps)
    height, width = values.shape[-2:]
    h, w = (size, size) if isinstance(size, int | np.integer) else size
    if h < 1 or w < 1:
        raise InputError(f"maps are pooled to at least 1 x 1 cells, not to {h} x {w}.")
    rows = _bins(height, min(h, height))
    columns = _bins(width, min(w, width))
    return np.einsum("uh,...hw,vw->...uv", rows, values, columns, optimize=True).astype(np.float32)


def _bins(length: int, count: int) -> NDArray[np.float64]:
    """(count, length): which fraction of each cell falls into each of ``count`` equal stretches; columns sum to 1."""
    edges = np.linspace(0, length, count + 1)
    cells = np.arange(length)
    return np.clip(np.minimum(edges[1:, None], cells + 1) - np.maximum(edges[:-1, None], cells), 0, None)
