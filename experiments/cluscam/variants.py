"""What reviewers asked of ClusCAM, as variants of it.

* ``split channels``: a channel that is active in several places may stand for several things (it is polysemantic). Its
  connected regions above half of its maximum become channels of their own before these are clustered.
* ``weighted by gradients``: each cluster is weighted by the mean gradient of its channels where that is positive
  (Grad-CAM's weight), instead of by what it shows.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import label
from torch import Tensor, nn

from chinspect.cam import open_layer
from chinspect.cam.clusters import cluster_centres, scaled_where_enlarged, weighted_by_scores

CLUSTERS = 10
DROP = 0.5
TEMPERATURE = 0.5


def split_channels(module: nn.Module, x: Tensor, layer: str, target: int) -> Tensor:
    """(h, w), of one image."""
    opened = open_layer(module, x, layer, target)
    regions = torch.cat([_regions(channel) for channel in opened.activations[0]])
    masks = cluster_centres(scaled_where_enlarged(regions, x), x, CLUSTERS, 0)
    return weighted_by_scores(opened, 0, masks, DROP, TEMPERATURE)


def weighted_by_gradients(module: nn.Module, x: Tensor, layer: str, target: int) -> Tensor:
    """(h, w), of one image."""
    opened = open_layer(module, x, layer, target)
    channels = scaled_where_enlarged(opened.activations[0], x)
    masks = cluster_centres(channels, x, CLUSTERS, 0)
    # each channel belongs to the centre that is nearest to it, up to the metric of enlarged maps
    member = torch.cdist(channels.flatten(1), masks.flatten(1)).argmin(1)
    gradients = opened.gradients[0].mean((1, 2))
    counts = member.bincount(minlength=CLUSTERS).clamp(min=1)
    weights = torch.zeros(CLUSTERS).index_add_(0, member, gradients).div(counts).relu()
    return (weights[:, None, None] * masks).sum(0)


def _regions(channel: Tensor) -> Tensor:
    """The channel (h, w) in its connected regions: (n, h, w), at least one."""
    values = channel.numpy()
    numbers, count = label(values > values.max() / 2)
    if count < 2:
        return channel[None]
    return torch.from_numpy(np.stack([np.where(numbers == number, values, 0) for number in range(1, count + 1)]))
