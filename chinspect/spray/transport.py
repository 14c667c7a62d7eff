"""Nearest neighbours of maps under optimal transport: Wasserstein and Gromov-Wasserstein distances.

A map's positive relevance is taken as a distribution of mass over its cells (signed maps are no measures). The
*Wasserstein* distance is the least work that moves one into the other, so that a mark that lies a little elsewhere is a
little away, not entirely. The *Gromov-Wasserstein* distance compares the distances inside each map, and ignores where
its shapes lie and how they are turned (Anders et al. 2019, section 2.3; Peyre, Cuturi, Solomon 2016).

Both are exact on the 100 cells of the largest mass (at most 99 % of it), and on the 50 maps that a lower bound puts
nearest: for Wasserstein the distance of the centres of mass, for Gromov-Wasserstein that of the sorted eccentricities
(Memoli 2011, first lower bound).
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from joblib import Parallel, delayed
from scipy.spatial.distance import cdist
from sklearn.neighbors import NearestNeighbors

from chinspect.errors import InputError
from chinspect.explain import Neighbours
from chinspect.spray.arrays import Floats, Maps

Transport = Literal["wasserstein", "gromov_wasserstein"]
Measure = tuple[Floats, Floats]
LARGEST_SIDE = 14
_CELLS = 100  # of a measure: the cost of exact transport is cubic in them
_MASS = 0.99  # of a map, that its measure holds
_SHORTLIST = 50  # maps that are compared exactly with each
_STRETCHES = 32  # of a quantile function


def measure(map_: Maps) -> Measure:
    """Positions (c, 2) and masses (c,), of sum 1, of the cells with 99 % of the positive relevance of a map (h, w)."""
    mass = np.maximum(map_.ravel().astype(np.float64), 0)
    order = np.argsort(-mass, kind="stable")[:_CELLS]
    enough = int(np.searchsorted(np.cumsum(mass[order]), _MASS * mass.sum())) + 1
    cells = order[: max(min(enough, int((mass[order] > 0).sum())), 1)]
    positions = np.stack(np.unravel_index(cells, map_.shape), 1).astype(np.float64)
    weights = mass[cells] if mass[cells].sum() > 0 else np.ones(len(cells))
    return positions, weights / weights.sum()


def distance(a: Measure, b: Measure, metric: Transport) -> float:
    """The distance of two measures, in cells; for Gromov-Wasserstein the square root of its least square loss."""
    ot = _pot()
    if metric == "wasserstein":
        return float(ot.emd2(a[1], b[1], cdist(a[0], b[0])))
    inner = cdist(a[0], a[0]), cdist(b[0], b[0])
    return float(np.sqrt(max(ot.gromov.gromov_wasserstein2(*inner, a[1], b[1], "square_loss"), 0)))


def nearest_by_transport(maps: Maps, k: int, metric: Transport, *, n_jobs: int = 1) -> Neighbours:
    """The ``k`` nearest neighbours of each map (n, h, w); ``recall`` is not measured, and nan unless all were compared.

    Raises `InputError` for maps of more than 14 x 14 cells, which would take minutes each, and without POT.
    """
    if max(maps.shape[1:]) > LARGEST_SIDE:
        raise InputError(
            f"{metric} compares maps of at most 14 x 14 cells, not {maps.shape[1:]}: give pool=14 or less."
        )
    _pot()
    measures = [measure(map_) for map_ in maps]
    shortlist = min(max(_SHORTLIST, k), len(maps) - 1)
    near = NearestNeighbors(n_neighbors=shortlist).fit(_bounds(measures, metric)).kneighbors(return_distance=False)
    rows = Parallel(n_jobs=n_jobs)(
        delayed(_row)([measures[i], *(measures[j] for j in row)], metric) for i, row in enumerate(near)
    )
    distances = np.asarray(rows)
    order = np.argsort(distances, axis=1, kind="stable")[:, :k]
    return Neighbours(
        np.take_along_axis(near, order, 1),
        np.take_along_axis(distances, order, 1).astype(np.float32),
        recall=1.0 if shortlist == len(maps) - 1 else float("nan"),
    )


def _row(measures: list[Measure], metric: Transport) -> list[float]:
    return [distance(measures[0], other, metric) for other in measures[1:]]


def _bounds(measures: list[Measure], metric: Transport) -> Floats:
    """Vectors (n, d) whose Euclidean distances bound those of the measures from below."""
    if metric == "wasserstein":
        return np.stack([weights @ positions for positions, weights in measures])
    return np.stack([_eccentricities(positions, weights) for positions, weights in measures])


def _eccentricities(positions: Floats, weights: Floats) -> Floats:
    """How far points are from all others, ``sqrt(sum_j w_j d_ij^2)``, as the quantile function's means (32,) over
    equal stretches, divided by sqrt(32): the Euclidean distance of two is at most that of the quantile functions.
    """
    values = np.sqrt(cdist(positions, positions, "sqeuclidean") @ weights)
    order = np.argsort(values, kind="stable")
    mass = np.cumsum(np.concatenate([[0.0], weights[order]]))
    integral = np.cumsum(np.concatenate([[0.0], (weights * values)[order]]))
    means = np.diff(np.interp(np.linspace(0, 1, _STRETCHES + 1), mass, integral)) * _STRETCHES
    return means / np.sqrt(_STRETCHES)


def _pot() -> Any:
    try:
        import ot
    except ImportError as error:
        raise InputError("optimal transport needs POT: pip install 'chinspect[spray]'.") from error
    return ot
