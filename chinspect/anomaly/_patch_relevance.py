"""Explaining PatchCore: from the score back to descriptors, features and pixels.

The score of an image is the distance ``||e - m||`` of its oddest patch to the nearest prototype (times a weight, which
is taken as it is). With ``delta = e - m`` entry d of the descriptor holds

    R_d = delta_d^2 / ||delta||^2 * s.

Where ``e_d = 0`` the prototype has a feature that the image lacks. No activation can carry that on: it is the
reference. All else goes to the features by the transposed aggregation, ``R_i = f_i sum_d A_di R_d / e_d``, and through
the backbone as a relevance map has it. Its rules read the values of pixels, so that the derivative ``c`` of the score,
times a frequency band of the image, is the relevance of that band at each pixel. Tracing the backbone takes longer than
pulling through it, so its graph is kept for as long as it lives.
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from chinspect.anomaly._features import LayerFeatures
from chinspect.relevance import Graph, relevance_map, trace

COMPOSITE = "epsilon_plus"
_Version = tuple[object, ...]
_GRAPHS: WeakKeyDictionary[LayerFeatures, tuple[_Version, Graph]] = WeakKeyDictionary()


class FlatFeatures(nn.Module):
    """Flattened features of all layers (N, F) of images (N, C, H, W)."""

    def __init__(self, features: LayerFeatures) -> None:
        super().__init__()
        self.features = features

    def forward(self, x: Tensor) -> Tensor:
        """Features of one layer after the other."""
        return torch.cat([feature.flatten(1) for feature in self.features(x)], 1)


def patch_derivative(
    features: LayerFeatures, aggregate: nn.Module, z: Tensor, patch: Tensor, prototype: Tensor, score: Tensor
) -> tuple[Tensor, float]:
    """What each pixel's value is multiplied by to be its relevance, (1, C, H, W), and the reference.

    Args:
        z: one normalised image (1, C, H, W).
        patch: the number of its oddest patch.
        prototype: (D,), what that is nearest to.
        score: of the image.
    """
    with torch.no_grad():
        maps = features(z)
    descriptors = aggregate(maps)
    transpose = torch.func.vjp(aggregate, maps)[1]
    descriptor = descriptors.flatten(2)[0, :, patch]
    squared = (descriptor - prototype).square()
    # of an image at distance 0 nothing is carried, instead of 0 / 0
    carried = squared * (score / squared.sum().clamp(min=torch.finfo(squared.dtype).tiny))
    absent = descriptor == 0
    seed = torch.zeros_like(descriptors).flatten(2)
    seed[0, :, patch] = torch.where(absent, 0, carried / descriptor)
    (derivatives,) = transpose(seed.view_as(descriptors))
    relevance = [(feature * derivative).flatten(1) for feature, derivative in zip(maps, derivatives, strict=True)]
    values, _ = relevance_map(feature_graph(features, z), z, COMPOSITE).multipliers(torch.cat(relevance, 1))
    return values, float(carried[absent].sum())


def feature_graph(features: LayerFeatures, z: Tensor) -> Graph:
    """The graph of `FlatFeatures` for images like ``z``, traced once until the features or the shape change.

    Graphs hold tensors only, so that a backbone that is gone takes its graph with it.
    """
    versions = ((tensor.data_ptr(), tensor._version) for tensor in features.state_dict().values())
    version = (z.shape, *versions)
    if features not in _GRAPHS or _GRAPHS[features][0] != version:
        _GRAPHS[features] = version, trace(FlatFeatures(features), z)
    return _GRAPHS[features][1]
