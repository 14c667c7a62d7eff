"""How usual the strategy behind one map is: a density over the clusters of all maps.

The maps' first principal components are modelled by a mixture of Gaussians, one for each cluster, as prototypical
concept-based explanations do with concept relevances (Dreyer et al. 2024). A map far from every prototype is an
outlier; the nearest prototype says which strategy it is closest to.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.covariance import ledoit_wolf
from sklearn.decomposition import PCA

from chinspect.spray.arrays import Floats, Indices, Maps

_AXES = 16  # principal components: a covariance of more axes needs more maps than most clusters have
_RIDGE = 1e-6  # of the mean variance, so that covariances of few maps are invertible


def strategy_scores(maps: Maps, labels: Indices, others: Maps | None = None) -> pd.DataFrame:
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
    weights = np.log([np.mean(labels == name) for name in names])[:, None]
    densities = np.array([model.logpdf(asked) for model in models])
    likelihood = logsumexp(weights + densities, axis=0)
    reference = logsumexp(weights + [model.logpdf(known) for model in models], axis=0)
    # The density falls from that of the mean by half of the squared distance, whose expectation is the number of axes.
    peaks = np.array([model.logpdf(model.mean) for model in models])[:, None]
    distances = np.sqrt(2 * np.maximum(peaks - densities, 0) / asked.shape[1])
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


def _gaussian(members: Floats, everyone: Floats) -> Any:
    """The normal distribution of some rows, with a shrunk covariance; that of all where a cluster has too few."""
    covariance = ledoit_wolf(members if len(members) > 2 else everyone)[0]
    floor = _RIDGE * np.trace(ledoit_wolf(everyone)[0]) / len(covariance)
    return multivariate_normal(members.mean(0), covariance + floor * np.eye(len(covariance)))
