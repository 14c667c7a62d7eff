"""What reviewers asked of ClusCAM, as variants of it, from network, image, layer and class to a map (h, w).

* ``split channels``: a channel that is active in several places may stand for several things (it is polysemantic). Its
  connected regions above half of its maximum become channels of their own before these are clustered.
* ``weighted by gradients``: each cluster is weighted by the mean gradient of its channels where that is positive
  (Grad-CAM's weight), instead of by what it shows.
* ``ward``, ``spectral``: means of the channels that these clusterings put together, instead of those of k-means++;
  ``random clusters``: of channels at random, which tells what clustering does at all.
* ``divided``: the image divided by a mask, at least .1, instead of multiplied: a cluster counts for what the score
  loses where the image is exaggerated outside of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import label
from sklearn.cluster import AgglomerativeClustering, SpectralClustering
from sklearn.neighbors import kneighbors_graph
from torch import Tensor, nn

from chinspect.cam import open_layer
from chinspect.cam.clusters import cluster_centres, scaled_where_enlarged, weighted_by_scores
from chinspect.cam.layer import Layer, enlarged

CLUSTERS = 10
DROP = 0.5
TEMPERATURE = 0.5
_FLOOR = 0.1
Variant = Callable[[nn.Module, Tensor, str, int], Tensor]
Members = Callable[[NDArray[np.floating]], NDArray[np.int_]]


def split_channels(module: nn.Module, x: Tensor, layer: str, target: int) -> Tensor:
    """(h, w), of one image."""
    opened = open_layer(module, x, layer, target)
    regions = torch.cat([_regions(channel) for channel in opened.activations[0]])
    masks = cluster_centres(scaled_where_enlarged(regions, x), x, CLUSTERS, 0)
    return weighted_by_scores(opened, 0, masks, DROP, TEMPERATURE)


def weighted_by_gradients(module: nn.Module, x: Tensor, layer: str, target: int) -> Tensor:
    """(h, w), of one image."""
    opened, channels = _opened(module, x, layer, target)
    masks = cluster_centres(channels, x, CLUSTERS, 0)
    # each channel belongs to the centre that is nearest to it, up to the metric of enlarged maps
    member = torch.cdist(channels.flatten(1), masks.flatten(1)).argmin(1)
    gradients = opened.gradients[0].mean((1, 2))
    counts = member.bincount(minlength=CLUSTERS).clamp(min=1)
    weights = torch.zeros(CLUSTERS).index_add_(0, member, gradients).div(counts).relu()
    return (weights[:, None, None] * masks).sum(0)


def clustered_by(
    module: nn.Module,
    x: Tensor,
    layer: str,
    target: int,
    *,
    members: Callable[[NDArray[np.floating]], NDArray[np.int_]],
) -> Tensor:
    """(h, w), of one image, from clusters of its channels (K, h * w)."""
    opened, channels = _opened(module, x, layer, target)
    ids = members(channels.flatten(1).double().numpy())
    masks = torch.stack([channels[torch.from_numpy(ids == number)].mean(0) for number in np.unique(ids)])
    return weighted_by_scores(opened, 0, masks, DROP, TEMPERATURE)


def divided(module: nn.Module, x: Tensor, layer: str, target: int) -> Tensor:
    """(h, w), of one image."""
    opened, channels = _opened(module, x, layer, target)
    masks = cluster_centres(channels, x, CLUSTERS, 0)
    exaggerated = x / enlarged(masks, x).clamp(min=_FLOOR)[:, None]
    lost = -opened.question.score(0, exaggerated)
    lost = lost.index_fill(0, lost.argsort()[: int(DROP * len(lost))], -torch.inf)
    weights = lost.div(TEMPERATURE).softmax(0)
    return (weights[:, None, None] * masks).sum(0)


def _opened(module: nn.Module, x: Tensor, layer: str, target: int) -> tuple[Layer, Tensor]:
    """The layer, and its channels (K, h, w) as ClusCAM clusters them."""
    opened = open_layer(module, x, layer, target)
    return opened, scaled_where_enlarged(opened.activations[0], x)


def _regions(channel: Tensor) -> Tensor:
    """The channel (h, w) in its connected regions: (n, h, w), at least one."""
    values = channel.numpy()
    numbers, count = label(values > values.max() / 2)
    if count < 2:
        return channel[None]
    return torch.from_numpy(np.stack([np.where(numbers == number, values, 0) for number in range(1, count + 1)]))


def _ward(rows: NDArray[np.floating]) -> NDArray[np.int_]:
    return AgglomerativeClustering(CLUSTERS).fit_predict(rows)


def _spectral(rows: NDArray[np.floating]) -> NDArray[np.int_]:
    neighbours = kneighbors_graph(rows, min(20, len(rows) - 1))
    affinity = 0.5 * (neighbours + neighbours.T)
    return SpectralClustering(CLUSTERS, affinity="precomputed", random_state=0).fit_predict(affinity)


def _random(rows: NDArray[np.floating]) -> NDArray[np.int_]:
    return np.random.default_rng(0).integers(0, CLUSTERS, len(rows))


VARIANTS: Mapping[str, Variant] = {
    "split channels": split_channels,
    "weighted by gradients": weighted_by_gradients,
    "ward": partial(clustered_by, members=_ward),
    "spectral": partial(clustered_by, members=_spectral),
    "random clusters": partial(clustered_by, members=_random),
    "divided": divided,
}
