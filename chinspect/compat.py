"""The interface of ShortKit-ML's ``SpRAyDetector``, answered by `chinspect.spray.SpRAy`: change the import line.

Clusters are a partition of the spectral embedding. What is flagged are candidates that were tested against chance, and
no threshold on a cluster's size, purity or focus decides. So ``risk_level`` is no level but the verdict, ``candidate``,
``undetected_above(m)`` or ``untested`` (``confirmed`` takes an intervention, see `chinspect.proof`); nothing is low.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from torch import nn

from chinspect._compat_parts import METRICS, check_choices, cluster_records, given_maps, grad_cams, metrics, partition
from chinspect.errors import InputError
from chinspect.explain import area_sum
from chinspect.spray import SpRAy

_UNUSED = {"rbf_gamma", "small_cluster_threshold", "purity_threshold", "focus_threshold", "separation_threshold"}
_UNUSED |= {"alignment_threshold"}


class SpRAyDetector:
    """Clusters of heat maps, and candidates for a Clever Hans strategy among them.

    Args:
        n_clusters: of the partition, for every selection; ``cluster_selection="fixed"`` needs it.
        cluster_selection: ``auto`` and ``eigengap`` take the eigengap between ``min_clusters`` and ``max_clusters``.
        affinity: ``cosine``: neighbours by angle; ``rbf``, ``nearest_neighbors``: by Euclidean distance.
        nearest_neighbors: of each map in the graph.
        downsample_size: rows and columns that maps are summed to; None leaves them.
        random_state: seeds everything.
        heatmap_generator: from inputs to maps (N, H, W).
        unused: the peer's thresholds and ``rbf_gamma``, which decide nothing here; a warning says so.

    After `fit`: ``spray_``, the analysis; ``cluster_labels_`` (N,), -1 where a map cannot be compared;
    ``representative_heatmaps_``, the mean map of each cluster, and ``shortcut_detected_``.
    """

    def __init__(
        self,
        *,
        n_clusters: int | None = None,
        cluster_selection: Literal["auto", "eigengap", "fixed"] = "auto",
        affinity: Literal["cosine", "rbf", "nearest_neighbors"] = "cosine",
        nearest_neighbors: int = 10,
        min_clusters: int = 2,
        max_clusters: int = 10,
        downsample_size: int | tuple[int, int] | None = 32,
        random_state: int = 42,
        heatmap_generator: Callable[[Any], ArrayLike] | None = None,
        **unused: float | None,
    ) -> None:
        if not set(unused) <= _UNUSED:
            raise TypeError(f"SpRAyDetector has no parameter {', '.join(sorted(set(unused) - _UNUSED))}.")
        if unused:
            warnings.warn(f"{', '.join(unused)}: not used, flags are tested against chance instead.", stacklevel=2)
        check_choices(affinity, cluster_selection, n_clusters)
        self.affinity, self.cluster_selection, self.downsample_size = affinity, cluster_selection, downsample_size
        self.n_clusters, self.min_clusters, self.max_clusters = n_clusters, min_clusters, max_clusters
        self.nearest_neighbors, self.random_state = nearest_neighbors, random_state
        self.heatmap_generator = heatmap_generator

    def fit(
        self,
        heatmaps: ArrayLike | None = None,
        *,
        labels: ArrayLike | None = None,
        group_labels: ArrayLike | None = None,
        inputs: Any = None,
        heatmap_generator: Callable[[Any], ArrayLike] | None = None,
        model: nn.Module | None = None,
        target_layer: str | nn.Module | None = None,
        head: str | int = "logits",
        target_index: int | None = None,
        batch_size: int = 16,
    ) -> Self:
        """Analyses maps (N, H, W), or those that a generator, or Grad-CAM, makes of ``inputs`` (N, C, H, W).

        ``head`` is the key of a model's output where it has several, ``target_index`` what is explained: None is the
        largest output of each image. Raises `InputError` without maps or a way to make them, and as `SpRAy.fit` does.
        """
        cam = None if model is None or target_layer is None else partial(grad_cams, model, target_layer)
        generator = heatmap_generator or self.heatmap_generator
        if generator is None and cam is not None:
            generator = partial(cam, head=head, target=target_index, batch_size=batch_size)
        maps = given_maps(heatmaps, inputs, generator)
        if group_labels is not None and np.shape(group_labels) != maps.shape[:1]:
            raise InputError(
                f"group_labels are one for each of {len(maps)} maps, not of shape {np.shape(group_labels)}."
            )
        pool = self.downsample_size
        if isinstance(pool, tuple):
            maps, pool = area_sum(maps, pool), None
        analysis = SpRAy(
            metric=METRICS[self.affinity],
            n_neighbors=self.nearest_neighbors,
            pool=pool,
            random_state=self.random_state,
        )
        self.spray_ = analysis.fit(maps, labels)
        bounds = (self.n_clusters, self.n_clusters) if self.n_clusters else (self.min_clusters, self.max_clusters)
        self.cluster_labels_ = partition(self.spray_, *bounds)
        own = self.cluster_labels_[self.spray_.kept_]
        self.representative_heatmaps_ = {int(k): self.spray_.maps_[own == k].mean(0) for k in np.unique(own)}
        self.shortcut_detected_ = bool(self.spray_.flagged_)
        self._clusters = cluster_records(self.spray_, self.cluster_labels_, labels, group_labels)
        return self

    def get_report(self) -> dict[str, Any]:
        """``report`` holds ``clusters``, a record each, and ``clever_hans``: whether anything is flagged, the verdict,
        a sentence for each flag, and the records of the candidates with the places of their members.
        """
        if not hasattr(self, "spray_"):
            raise InputError("there is no report before fit.")
        flagged = self.spray_.flagged_
        verdict = {"shortcut_detected": self.shortcut_detected_, "risk_level": self.spray_.verdict_}
        sentences = [f"{c.size} maps share {c.shared:.0%} of their relevance (q = {c.q_value:.2g})" for c in flagged]
        candidates = [c.record() | {"indices": c.indices.tolist()} for c in flagged]
        suspected = verdict | {"flags": sentences, "candidates": candidates}
        return {
            "method": "spray",
            **verdict,
            "metrics": metrics(self.spray_, self.cluster_labels_, self._clusters),
            "metadata": {"n_samples": len(self.cluster_labels_), "affinity": self.affinity},
            "report": {"clusters": self._clusters, "clever_hans": suspected},
            "details": {
                "cluster_labels": self.cluster_labels_,
                "representative_heatmaps": self.representative_heatmaps_,
            },
        }

    def summary(self) -> str:
        """The result in a few lines."""
        found = self.get_report()["report"]
        lines = [f"SpRAy: {found['clever_hans']['risk_level']}", *found["clever_hans"]["flags"]]
        rows = (f"cluster {c['cluster_id']}: {c['size']} maps, focus {c['focus_mean']:.2f}" for c in found["clusters"])
        return "\n".join([*lines, *rows])
