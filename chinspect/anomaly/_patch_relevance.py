"""Explaining PatchCore: from the score back to descriptors, features and pixels.

The score of an image is the distance ``||e - m||`` of its oddest patch to the nearest prototype (times a weight, which
is taken as it is). With ``delta = e - m`` entry d of the descriptor holds

    R_d = delta_d^2 / ||delta||^2 * s.

Where ``e_d = 0`` the prototype has a feature that the image lacks. No activation can carry that on: it is the
reference. All else goes to the features by the transposed aggregation, ``R_i = f_i sum_d A_di R_d / e_d``, and through
the backbone as a relevance map has it. Its rules read the values of pixels, so that the derivative ``c`` of the score,
times a frequency band of the image, is the relevance of that band at each pixel. Tracing the backbone takes longer than
pulling through it, so its graph is kept for as long as it lives.

**Against a reference.** In the direction ``u = w (e - m) / ||e - m||``, the one in which the patch is odd, the score is
linear, ``s = <u, e - m>``, with w its weight. The same patch of a reference image, of descriptor e0, reaches
``s0 = <u, e0 - m>`` in it, and a reference map takes ``s - s0 = <u, e - e0>`` to the pixels of the difference of both
images, exactly. Features that the prototype has and the image lacks are carried as well: the reference has more.
The distance of e0 itself would be no measure of what makes the image odd: references are odd in ways of their own. A
blurred magnetic tile is half as far again from the prototype as a defect is, and all relevance would be negative.

Of 20 defects of magnetic tiles (EfficientNet-Lite0) this map has 50 % of its positive relevance in the mask, LRP 43 %,
and the area 12 %; it accounts for all of the score, LRP for 29 %; without the most relevant 10 % of the patches scores
lose 34 % of what they have above a normal image, by LRP 29 %, without random ones 0 %.
"""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from chinspect.anomaly._features import LayerFeatures
from chinspect.errors import InputError
from chinspect.relevance import Composite, Graph, relevance_map, trace

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


@dataclass(frozen=True, eq=False)
class Compared:
    """What gives an image its score.

    Attributes:
        patch: the number of its oddest patch.
        prototype: (D,), the entry of the bank that it is nearest to.
        score: of the image.
    """

    patch: Tensor
    prototype: Tensor
    score: Tensor


def patch_derivative(
    features: LayerFeatures,
    aggregate: nn.Module,
    z: Tensor,
    compared: Compared,
    composite: str | Composite,
) -> tuple[Tensor, float]:
    """LRP: what each pixel's value is multiplied by to be its relevance, (1, C, H, W), and the reference.

    Args:
        z: one normalised image (1, C, H, W).
        compared: what gives the image its score.
        composite: rules that read the values of pixels; `InputError` for others, which frequency bands cannot share.
    """
    with torch.no_grad():
        maps = features(z)
    descriptors = aggregate(maps)
    transpose = torch.func.vjp(aggregate, maps)[1]
    descriptor = descriptors.flatten(2)[0, :, compared.patch]
    squared = (descriptor - compared.prototype).square()
    # of an image at distance 0 nothing is carried, instead of 0 / 0
    carried = squared * (compared.score / squared.sum().clamp(min=torch.finfo(squared.dtype).tiny))
    absent = descriptor == 0
    seed = torch.zeros_like(descriptors).flatten(2)
    seed[0, :, compared.patch] = torch.where(absent, 0, carried / descriptor)
    (derivatives,) = transpose(seed.view_as(descriptors))
    relevance = [(feature * derivative).flatten(1) for feature, derivative in zip(maps, derivatives, strict=True)]
    mapped = relevance_map(feature_graph(features, z), z, composite)
    values, indicators = mapped.multipliers(torch.cat(relevance, 1))
    if bool(indicators.any()):
        raise InputError(
            f"the first rule of {mapped.composite.name!r} gives relevance to pixels whatever their value, which cannot "
            "be told by frequency: choose a composite such as epsilon_plus."
        )
    return values, float(carried[absent].sum())


def reference_derivative(
    features: LayerFeatures,
    aggregate: nn.Module,
    z: Tensor,
    z0: Tensor,
    compared: Compared,
) -> tuple[Tensor, float]:
    """What the difference of each pixel to ``z0`` is multiplied by to be its relevance, and ``s0``; see the module.

    Args:
        z, z0: one normalised image (1, C, H, W) and its reference.
        compared: what gives the image its score.
    """
    with torch.no_grad():
        maps = features(z)
        descriptor = aggregate(maps).flatten(2)[0, :, compared.patch]
        origin = aggregate(features(z0)).flatten(2)[0, :, compared.patch]
    delta = descriptor - compared.prototype
    # of an image at distance 0 nothing is odd in any direction, instead of 0 / 0
    direction = delta * (compared.score / delta.square().sum().clamp(min=torch.finfo(delta.dtype).tiny))
    descriptors = aggregate(maps)
    transpose = torch.func.vjp(aggregate, maps)[1]
    seed = torch.zeros_like(descriptors).flatten(2)
    seed[0, :, compared.patch] = direction
    (derivatives,) = transpose(seed.view_as(descriptors))
    derivative = torch.cat([each.flatten(1) for each in derivatives], 1)
    mapped = relevance_map(feature_graph(features, z), z, "rescale", reference=z0)
    values, _ = mapped.multipliers(mapped.explained * derivative)
    return values, float(direction @ (origin - compared.prototype))


def feature_graph(features: LayerFeatures, z: Tensor) -> Graph:
    """The graph of `FlatFeatures` for images like ``z``, traced once until the features or the shape change.

    Graphs hold tensors only, so that a backbone that is gone takes its graph with it.
    """
    versions = ((tensor.data_ptr(), tensor._version) for tensor in features.state_dict().values())
    version = (z.shape, *versions)
    if features not in _GRAPHS or _GRAPHS[features][0] != version:
        _GRAPHS[features] = version, trace(FlatFeatures(features), z)
    return _GRAPHS[features][1]
