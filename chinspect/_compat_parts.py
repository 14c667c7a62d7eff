"""What `chinspect.compat` needs beside SpRAy: a partition of a wanted size, records of clusters, Grad-CAM."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score
from torch import Tensor, nn

from chinspect.cam import grad_cam
from chinspect.errors import InputError
from chinspect.spray import SpRAy
from chinspect.spray.candidates import focus

METRICS: dict[str, Literal["cosine", "euclidean"]] = {
    "cosine": "cosine",
    "rbf": "euclidean",
    "nearest_neighbors": "euclidean",
}


def check_choices(affinity: str, selection: str, n_clusters: int | None) -> None:
    """Raises `InputError` for names that are not known, and a fixed partition without its size."""
    if affinity not in METRICS:
        raise InputError(f"the affinity {affinity!r} is not known: use one of {', '.join(METRICS)}.")
    if selection not in ("auto", "eigengap", "fixed"):
        raise InputError(f"the selection {selection!r} is not known: use auto, eigengap or fixed.")
    if selection == "fixed" and n_clusters is None:
        raise InputError("cluster_selection='fixed' needs n_clusters.")


def given_maps(
    heatmaps: ArrayLike | None, inputs: Any, generator: Callable[[Any], ArrayLike] | None
) -> NDArray[np.float32]:
    """The maps (N, h, w), also where they are given as (N, h, w, 1), or those that a generator makes of the inputs."""
    if heatmaps is None and inputs is not None and generator is not None:
        heatmaps = generator(inputs)
    if heatmaps is None:
        raise InputError("give heatmaps, or inputs with a heatmap_generator or with a model and a target_layer.")
    maps = np.asarray(heatmaps, dtype=np.float32)
    return maps[..., 0] if maps.ndim == 4 and maps.shape[-1] == 1 else maps


def partition(spray: SpRAy, least: int, most: int) -> NDArray[np.int64]:
    """Labels (N,) of k-means on the embedding, by the eigengap between ``least`` and ``most``; -1 where left out."""
    if not 1 <= least <= min(most, len(spray.maps_)):
        raise InputError(f"clusters are between 1 and the {len(spray.maps_)} maps compared, not {least} to {most}.")
    gaps = np.diff(spray.eigenvalues_)[least - 1 : most]
    size = least + int(np.argmax(gaps)) if len(gaps) else least
    labels = np.full(len(spray.duplicates_), -1)
    means = KMeans(size, n_init=10, random_state=spray.random_state)
    labels[spray.kept_] = means.fit_predict(spray.embedding_[:, :size])
    whole = labels[spray.duplicates_]
    whole[np.concatenate([spray.zero_, spray.invalid_])] = -1
    return whole


def cluster_records(
    spray: SpRAy, clusters: NDArray[np.int64], labels: ArrayLike | None, groups: ArrayLike | None
) -> list[dict[str, Any]]:
    """Size, share, purity by both kinds of labels, and the focus of the maps, of each cluster."""
    own, focuses = clusters[spray.kept_], np.array([focus(map_) for map_ in spray.maps_.astype(np.float64)])
    records = []
    for cluster in np.unique(own):
        members, inside = np.flatnonzero(clusters == cluster), focuses[own == cluster]
        records.append(
            {
                "cluster_id": int(cluster),
                "size": len(members),
                "fraction": len(members) / len(clusters),
                "label_purity": _purity(labels, members),
                "group_purity": _purity(groups, members),
                "focus_mean": float(inside.mean()),
                "focus_std": float(inside.std()),
            }
        )
    return records


def _purity(labels: ArrayLike | None, members: NDArray[np.int64]) -> float | None:
    """The share of the commonest label."""
    if labels is None:
        return None
    return float(np.unique(np.asarray(labels)[members], return_counts=True)[1].max() / len(members))


def metrics(spray: SpRAy, clusters: NDArray[np.int64], records: list[dict[str, Any]]) -> dict[str, Any]:
    """Numbers of the whole partition; None where there is none."""
    rows, own = spray.maps_.reshape(len(spray.maps_), -1), clusters[spray.kept_]
    apart = 1 < len(records) < len(own)
    purities = [record["label_purity"] for record in records if record["label_purity"] is not None]
    return {
        "n_clusters": len(records),
        "silhouette": float(silhouette_score(rows, own, metric=spray.metric)) if apart else None,
        "mean_label_purity": float(np.mean(purities)) if purities else None,
        "max_label_purity": max(purities, default=None),
        "mean_focus": float(np.mean([record["focus_mean"] for record in records])),
    }


class _OneOutput(nn.Module):
    """A model of which one output is taken, by its key."""

    def __init__(self, model: nn.Module, head: str | int) -> None:
        super().__init__()
        self.model, self.head = model, head

    def forward(self, x: Tensor) -> Tensor:
        output = self.model(x)
        if isinstance(output, Tensor):
            return output
        try:
            named = hasattr(output, str(self.head))
            chosen: Tensor = getattr(output, str(self.head)) if named else output[self.head]
        except (KeyError, IndexError, TypeError) as error:
            raise InputError(f"the model has no output {self.head!r}: give head its key or place.") from error
        return chosen


def grad_cams(
    model: nn.Module, layer: str | nn.Module, inputs: Any, *, head: str | int, target: int | None, batch_size: int
) -> NDArray[np.float32]:
    """Grad-CAM (N, h, w) of inputs (N, C, H, W) at a layer, in evaluation mode; the model is left as it was."""
    x = torch.stack([torch.as_tensor(one) for one in inputs]) if isinstance(inputs, list | tuple) else inputs
    x = torch.as_tensor(x, dtype=torch.float32)
    x = x[None] if x.ndim == 3 else x
    names = [name for name, module in model.named_modules() if module is layer]
    if not isinstance(layer, str) and not names:
        raise InputError("the target_layer is no module of the model.")
    name = layer if isinstance(layer, str) else names[0]
    modes = {module: module.training for module in model.modules()}
    whole = _OneOutput(model, head).eval()
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    try:
        parts = [
            grad_cam(
                whole,
                part.to(device),
                f"model.{name}",
                None if target is None else torch.full((len(part),), target, device=device),
            )
            for part in x.split(batch_size)
        ]
    finally:
        for module, mode in modes.items():
            module.training = mode
    return torch.cat(parts).cpu().numpy()
