"""Maps of relevance as rows of one size, and their labels: read, pooled, normalised, without what cannot be compared.

Pooling sums areas, so that nothing is lost, whatever the sizes (see `chinspect.explain.area_sum`). Nothing that is read
from disk is unpickled.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chinspect.errors import InputError
from chinspect.execute import read_column
from chinspect.explain import area_sum
from chinspect.spray.arrays import Indices, Maps

Labels = str | Path | Sequence[Any] | None
"""One label an image listed, or where they are from, see `load_labels`."""
FOLDER = "folder"
"""As the source of labels: the folder that an image lies in."""
_BLOCK = 1_024  # maps that are pooled at once: bounds the memory of copies in double precision


@dataclass(frozen=True, eq=False)
class PreparedMaps:
    """Maps that can be compared, and those that cannot.

    Attributes:
        maps: (n, h, w) pooled.
        valid: (n,) their indices among all maps.
        zero: indices of maps without any relevance, left out: they would form a cluster of their own.
        invalid: indices of maps that hold NaN or infinity, left out.
    """

    maps: Maps
    valid: Indices
    zero: Indices
    invalid: Indices


def prepare(maps: ArrayLike, *, pool: int | None, normalise: bool) -> PreparedMaps:
    """Pool and normalise ``maps``, and leave out those that cannot be compared.

    Args:
        maps: (N, H, W), or (N, C, H, W), whose channels are summed; the sign is retained.
        pool: rows and columns of the pooled maps; None leaves them.
        normalise: divide each map by the sum of its absolute values after pooling, so that cells are fractions.

    Raises `InputError` for another shape, channels that come last, or fewer than 3 maps that can be compared.
    """
    values = _checked(maps)
    pooled = np.concatenate([_pooled(values[i : i + _BLOCK], pool) for i in range(0, len(values), _BLOCK)])
    mass = np.abs(pooled).sum((1, 2), dtype=np.float64)
    finite = np.isfinite(mass)
    usable = np.flatnonzero(finite & (mass > 0))
    if len(usable) < 3:
        raise InputError(
            f"only {len(usable)} of {len(values)} maps hold finite relevance that is not zero: give at least 3."
        )
    rows = pooled[usable]
    if normalise:
        rows = rows / mass[usable, None, None]
    return PreparedMaps(rows.astype(np.float32), usable, np.flatnonzero(finite & (mass == 0)), np.flatnonzero(~finite))


def load_maps(source: str | Path | ArrayLike) -> Maps:
    """Maps (N, H, W) of an array or an .npy file of them, or of (N, C, H, W), whose channels are summed.

    Raises `InputError` for a file that cannot be read, and for something else than maps.
    """
    return _pooled(_checked(source), None)


def load_labels(source: Labels, names: Sequence[str], paths: Sequence[Path] | None) -> list[Any] | None:
    """One label an image, None for None.

    Args:
        source: ``folder``, for the name of the folder that an image, or a link to one, lies in; a table with columns
            ``path`` and ``label`` (.csv, .parquet), whose paths name the images; an .npy file with one label a map, in
            order; or the labels themselves.
        names: (N,) of the images.
        paths: (N,), where they lie; None where there are maps only.

    Raises `InputError` where an image has no label, or the file holds something else.
    """
    if source is None:
        return None
    if not isinstance(source, str | Path):
        if len(source) != len(names):
            raise InputError(f"labels are one for each of {len(names)} images, and there are {len(source)}.")
        return list(source)
    source = str(source)
    if source.lower().endswith(".npy"):
        labels = _load(source, "labels")
        if labels.shape != (len(names),) or labels.dtype.kind not in "iubUS":
            raise InputError(
                f"{source!r} holds {labels.dtype} {labels.shape}, and labels are one integer or text for each of "
                f"{len(names)} maps."
            )
        return [str(label) for label in labels.tolist()]
    if paths is None:
        raise InputError(f"the labels {source!r} belong to images: give the images, or labels as an .npy file.")
    if source == FOLDER:
        return [Path(os.path.abspath(path)).parent.name for path in paths]  # resolves "..", and follows no link
    return read_column(source, names, paths, "label")


def _load(path: str | Path, what: str) -> NDArray[Any]:
    try:
        with Path(path).open("rb") as file:
            return np.asarray(np.lib.format.read_array(file, allow_pickle=False))
    except (OSError, ValueError, EOFError, SyntaxError, TypeError, MemoryError, OverflowError) as error:
        raise InputError(
            f"the {what} {str(path)!r} cannot be read as an .npy file without pickled objects ({error})."
        ) from error


def _checked(source: str | Path | ArrayLike) -> NDArray[Any]:
    """Maps (N, H, W) or (N, C, H, W) of an array or a file. Raises `InputError` for something else.

    What looks like maps (N, H, W, C) is refused, too: their rows would be summed for channels.
    """
    holder = "these are"
    if isinstance(source, str | Path):
        values = _load(source, "maps")
        holder = f"{str(source)!r} holds"
    else:
        try:
            values = np.asarray(source)
        except ValueError as error:
            raise InputError(f"maps are an array (N, H, W) or (N, C, H, W), all of one size ({error}).") from error
    shape = values.shape
    if len(shape) not in (3, 4) or 0 in shape or values.dtype.kind not in "fiu":
        raise InputError(f"{holder} {values.dtype} {shape}, and maps are numbers (N, H, W) or (N, C, H, W).")
    if len(shape) == 4 and shape[3] <= 4 < min(shape[1:3]):
        raise InputError(f"maps of shape {shape} have their channels last: put them second, (N, C, H, W), or sum them.")
    return values


def _pooled(maps: NDArray[Any], pool: int | None) -> Maps:
    with np.errstate(invalid="ignore", over="ignore"):  # infinity is told apart later
        summed = maps if maps.ndim == 3 else maps.sum(1)
        return summed.astype(np.float32) if pool is None else area_sum(summed, pool)
