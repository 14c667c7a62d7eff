"""Maps of relevance as rows of one size: exact pooling, normalisation, and which maps cannot be compared.

Pooling sums areas: the cell (u, v) of the pooled map is the integral of the map over the u-th and v-th of equal
stretches of its height and width, cells of the map that a border cuts counting by the part inside. Nothing is lost,
whatever the sizes: the sum of the pooled map is the sum of the map. Resizing instead, without antialiasing, loses a
mark of 8 x 8 px entirely at many of its places.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chinspect.errors import InputError
from chinspect.explain.pooling import area_sum

Maps = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class PreparedMaps:
    """Maps that can be compared, and those that cannot.

    Attributes:
        maps: (n, h, w) pooled.
        kept: (n,) their places among the maps given.
        zero: places of maps without any relevance, left out: they would form a cluster of their own.
        invalid: places of maps that hold NaN or infinity, left out.
    """

    maps: Maps
    kept: NDArray[np.int64]
    zero: NDArray[np.int64]
    invalid: NDArray[np.int64]


def prepare(maps: ArrayLike, *, pool: int | None, normalise: bool) -> PreparedMaps:
    """Pool and normalise ``maps``, and leave out those that cannot be compared.

    Args:
        maps: (N, H, W), or (N, C, H, W), whose channels are summed; the sign is kept.
        pool: rows and columns of the pooled maps; None leaves them.
        normalise: divide each map by the sum of its absolute values after pooling, so that cells are shares.

    Raises `InputError` for another shape, channels that come last, or fewer than 3 maps that can be compared.
    """
    try:
        values = np.asarray(maps)
    except ValueError as error:
        raise InputError(f"maps are an array (N, H, W) or (N, C, H, W), all of one size ({error}).") from error
    if values.ndim not in (3, 4) or 0 in values.shape or values.dtype.kind not in "fiu":
        raise InputError(f"maps are numbers (N, H, W) or (N, C, H, W), not {values.dtype} {values.shape}.")
    check_channels(values.shape)
    pooled = np.concatenate([_pooled(values[start : start + 1024], pool) for start in range(0, len(values), 1024)])
    mass = np.abs(pooled).sum((1, 2), dtype=np.float64)
    finite = np.isfinite(mass)
    kept = np.flatnonzero(finite & (mass > 0))
    if len(kept) < 3:
        raise InputError(
            f"only {len(kept)} of {len(values)} maps hold finite relevance that is not zero: give at least 3."
        )
    rows = pooled[kept]
    if normalise:
        rows = rows / mass[kept, None, None]
    return PreparedMaps(rows.astype(np.float32), kept, np.flatnonzero(finite & (mass == 0)), np.flatnonzero(~finite))


def check_channels(shape: tuple[int, ...]) -> None:
    """Raises `InputError` for what looks like maps (N, H, W, C): their rows would be summed for channels."""
    if len(shape) == 4 and shape[3] <= 4 < min(shape[1:3]):
        raise InputError(f"maps of shape {shape} have their channels last: put them second, (N, C, H, W), or sum them.")


def _pooled(maps: NDArray[np.generic], pool: int | None) -> Maps:
    summed = maps if maps.ndim == 3 else maps.sum(1)
    with np.errstate(invalid="ignore", over="ignore"):
        return summed.astype(np.float32) if pool is None else area_sum(summed, pool)
