"""Nearest neighbours among maps: exact up to a size, approximate above, with the recall measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.neighbors import NearestNeighbors

from chinspect.errors import InputError

EXACT_UP_TO = 20_000
_QUERIES = 1_000  # rows that the recall is measured on: to within a percent
_SPARE = 20  # candidates beyond k that the approximate search keeps: with them its recall is 1 on maps of 400 cells
Rows = NDArray[np.float32]
Indices = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The nearest neighbours of every row.

    Attributes:
        indices: (n, k), nearest first; a row is never its own neighbour, also where others are identical to it.
        distances: (n, k), Euclidean.
        recall: the fraction of true neighbours that was found, measured on 1,000 rows, or all of fewer; 1 where the
            search is exact.
    """

    indices: Indices
    distances: Rows
    recall: float


def nearest(rows: Rows, k: int, *, random_state: int = 0, exact_up_to: int = EXACT_UP_TO) -> Neighbours:
    """The ``k`` nearest neighbours of each row (n, d), exact where n is at most ``exact_up_to``."""
    if not 0 < k < len(rows):
        raise InputError(f"n_neighbors lies between 1 and the number of maps less one ({len(rows) - 1}), not at {k}.")
    if len(rows) <= exact_up_to:
        search = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(rows)
        distances, indices = search.kneighbors()  # leaves each row itself out, by its index
        return Neighbours(indices, distances.astype(np.float32), 1.0)
    distances, indices = _approximate(rows, k, random_state)
    sample = np.random.default_rng(random_state).choice(len(rows), min(_QUERIES, len(rows)), replace=False)
    search = NearestNeighbors(n_neighbors=k + 1, algorithm="brute").fit(rows)
    further, others = search.kneighbors(rows[sample])
    true = _without_self(further, others, sample, k)[1]
    hits = (indices[sample][:, :, None] == true[:, None, :]).any(2)
    return Neighbours(indices, distances, float(hits.mean()))


def binary_affinity(indices: Indices) -> csr_array:
    """``(A + A^T) / 2`` (n, n) of the neighbour graph: 1 for mutual neighbours, 0.5 for one-sided ones.

    Source: Anders et al. 2019, section 2.2.
    """
    n, k = indices.shape
    pointers = np.arange(0, n * k + 1, k)
    graph = csr_array((np.ones(n * k), np.sort(indices, axis=1).ravel(), pointers), shape=(n, n))
    return csr_array((graph + graph.T) / 2)


def _approximate(rows: Rows, k: int, random_state: int) -> tuple[Rows, Indices]:
    try:
        from pynndescent import NNDescent
    except ImportError as error:
        raise InputError(
            f"neighbours among {len(rows)} maps need pynndescent: pip install 'chinspect[spray]', or give fewer maps."
        ) from error
    index = NNDescent(rows, metric="euclidean", n_neighbors=k + _SPARE, random_state=random_state)
    indices, distances = index.neighbor_graph
    return _without_self(distances, indices.astype(np.int64), np.arange(len(rows)), k)


def _without_self(distances: NDArray[np.floating], indices: Indices, own: Indices, k: int) -> tuple[Rows, Indices]:
    """The first ``k`` of each row that are not the row itself."""
    order = np.argsort(indices == own[:, None], axis=1, kind="stable")[:, :k]
    near = np.take_along_axis(distances, order, 1).astype(np.float32)
    return near, np.take_along_axis(indices, order, 1)
