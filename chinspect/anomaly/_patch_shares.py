"""Explaining PatchCore: from the score back to descriptors, features, pixels and frequencies.

The score of an image is the distance ``||e - m||`` of its oddest patch to the nearest prototype (times a weight, which
is taken as it is). With ``delta = e - m`` entry d of the descriptor holds

    R_d = delta_d^2 / ||delta||^2 * s.

Where ``e_d = 0`` the prototype has a feature that the image lacks. No activation can carry that on: it is the
``reference``. All else goes to the features by the transposed aggregation, ``R_i = f_i sum_d A_di R_d / e_d``, and
through the backbone as a relevance map has it, whose rules read the values of pixels, so that frequencies are pulled
alike: the bands of the image are fed apart, and summed in front of the network. Tracing the backbone takes longer than
pulling through it, so its graphs are kept for as long as it lives.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from chinspect.anomaly._backbone import LayerFeatures
from chinspect.anomaly.explanation import AnomalyExplanation
from chinspect.relevance import BandEdges, Graph, relevance_map, split_bands, trace

if TYPE_CHECKING:
    from chinspect.anomaly.patchcore import PatchCore

COMPOSITE = "epsilon_plus"
_GRAPHS: WeakKeyDictionary[LayerFeatures, dict[tuple[object, ...], Graph]] = WeakKeyDictionary()


class BandedFeatures(nn.Module):
    """Flattened features of layers (N, F), from the bands of images (N, bands * C, H, W), which it sums."""

    def __init__(self, features: LayerFeatures, bands: int) -> None:
        super().__init__()
        self.features = features
        self.bands = bands

    def forward(self, x: Tensor) -> Tensor:
        """Features of the sum of the bands."""
        maps = self.features(x.unflatten(1, (self.bands, -1)).sum(1))
        return torch.cat([feature.flatten(1) for feature in maps], 1)


@dataclass(frozen=True)
class PatchShares:
    """Shares of one image's score: of its pixels in each band (B, H, W), and of the reference."""

    pixel_bands: Tensor
    reference: float


def explain_patches(detector: PatchCore, x: Tensor, edges: BandEdges, components: str) -> AnomalyExplanation:
    """The explanation of a checked batch (n, 3, H, W); see `chinspect.anomaly.explain_anomaly`."""
    found = list(detector._matches(x))
    score, patch, prototype = (torch.cat([getattr(part, key) for part in found]) for key in _MATCHED)
    cuts = BandEdges(()) if components == "pixels" else edges
    sharer = PatchSharer(detector._backbone.features, detector._aggregate, cuts)
    bank, shares = detector._neighbours.bank, []
    if components != "neighbours":
        for image, place, entry, total in zip(x.split(1), patch, prototype, score, strict=True):
            shares.append(sharer.share(detector._backbone.normalise(image), int(place), bank[entry], float(total)))
    neighbours, nearest = _neighbours(detector, score.double().numpy(), prototype)
    explanation = AnomalyExplanation(
        score=score.double().numpy(),
        reference=np.zeros(len(x)),
        conservation=np.ones(len(x)),
        band_edges=edges.edges,
        band_index=edges.index,
        neighbours=neighbours,
        nearest=nearest,
    )
    return _with_shares(explanation, shares, components) if shares else explanation


_MATCHED = ("score", "patch", "prototype")


def _with_shares(explanation: AnomalyExplanation, shares: list[PatchShares], components: str) -> AnomalyExplanation:
    maps = torch.stack([share.pixel_bands for share in shares]).cpu().double().numpy()
    reference = np.array([share.reference for share in shares])
    score, total = explanation.score, maps.sum((1, 2, 3)) + reference
    return replace(
        explanation,
        reference=reference,
        conservation=np.divide(total, score, out=np.ones_like(score), where=score > 0),
        pixels=maps.sum(1) if components != "bands" else None,
        bands=maps.sum((2, 3)) if components != "pixels" else None,
        pixel_bands=maps if components == "pixel_bands" else None,
    )


def _neighbours(
    detector: PatchCore, score: NDArray[np.float64], prototype: Tensor
) -> tuple[NDArray[np.float64] | None, NDArray[np.int64] | None]:
    """All of a score goes to the image of its prototype: (n, N) and (n, 1); None where that is not known."""
    images = detector.places_[prototype, 0].numpy()
    if (images < 0).any():
        return None, None
    table = np.zeros((len(score), detector.n_images_))
    table[np.arange(len(score)), images] = score
    return table, images[:, None]


class PatchSharer:
    """Shares the distances of patches among pixels and bands."""

    def __init__(self, features: LayerFeatures, aggregate: nn.Module, edges: BandEdges) -> None:
        self.features, self.aggregate, self.edges = features, aggregate, edges

    def share(self, z: Tensor, patch: int, prototype: Tensor, score: float) -> PatchShares:
        """Shares of ``score``, which the patch number ``patch`` of a normalised image ``z`` (1, C, H, W) got."""
        with torch.no_grad():
            maps = self.features(z)
        relevance, reference = _at_features(self.aggregate, maps, patch, prototype, score)
        banded = split_bands(z, self.edges).movedim(0, 1).flatten(1, 2)
        graph = banded_graph(self.features, self.edges.count, banded)
        pulled = relevance_map(graph, banded, COMPOSITE).pull(relevance)
        return PatchShares(pulled[0].unflatten(0, (self.edges.count, -1)).sum(1), reference)


def banded_graph(features: LayerFeatures, bands: int, banded: Tensor) -> Graph:
    """The graph of `BandedFeatures` for images like ``banded``, traced once until the features change.

    Graphs hold tensors only, so that a backbone that is gone takes its graphs with it.
    """
    version = tuple((tensor.data_ptr(), tensor._version) for tensor in features.state_dict().values())
    graphs = _GRAPHS.setdefault(features, {})
    key = (bands, banded.shape, version)
    if key not in graphs:
        for stale in [other for other in graphs if other[-1] != version]:
            del graphs[stale]
        graphs[key] = trace(BandedFeatures(features, bands), banded)
    return graphs[key]


def _at_features(
    aggregate: nn.Module, maps: list[Tensor], patch: int, prototype: Tensor, score: float
) -> tuple[Tensor, float]:
    """Relevance (1, F) at the flattened features, and the reference."""
    descriptors, transpose = aggregate(maps), torch.func.vjp(aggregate, maps)[1]
    descriptor = descriptors.flatten(2)[0, :, patch]
    squared = (descriptor - prototype).square()
    held = squared * (score / squared.sum().clamp(min=torch.finfo(squared.dtype).tiny))
    absent = descriptor == 0
    seed = torch.zeros_like(descriptors).flatten(2)
    seed[0, :, patch] = torch.where(absent, 0, held / descriptor)
    (shares,) = transpose(seed.view_as(descriptors))
    relevance = torch.cat([(feature * share).flatten(1) for feature, share in zip(maps, shares, strict=True)], 1)
    return relevance, float(held[absent].sum())
