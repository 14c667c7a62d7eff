"""Groups that pseudo-groups are compared with: if these do as well, explanations have told nothing.

Features clustered in the same way (GEORGE: Sohoni et al. 2020, arXiv:2011.12945), quantiles of the loss, random groups
of the same sizes, the classes alone, and the true groups where an attribute is known.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from chinspect.errors import InputError
from chinspect.groups.groups import Groups, checked_labels, numbered
from chinspect.groups.pseudo import Cluster, Count, Scope, clustered_groups


def feature_groups(
    features: ArrayLike,
    labels: ArrayLike,
    *,
    scope: Scope = "within_class",
    cluster: Cluster = "kmeans",
    n_clusters: Count | None = None,
    random_state: int = 0,
) -> Groups:
    """Groups from features (N, d), such as embeddings; each feature is standardised. See `pseudo_groups`."""
    rows = np.asarray(features, dtype=np.float32)
    if rows.ndim != 2:
        raise InputError(f"features are (N, d), not {rows.shape}.")
    spread = rows.std(0)
    rows = (rows - rows.mean(0)) / np.where(spread > 0, spread, 1)
    return clustered_groups(
        rows,
        labels,
        method=f"features, {cluster}",
        scope=scope,
        cluster=cluster,
        n_clusters=n_clusters,
        random_state=random_state,
    )


def loss_groups(losses: ArrayLike, labels: ArrayLike, *, quantiles: int = 2) -> Groups:
    """Images of each class by quantiles of their loss (N,), as many images in each as there can be."""
    values = np.asarray(losses, dtype=np.float64)
    classes = checked_labels(labels, len(values))
    if quantiles < 1:
        raise InputError(f"there is at least 1 quantile, not {quantiles!r}.")
    parts = np.zeros(len(values), dtype=np.int64)
    for name in np.unique(classes):
        members = np.flatnonzero(classes == name)
        ranks = values[members].argsort(kind="stable").argsort(kind="stable")
        parts[members] = ranks * quantiles // len(members)
    return numbered(classes, parts, "quantiles of the loss", "quantile")


def random_groups(groups: Groups, *, random_state: int = 0) -> Groups:
    """Groups of the same sizes in each class, with images at random."""
    generator = np.random.default_rng(random_state)
    ids = groups.ids.copy()
    for name in np.unique(groups.labels):
        members = groups.labels == name
        ids[members] = generator.permutation(ids[members])
    return Groups(ids, groups.names, groups.labels, "chance")


def class_groups(labels: ArrayLike) -> Groups:
    """The classes as groups."""
    classes = checked_labels(labels, len(np.asarray(labels)))
    names, ids = np.unique(classes, return_inverse=True)
    return Groups(ids.astype(np.int64), tuple(map(str, names)), classes, "classes")


def true_groups(labels: ArrayLike, attributes: ArrayLike) -> Groups:
    """The pairs of class and attribute (N,) that occur."""
    return numbered(labels, attributes, "attributes", "attribute")
