"""tau: how well an embedding falls into clusters, to rank classes by.

For a k-means partition of the embedding's rows with means mu_k,

    S_w = sum_k sum_{x in C_k} (x - mu_k)(x - mu_k)^T       S_b = sum_k (mu_k - mu)(mu_k - mu)^T

and tau is the largest generalised eigenvalue of ``S_b v = lambda S_w v``, averaged over K = 2 to 30 (Anders et al.
2019, section 2.4: Fisher's criterion with S_b not weighted by cluster sizes). As published it grows where classes are
small, falls with the prevalence of an artefact, and has no bound where a component collapses to a point. The stabilised
one leaves out the vectors that only tell components apart, weights S_b by the sizes, adds ``1e-3 tr(S_w) / q`` to the
diagonal of S_w, and takes the median of the logarithms.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, eigh

from chinspect.spray.proposals import kmeans
from chinspect.spray.spectral import Spectrum

SIZES = range(2, 31)
_RIDGE = 1e-3  # of the mean scatter: bounds tau where a cluster collapses to a point
_TINY = np.finfo(float).tiny


def tau_anders2019(embedded: Spectrum, *, random_state: int = 0, sizes: Iterable[int] = SIZES) -> float:
    """tau as published; infinite where a partition has no scatter in some direction."""
    rows = embedded.vectors
    return float(np.mean([_largest(*scatter(rows, labels)) for labels in _partitions(rows, sizes, random_state)]))


def tau_stabilised(embedded: Spectrum, *, random_state: int = 0, sizes: Iterable[int] = SIZES) -> float:
    """The median over K of log tau, with the changes that the module's description lists; nan for too few vectors."""
    rows = embedded.vectors[:, embedded.components.max() + 1 :]
    if rows.shape[1] == 0:
        return float("nan")
    values = []
    for labels in _partitions(rows, sizes, random_state):
        between, within = scatter(rows, labels, weighted=True)
        ridge = _RIDGE * max(np.trace(within), _TINY) / len(within)
        values.append(np.log(max(_largest(between, within + ridge * np.eye(len(within))), _TINY)))
    return float(np.median(values))


def scatter(
    rows: NDArray[np.float64], labels: NDArray[np.int64], *, weighted: bool = False
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """S_b and S_w (q, q) of rows (n, q); S_b is weighted by the clusters' sizes on demand."""
    values, inverse = np.unique(labels, return_inverse=True)
    sizes = np.bincount(inverse)
    means = np.stack([rows[inverse == i].mean(0) for i in range(len(values))])
    inside = rows - means[inverse]
    outside = means - rows.mean(0)
    weights = sizes if weighted else np.ones(len(sizes))
    return (outside * weights[:, None]).T @ outside, inside.T @ inside


def _partitions(rows: NDArray[np.float64], sizes: Iterable[int], random_state: int) -> list[NDArray[np.int64]]:
    return [kmeans(rows, size, random_state) for size in sizes if size < len(rows)]


def _largest(between: NDArray[np.float64], within: NDArray[np.float64]) -> float:
    try:
        return float(eigh(between, within, eigvals_only=True)[-1])
    except LinAlgError:  # no scatter within clusters in some direction
        return float("inf")
