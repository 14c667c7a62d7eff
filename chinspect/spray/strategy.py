"""How usual the strategy behind one map is: a density over the clusters of all maps.

The maps' first principal components are modelled by a mixture of Gaussians, one for each cluster, as prototypical
concept-based explanations do with concept relevances (Dreyer et al. 2024). A map far from every prototype is an
outlier; the nearest prototype says which strategy it is closest to.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.special import logsumexp
from sklearn.covariance import ledoit_wolf
from sklearn.decomposition import PCA

from chinspect.spray.maps import Maps

_AXES = 16  # principal components: a covariance of more axes needs more maps than most clusters have
_RIDGE = 1e-6  # of the mean variance, so that covariances of few maps are invertible


def strategy_scores(maps: Maps, labels: NDArray[np.int64], others: Maps | None = None) -> pd.DataFrame:
    """One row for each map of ``others`` (m, h, w), or of ``maps`` (n, h, w) itself.

    Columns: ``cluster``, the nearest by Mahalanobis distance; ``distance``, that distance divided by its expectation,
    about 1 for a usual member; ``log_likelihood`` under the mixture; ``outlier``, the fraction of ``maps`` that are
    at least as likely, near 1 for a strategy that no other image uses.
    """
    rows = maps.reshape(len(maps), -1)
    axes = PCA(min(_AXES, len(rows) - 1, rows.shape[1]), random_state=0).fit(rows)
    known = axes.transform(rows)
    asked = known if others is None else axes.transform(others.reshape(len(others), -1))
    names = np.unique(labels)
    models = [_gaussian(known[labels == name], known) for name in names]
    weights = np.log([np.mean(labels == name) for name in names])
    reference, likelihood = (
        logsumexp([weight + _log_density(rows, model) for weight, model in zip(weights, models, strict=True)], axis=0)
        for rows in (known, asked)
    )
    distances = np.sqrt([_squared(asked, model) / asked.shape[1] for model in models])
    outlier = 1 - np.searchsorted(np.sort(reference), likelihood, side="left") / len(reference)
    nearest = distances.argmin(0)
    return pd.DataFrame(
        {
            "cluster": names[nearest],
            "distance": distances[nearest, np.arange(len(asked))],
            "log_likelihood": likelihood,
            "outlier": outlier,
        }
    )


_Gaussian = tuple[NDArray[np.float64], tuple[NDArray[np.float64], bool]]


def _gaussian(members: NDArray[np.float64], everyone: NDArray[np.float64]) -> _Gaussian:
    """Mean and Cholesky factor of the shrunk covariance; that of all maps where a cluster has too few of its own."""
    enough = len(members) > 2
    covariance = ledoit_wolf(members if enough else everyone)[0]
    floor = _RIDGE * np.trace(ledoit_wolf(everyone)[0]) / len(covariance)
    return members.mean(0), cho_factor(covariance + floor * np.eye(len(covariance)), lower=True)


def _squared(rows: NDArray[np.float64], model: _Gaussian) -> NDArray[np.float64]:
    mean, factor = model
    away = (rows - mean).T
    return (away * cho_solve(factor, away)).sum(0)


def _log_density(rows: NDArray[np.float64], model: _Gaussian) -> NDArray[np.float64]:
    half_log_determinant = np.log(np.diag(model[1][0])).sum()
    return -0.5 * (_squared(rows, model) + rows.shape[1] * np.log(2 * np.pi)) - half_log_determinant
