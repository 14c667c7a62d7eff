"""From feature maps of a network to one descriptor for each patch, as three protocols do it, in closed form.

All are linear with weights that are not negative. A neighbourhood of 3x3 cells, zeros outside the map, is what they
have in common (Roth et al. 2022, arXiv:2106.08265, section 3.1).

* `Roth`: the authors' implementation unfolds the neighbourhoods, upsamples them, and pools the flattened axis (channel,
  cell) adaptively to 1024 numbers a layer, then the stacked layers to 1024 in all. For layers of C and 2C channels this
  is a fixed 3x3 kernel for each of the C channels (0.1, centre 0.2: the two halves that a channel is pooled to have
  one cell in common), and the mean of each pair of the 2C channels, averaged over 3x3 cells: 2C numbers.
* `Anomalib`: the average over 3x3 cells, layers concatenated.
* `Kauffmann2025`: the authors' implementation on a single layer with dimension 2048, four times its 512 channels: four
  overlapping thirds of the nine cells, in reading order.

Maps of deeper layers are upsampled bilinearly to the size of the first.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from chinspect.errors import InputError


class Roth(nn.Module):
    """Descriptors (N, 2C, H, W) from maps (N, C, H, W) and (N, 2C, h, w): 1024 numbers for a wide ResNet-50."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        if len(channels) != 2 or channels[1] != 2 * channels[0]:
            raise InputError(
                f"embedding 'roth' needs two layers, the second of twice as many channels, not {list(channels)}: "
                "choose other layers, or embedding='anomalib' (--embedding anomalib), which takes any."
            )
        self.channels = 2 * channels[0]

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """One descriptor for each cell of the first map."""
        first, second = features
        pairs = second.unflatten(1, (-1, 2)).mean(2)
        return torch.cat([0.9 * _average(first) + 0.1 * first, _resized(_average(pairs), first)], 1)


class Anomalib(nn.Module):
    """Descriptors (N, sum of channels, H, W) from any number of maps: 1536 numbers for a wide ResNet-50."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.channels = sum(channels)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """One descriptor for each cell of the first map."""
        return torch.cat([_resized(_average(feature), features[0]) for feature in features], 1)


class Kauffmann2025(nn.Module):
    """Descriptors (N, 4C, H, W) from one map (N, C, H, W): 2048 numbers for layer2 of a wide ResNet-50."""

    thirds: Tensor

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        if len(channels) != 1:
            raise InputError(f"embedding 'kauffmann2025' takes one layer, not {len(channels)}.")
        self.channels = 4 * channels[0]
        cells = torch.arange(9)
        thirds = torch.stack([((cells >= start) & (cells < start + 3)) / 3 for start in (0, 2, 4, 6)])
        self.register_buffer("thirds", thirds.view(4, 1, 3, 3))

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """One descriptor for each cell of the map."""
        (feature,) = features
        channels = feature.shape[1]
        return F.conv2d(feature, self.thirds.to(feature).repeat(channels, 1, 1, 1), padding=1, groups=channels)


Aggregate = Roth | Anomalib | Kauffmann2025
EMBEDDINGS: dict[str, type[Aggregate]] = {
    "roth": Roth,
    "anomalib": Anomalib,
    "kauffmann2025": Kauffmann2025,
}


def _average(feature: Tensor) -> Tensor:
    """The mean over 3x3 cells, those outside of the map counted as zeros."""
    return F.avg_pool2d(feature, 3, stride=1, padding=1)


def _resized(feature: Tensor, like: Tensor) -> Tensor:
    if feature.shape[2:] == like.shape[2:]:
        return feature
    return F.interpolate(feature, like.shape[2:], mode="bilinear", align_corners=False)
