"""Nearest neighbours among maps: exact up to a size, approximate above, with the recall measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.neighbors import NearestNeighbors

from chinspect.errors import InputError

EXACT_UP_TO = 20_000
_QUERIES = 1_000
_SPARE = 20  # candidates beyond k that the approximate search keeps: with them its recall is 1 on maps of 400 cells
_BLOCK = 4_096


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The nearest neighbours of every row.

    Attributes:
        indices: (n, k), nearest first; a row is never its own neighbour, also where others are identical to it.
        distances: (n, k), Euclidean.
        recall: the share of true neighbours that was found, measured on 1,000 rows; 1 where the search is exact.
    """

    indices: NDArray[np.int64]
    distances: NDArray[np.float32]
    recall: float


def nearest(rows: NDArray[np.float32], k: int, *, random_state: int = 0, exact_up_to: int = EXACT_UP_TO) -> Neighbours:
    """The ``k`` nearest neighbours of each row (n, d), exact where n is at most ``exact_up_to``."""
    if not 0 < k < len(rows):
        raise InputError(f"n_neighbors lies between 1 and the number of maps less one ({len(rows) - 1}), not at {k}.")
    if len(rows) <= exact_up_to:
        distances, indices = _exact(rows, None, k)
        return Neighbours(indices, distances, 1.0)
    distances, indices = _approximate(rows, k, random_state)
    chosen = np.random.default_rng(random_state).choice(len(rows), _QUERIES, replace=False)
    true = _exact(rows, chosen, k)[1]
    found = (indices[chosen][:, :, None] == true[:, None, :]).any(2).mean()
    return Neighbours(indices, distances, float(found))


def binary_affinity(indices: NDArray[np.int64]) -> csr_array:
    """``(A + A^T) / 2`` (n, n) of the neighbour graph: 1 for mutual neighbours, 0.5 for one-sided ones.

    Source: Anders et al. 2019, section 2.2.
    """
    n, k = indices.shape
    pointers = np.arange(0, n * k + 1, k)
    graph = csr_array((np.ones(n * k), np.sort(indices, axis=1).ravel(), pointers), shape=(n, n))
    return csr_array((graph + graph.T) / 2)


def _exact(
    rows: NDArray[np.float32], queries: NDArray[np.int64] | None, k: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    search = NearestNeighbors(n_neighbors=k if queries is None else k + 1, algorithm="brute").fit(rows)
    if queries is None:
        distances, indices = search.kneighbors()  # leaves each row itself out, by its index
        return distances.astype(np.float32), indices
    distances, indices = search.kneighbors(rows[queries])
    return _without_self(distances, indices, queries, k)


def _approximate(rows: NDArray[np.float32], k: int, random_state: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    try:
        from pynndescent import NNDescent
    except ImportError as error:
        raise InputError(
            f"neighbours among {len(rows)} maps need pynndescent: pip install 'chinspect[spray]', or give fewer maps."
        ) from error
    index = NNDescent(rows, metric="euclidean", n_neighbors=k + _SPARE, random_state=random_state)
    indices, distances = index.neighbor_graph
    return _without_self(distances, indices.astype(np.int64), np.arange(len(rows)), k)


def _without_self(
    distances: NDArray[np.floating], indices: NDArray[np.int64], own: NDArray[np.int64], k: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The first ``k`` of each row that are not the row itself."""
    order = np.argsort(indices == own[:, None], axis=1, kind="stable")[:, :k]
    near, far = np.take_along_axis(indices, order, 1), np.take_along_axis(distances, order, 1)
    return far.astype(np.float32), near
