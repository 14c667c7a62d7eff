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
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score
from torch import Tensor, nn

from chinspect.cam import grad_cam
from chinspect.errors import InputError
from chinspect.explain import area_sum
from chinspect.spray import SpRAy
from chinspect.spray.candidates import focus

_METRICS: dict[str, Literal["cosine", "euclidean"]] = {
    "cosine": "cosine",
    "rbf": "euclidean",
    "nearest_neighbors": "euclidean",
}
_SELECTIONS = ("auto", "eigengap", "fixed")
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
        if affinity not in _METRICS:
            raise InputError(f"the affinity {affinity!r} is not known: use one of {', '.join(_METRICS)}.")
        if cluster_selection not in _SELECTIONS:
            raise InputError(f"the selection {cluster_selection!r} is not known: use auto, eigengap or fixed.")
        if cluster_selection == "fixed" and n_clusters is None:
            raise InputError("cluster_selection='fixed' needs n_clusters.")
        self.affinity = affinity
        self.cluster_selection = cluster_selection
        self.downsample_size = downsample_size
        self.n_clusters = n_clusters
        self.min_clusters = min_clusters
        self.max_clusters = max_clusters
        self.nearest_neighbors = nearest_neighbors
        self.random_state = random_state
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
        generator = heatmap_generator or self.heatmap_generator
        if generator is None and model is not None and target_layer is not None:
            generator = partial(_grad_cams, model, target_layer, head, target_index, batch_size)
        maps = _maps(heatmaps, inputs, generator)
        if group_labels is not None and np.shape(group_labels) != maps.shape[:1]:
            raise InputError(
                f"group_labels are one for each of {len(maps)} maps, not of shape {np.shape(group_labels)}."
            )
        pool = self.downsample_size
        if isinstance(pool, tuple):
            maps = area_sum(maps, pool)
            pool = None
        analysis = SpRAy(
            metric=_METRICS[self.affinity],
            n_neighbors=self.nearest_neighbors,
            pool=pool,
            random_state=self.random_state,
        )
        self.spray_ = analysis.fit(maps, labels)
        bounds = (self.n_clusters, self.n_clusters) if self.n_clusters else (self.min_clusters, self.max_clusters)
        self.cluster_labels_ = _partition(self.spray_, *bounds)
        own = self.cluster_labels_[self.spray_.kept_]
        self.representative_heatmaps_ = {int(k): self.spray_.maps_[own == k].mean(0) for k in np.unique(own)}
        self.shortcut_detected_ = bool(self.spray_.flagged_)
        self._clusters = _records(self.spray_, self.cluster_labels_, labels, group_labels)
        return self

    def get_report(self) -> dict[str, Any]:
        """``report`` holds ``clusters``, a record each, and ``clever_hans``: whether anything is flagged, the verdict,
        a sentence for each flag, and the records of the candidates with the indices of their members.
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
            "metrics": self._metrics(),
            "metadata": {"n_samples": len(self.cluster_labels_), "affinity": self.affinity},
            "report": {"clusters": self._clusters, "clever_hans": suspected},
            "details": {
                "cluster_labels": self.cluster_labels_,
                "representative_heatmaps": self.representative_heatmaps_,
            },
        }

    def summary(self) -> str:
        """The result in a few lines."""
        report = self.get_report()["report"]
        suspected = report["clever_hans"]
        rows = (f"cluster {c['cluster_id']}: {c['size']} maps, focus {c['focus_mean']:.2f}" for c in self._clusters)
        return "\n".join([f"SpRAy: {suspected['risk_level']}", *suspected["flags"], *rows])

    def _metrics(self) -> dict[str, Any]:
        """Numbers of the partition as a whole; None where there is none."""
        rows = self.spray_.maps_.reshape(len(self.spray_.maps_), -1)
        own = self.cluster_labels_[self.spray_.kept_]
        silhouette = None
        if 1 < len(self._clusters) < len(own):  # it is not defined for one cluster, and not for clusters of one
            silhouette = float(silhouette_score(rows, own, metric=self.spray_.metric))
        purities = [record["label_purity"] for record in self._clusters if record["label_purity"] is not None]
        return {
            "n_clusters": len(self._clusters),
            "silhouette": silhouette,
            "mean_label_purity": float(np.mean(purities)) if purities else None,
            "max_label_purity": max(purities, default=None),
            "mean_focus": float(np.mean([record["focus_mean"] for record in self._clusters])),
        }


def _maps(heatmaps: ArrayLike | None, inputs: Any, generator: Callable[[Any], ArrayLike] | None) -> NDArray[np.float32]:
    """The maps (N, h, w), also where they come as (N, h, w, 1), or those that a generator makes of the inputs."""
    if heatmaps is None and inputs is not None and generator is not None:
        heatmaps = generator(inputs)
    if heatmaps is None:
        raise InputError("give heatmaps, or inputs with a heatmap_generator or with a model and a target_layer.")
    maps = np.asarray(heatmaps, dtype=np.float32)
    return maps[..., 0] if maps.ndim == 4 and maps.shape[-1] == 1 else maps


def _partition(spray: SpRAy, least: int, most: int) -> NDArray[np.int64]:
    """Labels (N,) of k-means on the embedding, by the eigengap between ``least`` and ``most``; -1 where left out."""
    if not 1 <= least <= min(most, len(spray.maps_)):
        raise InputError(f"clusters are between 1 and the {len(spray.maps_)} maps compared, not {least} to {most}.")
    gaps = np.diff(spray.eigenvalues_)[least - 1 : most]
    size = least + int(np.argmax(gaps)) if len(gaps) else least
    labels = np.full(len(spray.duplicates_), -1)
    labels[spray.kept_] = KMeans(size, n_init=10, random_state=spray.random_state).fit_predict(
        spray.embedding_[:, :size]
    )
    labels = labels[spray.duplicates_]
    labels[np.concatenate([spray.zero_, spray.invalid_])] = -1
    return labels


def _records(
    spray: SpRAy, clusters: NDArray[np.int64], labels: ArrayLike | None, groups: ArrayLike | None
) -> list[dict[str, Any]]:
    """Size, fraction of all maps, purity by both kinds of labels, and the focus of the maps, of each cluster."""
    own = clusters[spray.kept_]
    focuses = np.array([focus(heatmap) for heatmap in spray.maps_.astype(np.float64)])
    records = []
    for cluster in np.unique(own):
        members = np.flatnonzero(clusters == cluster)
        records.append(
            {
                "cluster_id": int(cluster),
                "size": len(members),
                "fraction": len(members) / len(clusters),
                "label_purity": _purity(labels, members),
                "group_purity": _purity(groups, members),
                "focus_mean": float(focuses[own == cluster].mean()),
                "focus_std": float(focuses[own == cluster].std()),
            }
        )
    return records


def _purity(labels: ArrayLike | None, members: NDArray[np.int64]) -> float | None:
    """The fraction of members with the commonest label."""
    if labels is None:
        return None
    return float(np.unique(np.asarray(labels)[members], return_counts=True)[1].max() / len(members))


class _OneOutput(nn.Module):
    """A model of which one output is taken, by its key."""

    def __init__(self, model: nn.Module, head: str | int) -> None:
        super().__init__()
        self.model = model
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        output = self.model(x)
        if isinstance(output, Tensor):
            return output
        try:
            named = hasattr(output, str(self.head))
            selected: Tensor = getattr(output, str(self.head)) if named else output[self.head]
        except (KeyError, IndexError, TypeError) as error:
            raise InputError(f"the model has no output {self.head!r}: give head its key or place.") from error
        return selected


def _grad_cams(
    model: nn.Module, layer: str | nn.Module, head: str | int, target: int | None, batch_size: int, inputs: Any
) -> NDArray[np.float32]:
    """Grad-CAM (N, h, w) of inputs (N, C, H, W) at a layer, in evaluation mode; the model is left as it was."""
    x = torch.stack([torch.as_tensor(one) for one in inputs]) if isinstance(inputs, list | tuple) else inputs
    x = torch.as_tensor(x, dtype=torch.float32)
    x = x[None] if x.ndim == 3 else x
    names = [name for name, module in model.named_modules() if module is layer]
    if not isinstance(layer, str) and not names:
        raise InputError("the target_layer is no module of the model.")
    name = layer if isinstance(layer, str) else names[0]
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    one_output = _OneOutput(model, head)
    maps = []
    for batch in x.split(batch_size):
        targets = None if target is None else torch.full((len(batch),), target, device=device)
        maps.append(grad_cam(one_output, batch.to(device), f"model.{name}", targets))
    return torch.cat(maps).cpu().numpy()
