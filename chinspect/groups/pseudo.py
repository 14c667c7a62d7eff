"""Pseudo-groups: images of a class that a classifier decides for the same reasons, found from its explanations.

ExMap (Chakraborty, Sletten, Kampffmeyer 2024, arXiv:2403.13870) clusters maps of relevance for the predicted class,
inside each class, or over all, where a group is a class and a cluster (there: local and global). Clusters come from the
spectrum of SpRAy's neighbour graph with int(log n) neighbours, where the largest gap among the first ten eigenvalues
says how many there are; from k-means; or from UMAP and k-means.

Published maps are divided by their largest absolute value. Neighbours of a rare map are then often common maps of a
small norm: what two maps have in common counts less than how concentrated one of them is. Here each map is divided by
its Euclidean norm, so that neighbours are those of the largest cosine, and clusters are over all images. On coloured
MNIST, where a group is one image in a hundred, that is the difference between finding the groups and not; see
``experiments/exmap``, which measures both.
"""

from __future__ import annotations

import warnings
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score

from chinspect.errors import InputError
from chinspect.explain import binary_affinity, nearest
from chinspect.groups.groups import Groups, checked_labels, numbered
from chinspect.spray import project, spectrum

Scope = Literal["within_class", "global"]
Cluster = Literal["spectral", "kmeans", "umap_kmeans"]
Count = int | Literal["eigengap", "silhouette"]
Norm = Literal["l2", "max"]
Rows = NDArray[np.float32]
Ids = NDArray[np.int64]
_GAPS = 10  # eigenvalues that the largest gap is looked for in, as published
_MOST = 9  # clusters that are tried by silhouette
_SILHOUETTES = 2_000  # rows that the silhouette is measured on: it takes all their distances


def pseudo_groups(
    maps: ArrayLike,
    labels: ArrayLike,
    *,
    scope: Scope = "global",
    norm: Norm = "l2",
    cluster: Cluster = "spectral",
    n_clusters: Count | None = None,
    random_state: int = 0,
) -> Groups:
    """Groups of images from maps of relevance.

    Args:
        maps: (N, H, W), or (N, C, H, W), whose channels are not summed: they tell colours apart.
        labels: (N,), the class of each image; of any number of classes.
        scope: ``global`` clusters all maps at once, ``within_class`` those of each class on their own.
        norm: what each map is divided by: its Euclidean norm, or, as published, its largest absolute value.
        cluster: ``spectral``, ``kmeans``, or ``umap_kmeans``, k-means in UMAP's plane, which needs umap-learn.
        n_clusters: of each clustering; ``eigengap`` (of ``spectral``, its default) or ``silhouette`` (of the others,
            their default) chooses it.
        random_state: seed of what is drawn.

    Raises `InputError` for shapes, names and numbers that do not fit, and for maps that are not finite.
    """
    values = np.asarray(maps, dtype=np.float32)
    if values.ndim not in (3, 4):
        raise InputError(f"maps are (N, H, W) or (N, C, H, W), not {values.shape}.")
    return clustered_groups(
        _normed(values.reshape(len(values), -1), norm),
        labels,
        method=f"explanations, {cluster}",
        scope=scope,
        cluster=cluster,
        n_clusters=n_clusters,
        random_state=random_state,
    )


def clustered_groups(
    rows: Rows,
    labels: ArrayLike,
    *,
    method: str,
    scope: Scope,
    cluster: Cluster,
    n_clusters: Count | None,
    random_state: int,
) -> Groups:
    """Groups by clusters of rows (N, d), see `pseudo_groups`."""
    classes = checked_labels(labels, len(rows))
    if not np.isfinite(rows).all():
        raise InputError("what is clustered must be finite: leave out what is NaN or infinite, with its label.")
    if scope not in ("within_class", "global"):
        raise InputError(f"the scope is within_class or global, not {scope!r}.")
    count = _checked_count(cluster, n_clusters)
    parts = np.zeros(len(rows), dtype=np.int64)
    sets = [classes == name for name in np.unique(classes)] if scope == "within_class" else [np.full(len(rows), True)]
    for members in sets:
        parts[members] = clusters(rows[members], cluster, count, random_state)
    return numbered(classes, parts, method, "cluster")


def clusters(rows: Rows, cluster: Cluster, n_clusters: Count, random_state: int) -> Ids:
    """The cluster (n,) of each row (n, d); of too few rows to cluster all are in one."""
    if len(rows) <= 3:
        return np.zeros(len(rows), dtype=np.int64)
    if cluster == "spectral":
        return _spectral(rows, n_clusters, random_state)
    points = project(rows.astype(np.float64), "umap", random_state) if cluster == "umap_kmeans" else rows
    if isinstance(n_clusters, int):
        return _kmeans(points, n_clusters, random_state)
    return _by_silhouette(points, random_state)


def _normed(rows: Rows, norm: Norm) -> Rows:
    if norm not in ("l2", "max"):
        raise InputError(f"maps are divided by their norm l2 or max, not {norm!r}.")
    # the largest first, because squares of relevance may be too small for 32 bits
    scale = np.abs(rows).max(1, keepdims=True)
    unit = (rows / np.where(scale > 0, scale, 1)).astype(np.float32)
    if norm == "max":
        return unit
    length = np.linalg.norm(unit, axis=1, keepdims=True)
    return (unit / np.where(length > 0, length, 1)).astype(np.float32)


def _checked_count(cluster: Cluster, n_clusters: Count | None) -> Count:
    usual: dict[str, Count] = {"spectral": "eigengap", "kmeans": "silhouette", "umap_kmeans": "silhouette"}
    if cluster not in usual:
        raise InputError(f"the clustering {cluster!r} is not known: use one of {', '.join(usual)}.")
    count = usual[cluster] if n_clusters is None else n_clusters
    if count != usual[cluster] and not (isinstance(count, int) and count >= 1):
        raise InputError(f"n_clusters of {cluster} is a number from 1 on, or {usual[cluster]}, not {count!r}.")
    return count


def _spectral(rows: Rows, n_clusters: Count, random_state: int) -> Ids:
    neighbours = nearest(rows, max(int(np.log(len(rows))), 1), random_state=random_state)
    wanted = n_clusters if isinstance(n_clusters, int) else 0
    found = spectrum(binary_affinity(neighbours.indices), max(_GAPS + 1, wanted))
    # as published: the largest gap but the first, so that there are two clusters or more
    size = wanted or int(np.argmax(np.diff(found.eigenvalues)[1:_GAPS])) + 2
    return _kmeans(found.vectors[:, :size], size, random_state)


def _by_silhouette(rows: NDArray[np.floating], random_state: int) -> Ids:
    """K-means with the number of clusters, from 2 on, whose mean silhouette is the largest."""
    sizes = range(2, min(_MOST, len(rows) - 1) + 1)
    tried = [_kmeans(rows, size, random_state) for size in sizes]
    sample = min(_SILHOUETTES, len(rows))
    scores = [
        silhouette_score(rows, labels, sample_size=sample, random_state=random_state) if labels.any() else -1
        for labels in tried
    ]
    return tried[int(np.argmax(scores))]


def _kmeans(rows: NDArray[np.floating], size: int, random_state: int) -> Ids:
    size = min(size, len(rows))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of rows that are equal there are fewer clusters, which is no error here
        labels = KMeans(size, n_init=10, random_state=random_state).fit_predict(rows)
    return labels.astype(np.int64)
