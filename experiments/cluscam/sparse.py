"""ClusCAM with the concepts of a sparse autoencoder in the place of clusters.

What a layer holds at one position, a of K channels, is written as few of many concepts (a top-k autoencoder),

    z = top_k(relu(W (a - b))),      a ~ D z + b,

fitted on the positions of other photographs. Of an image the concepts with the most activation over all positions give
masks, their maps z (h, w) scaled to [0, 1], which are weighted by scores as ClusCAM's clusters are. A concept is the
same in all images, where clusters are made anew for each.

Source: Gao et al. 2024, Scaling and evaluating sparse autoencoders (arXiv:2406.04093), without the auxiliary loss.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from chinspect.cam import open_layer
from chinspect.cam.clusters import scaled_where_enlarged, weighted_by_scores

CONCEPTS = 512  # a little less than half as many as channels: more stay silent on a few thousand positions
ACTIVE = 16
STEPS = 1500
_BATCH = 512
_LEARNING_RATE = 1e-3


@dataclass(frozen=True, eq=False)
class Coder:
    """A top-k autoencoder.

    Attributes:
        encode: (K, concepts), W transposed.
        decode: (concepts, K), D transposed; rows of length 1.
        centre: (K,), b.
        scale: activations are divided by it first.
        explained: fraction of the variance of the positions it was fitted on that is reconstructed.
    """

    encode: Tensor
    decode: Tensor
    centre: Tensor
    scale: float
    explained: float

    def concepts(self, rows: Tensor) -> Tensor:
        """(n, K) -> (n, concepts), at most `ACTIVE` of them above 0."""
        return _strongest(rows / self.scale, self.encode, self.centre)

    def __call__(
        self, module: nn.Module, x: Tensor, layer: str, target: int, *, masks: int, temperature: float
    ) -> Tensor:
        """A map (h, w) of one image."""
        opened = open_layer(module, x, layer, target)
        count, height, width = opened.activations[0].shape
        found = self.concepts(opened.activations[0].reshape(count, -1).T).T.reshape(-1, height, width)
        strongest = found[found.sum((1, 2)).argsort(descending=True)[:masks]]
        return weighted_by_scores(opened, 0, scaled_where_enlarged(strongest, x), 0.5, temperature)


def positions(module: nn.Module, images: Iterable[Tensor], layer: str) -> Tensor:
    """What the layer holds at all positions of images (1, C, H, W): (n, K)."""
    activations = (open_layer(module, x, layer).activations[0] for x in images)
    return torch.cat([values.flatten(1).T for values in activations])


def train_coder(rows: Tensor, *, steps: int = STEPS, seed: int = 0) -> Coder:
    """Fits an autoencoder to positions (n, K)."""

    def residual(some: Tensor) -> Tensor:
        return (_strongest(some, encode, centre) @ decode + centre - some).square().sum()

    scale = float(rows.norm(dim=1).mean())
    scaled = rows / scale
    generator = torch.Generator().manual_seed(seed)
    decode = F.normalize(torch.randn(CONCEPTS, rows.shape[1], generator=generator), dim=1)
    encode = decode.T.clone().requires_grad_()
    decode.requires_grad_()
    centre = scaled.mean(0).clone().requires_grad_()
    optimiser = torch.optim.Adam([encode, decode, centre], _LEARNING_RATE)
    for _ in range(steps):
        batch = scaled[torch.randint(len(scaled), (_BATCH,), generator=generator)]
        optimiser.zero_grad()
        (residual(batch) / _BATCH).backward()
        optimiser.step()
        with torch.no_grad():  # a concept's size is then in its activation alone
            decode /= decode.norm(dim=1, keepdim=True)
    with torch.no_grad():
        explained = 1 - float(residual(scaled) / (scaled - scaled.mean(0)).square().sum())
    return Coder(encode.detach(), decode.detach(), centre.detach(), scale, explained)


def _strongest(rows: Tensor, encode: Tensor, centre: Tensor) -> Tensor:
    """Concepts of scaled rows (n, K): (n, concepts)."""
    values = ((rows - centre) @ encode).relu()
    top = values.topk(ACTIVE)
    return torch.zeros_like(values).scatter(1, top.indices, top.values)
