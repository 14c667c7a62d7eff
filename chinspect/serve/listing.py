"""The images of a run, as columns that are read once: which there are, which belong together, which are alike.

100,000 images take less than 100 MB: texts stay in Arrow, where they take no more than their letters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from chinspect.errors import InputError

Indices = NDArray[np.int32]
_AXES = "axis_"
_CLUSTERING = "cluster_"
_STRATEGY = "strategy_"
_NOT_SCORES = ("x", "y", "duplicate_of")
_DAMAGED = (OSError, ValueError, KeyError, TypeError, pa.ArrowException)


@dataclass(frozen=True, eq=False)
class Codes:
    """A column of few texts.

    Attributes:
        values: the texts, commonest first.
        codes: (N,) the position of each row's text among them, -1 for none.
        counts: how many rows have each text.
    """

    values: list[str]
    codes: Indices
    counts: list[int]

    @classmethod
    def of(cls, column: pa.Array) -> Codes:
        """The texts of a column of anything that can be written."""
        encoded = column.cast(pa.large_string()).dictionary_encode()
        codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        counts = np.bincount(codes[codes >= 0], minlength=len(encoded.dictionary))
        order = np.argsort(-counts, kind="stable")
        rank = np.empty(len(order) + 1, dtype=np.int32)
        rank[order] = np.arange(len(order))
        rank[-1] = -1  # what the code -1, no text, is looked up as
        texts = encoded.dictionary.to_pylist()
        return cls([texts[i] for i in order], rank[codes], counts[order].tolist())

    def text(self, row: int) -> str:
        """The text of a row; empty for none."""
        code = int(self.codes[row])
        return self.values[code] if code >= 0 else ""


@dataclass(frozen=True, eq=False)
class Listing:
    """The images of a run, in its order.

    Attributes:
        names: (N,) texts.
        paths: (N,) texts; None where there are no images.
        labels, states: where the run has them.
        duplicates: (N,) the image that each one repeats, or -1.
        clusterings: name -> (N,) cluster, -1 for none.
        scores: name -> (N,).
        members: number of a candidate -> indices of its members.
        flagged: numbers of the candidates that are flagged.
        plane: (N, 2) in [0, 1], NaN for images that are not shown there.
        vectors: (N, q) whose distances say which images are alike; NaN for those that were not compared.
    """

    names: pa.Array
    paths: pa.Array | None = None
    labels: Codes | None = None
    states: Codes | None = None
    duplicates: Indices | None = None
    clusterings: Mapping[str, Indices] = field(default_factory=dict)
    scores: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    members: Mapping[int, Indices] = field(default_factory=dict)
    flagged: Sequence[int] = ()
    plane: NDArray[np.float32] | None = None
    vectors: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.names)

    def name(self, i: int) -> str:
        """What image ``i`` is called."""
        return str(self.names[i])

    def path(self, i: int) -> Path | None:
        """Where image ``i`` lies."""
        return None if self.paths is None else Path(str(self.paths[i]))

    def candidates_of(self, i: int) -> list[int]:
        """The candidates that image ``i`` is a member of."""
        return [number for number, rows in self.members.items() if _holds(rows, i)]

    def numbered(self, names: Sequence[str]) -> list[int]:
        """The images of these names, in their order; names of no image are left out."""
        rows = pc.index_in(pa.array(names, pa.large_string()), self.names).to_pylist()
        return [row for row in rows if row is not None]

    def named_like(self, text: str) -> NDArray[np.bool_]:
        """(N,) whether a text occurs in the name, in small letters or large ones."""
        matches: NDArray[np.bool_] = pc.match_substring(self.names, text, ignore_case=True).to_numpy(
            zero_copy_only=False
        )
        return matches

    def order(self, key: str) -> Indices:
        """All images by name or by a score, lowest first, NaN last."""
        if key not in self._orders:
            by_name = key == "name"
            order = pc.sort_indices(self.names).to_numpy() if by_name else np.argsort(self.scores[key], kind="stable")
            self._orders[key] = order.astype(np.int32)
        return self._orders[key]

    def nearest(self, i: int, count: int) -> list[tuple[int, float]]:
        """The images nearest to image ``i`` and their distances, nearest first; none for one that was not compared."""
        if self.vectors is None or np.isnan(self.vectors[i, 0]):
            return []
        # |a - b|^2 from products, with one pass over the vectors; NaN, of what was not compared, comes last
        squares = self._squares - 2 * (self.vectors @ self.vectors[i])
        squares[i] = np.nan
        count = min(count, int(np.isfinite(squares).sum()))
        near: NDArray[np.intp] = np.argpartition(squares, max(count - 1, 0))[:count]
        differences = np.linalg.norm(self.vectors[near] - self.vectors[i], axis=1)
        return [(int(near[k]), float(differences[k])) for k in np.argsort(differences, kind="stable")]

    @cached_property
    def _orders(self) -> dict[str, Indices]:
        return {}

    @cached_property
    def _squares(self) -> NDArray[np.float32]:
        assert self.vectors is not None
        squares: NDArray[np.float32] = np.einsum("ij,ij->i", self.vectors, self.vectors)
        return squares


def read_listing(path: Path, eigenvalues: Sequence[float] = ()) -> Listing:
    """The images of ``samples.parquet``, see `chinspect.spray.samples`.

    Args:
        eigenvalues: of the embedding; an axis counts 1 less its eigenvalue, as in the diffusion map of the plane.

    Raises `InputError` for a file that cannot be read or is of something else.
    """
    try:
        listing = _listing(pq.read_table(path).combine_chunks(), np.asarray(eigenvalues, dtype=np.float32))
    except _DAMAGED as error:
        raise InputError(f"{str(path)!r} is no table of the images of a run ({error}): write the run anew.") from error
    pa.default_memory_pool().release_unused()  # what the file took while it was read, as much again as its columns
    return listing


def _listing(table: pa.Table, eigenvalues: NDArray[np.float32]) -> Listing:
    columns = {name: _single(table[name]) for name in table.column_names}
    axes = [name for name in columns if name.startswith(_AXES)]
    floats = [name for name, column in columns.items() if pa.types.is_floating(column.type) and name not in axes]
    return Listing(
        names=columns["name"].cast(pa.large_string()).fill_null(""),
        paths=columns["path"].cast(pa.large_string()).fill_null("") if "path" in columns else None,
        labels=Codes.of(columns["label"]) if "label" in columns else None,
        states=Codes.of(columns["state"]) if "state" in columns else None,
        duplicates=_numbers(columns["duplicate_of"], np.int32) if "duplicate_of" in columns else None,
        clusterings={
            name.removeprefix(_CLUSTERING): _numbers(column, np.int32)
            for name, column in columns.items()
            if name.startswith(_CLUSTERING)
        },
        scores={
            name.removeprefix(_STRATEGY): _numbers(columns[name], np.float32)
            for name in floats
            if name not in _NOT_SCORES and name != "strategy_cluster"
        },
        members=_members(columns["candidates"]) if "candidates" in columns else {},
        flagged=tuple(_members(columns["flagged"])) if "flagged" in columns else (),
        plane=_plane(columns),
        vectors=_vectors([_numbers(columns[name], np.float32) for name in axes], eigenvalues),
    )


def _holds(rows: Indices, i: int) -> bool:
    """Whether ascending rows hold one."""
    position = int(np.searchsorted(rows, i))
    return position < len(rows) and int(rows[position]) == i


def _single(column: pa.ChunkedArray) -> pa.Array:
    """The column in one piece."""
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)


def _numbers(column: pa.Array, kind: type) -> NDArray[Any]:
    empty = np.nan if np.issubdtype(kind, np.floating) else -1
    return column.fill_null(empty).to_numpy(zero_copy_only=False).astype(kind)


def _members(column: pa.Array) -> dict[int, Indices]:
    """From lists of numbers, one a row, to the rows of each number, in the order of the numbers."""
    numbers = pc.list_flatten(column)
    if pa.types.is_null(numbers.type):  # no row has any
        return {}
    values = numbers.to_numpy(zero_copy_only=False)
    rows = pc.list_parent_indices(column).to_numpy(zero_copy_only=False).astype(np.int32)
    order = np.lexsort((rows, values))
    distinct, starts = np.unique(values[order], return_index=True)
    return dict(zip(distinct.astype(int).tolist(), np.split(rows[order], starts[1:]), strict=True))


def _plane(columns: Mapping[str, pa.Array]) -> NDArray[np.float32] | None:
    """Positions, each axis scaled to [0, 1]."""
    if "x" not in columns or "y" not in columns:
        return None
    plane = np.stack([_numbers(columns[axis], np.float32) for axis in "xy"], axis=1)
    shown = np.isfinite(plane).all(1)
    if not shown.any():
        return None
    low = plane[shown].min(0)
    scaled = (plane - low) / np.maximum(plane[shown].max(0) - low, np.finfo(np.float32).tiny)
    scaled[~shown] = np.nan
    return scaled.clip(0, 1)


def _vectors(axes: Sequence[NDArray[np.float32]], eigenvalues: NDArray[np.float32]) -> NDArray[np.float32] | None:
    if not axes:
        return None
    vectors: NDArray[np.float32] = np.stack(axes, axis=1)
    return vectors * (1 - eigenvalues) if len(eigenvalues) == len(axes) else vectors
