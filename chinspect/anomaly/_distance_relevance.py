"""Relevance of training images, passed on to the pixels and frequencies that separate an image from them.

With ``delta_j = x - u_j``, a linear layer ``B`` and ``e_j = B delta_j``, training image j hands its relevance ``R_j``
to band b of pixel i in proportion to

    [P_b delta_j]_i * [B^T g_j]_i / ||e_j||_p^p,     g_j = |e_j|^(p-1) sign(e_j)

value times derivative, as the push has it: over all i and b this sums to ``<e_j, g_j> / ||e_j||_p^p = 1``, for every p.
For p = 2 the sum over j expands into moments of the bank,

    sum_j a_j [P_b (x - u_j)] * [M (x - u_j)]
        = s P_b x * M x - P_b x * M m - P_b m * M x + sum_j a_j P_b u_j * M u_j,

``a_j = R_j / ||e_j||^2``, ``s = sum a_j``, ``m = sum_j a_j u_j``, ``M = B^T B``: one pass over the bank and matrix
products serve a whole batch. Training images so near to x that this cancels, and other p, are taken one by one. A
training image at distance 0 differs in no pixel: its relevance goes to the reference.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from chinspect.anomaly._distances import CANCELLING, Bank
from chinspect.anomaly.explanation import Resolution
from chinspect.anomaly.filters import Layer

_ROWS = 2  # of the bank at a time where pairs are taken one by one: they stay in the cache
_DISTANT = 64.0  # beyond, the bands of a difference are the difference of the bands


@dataclass(frozen=True, eq=False)
class Metric:
    """``||B (x - u)||_p^p``."""

    p: int
    layer: Layer

    def sizes(self, x: Tensor) -> Tensor:
        """``||B x||_p^p`` (n,) in float64."""
        features = self.layer(x).flatten(1)
        powers = features.abs() if self.p == 1 else features.square()
        return (powers.square_() if self.p == 4 else powers).sum(1).double()

    def derivative(self, delta: Tensor) -> tuple[Tensor, Tensor]:
        """``B^T g`` (k, C, H, W) and the distances ``<e, g>`` (k,) in float64; their derivative is p times it."""
        e = self.layer(delta)
        g = e.sign() if self.p == 1 else e if self.p == 2 else e * e * e
        return self.layer.transpose(g), (e * g).flatten(1).sum(1, dtype=torch.float64)

    def squared(self, x: Tensor) -> Tensor:
        """``M x = B^T B x``."""
        return self.layer.transpose(self.layer(x))


def distance_relevance(
    x: Tensor, relevance: Tensor, distances: Tensor, bank: Bank, metric: Metric, resolution: Resolution
) -> tuple[Tensor, Tensor]:
    """Relevance by band and pixel, and the reference (n,), of images ``x`` (n, C, H, W).

    Args:
        relevance: (n, N), of each training image.
        distances: (n, N), to each training image, behind the layer.
    """
    centre = bank.centre.view(x.shape[1:])
    centred = x - centre  # terms around the mean image cancel least
    sizes = metric.sizes(centred)
    sums = _Sums(metric, resolution, resolution.zeros(x), torch.zeros(len(x), dtype=torch.float64))
    expand = metric.p == 2
    by_bands = resolution.pixels and not expand
    moments = _Moments(metric, resolution, centred)
    lower_x = resolution.lower(centred) if by_bands else None
    for rows, block in bank.blocks():
        images = block.view(-1, *centre.shape)
        u = images - centre
        terms = sizes[:, None] + metric.sizes(u)
        near = terms >= (CANCELLING if expand else _DISTANT) * distances[:, rows]
        if expand:
            weights = torch.where(near, 0.0, relevance[:, rows] / distances[:, rows]).float()
            moments.add(sums.relevance, u, weights)
        lower_u = resolution.lower(u) if by_bands else None
        for i, image in enumerate(x):
            pairs = image, images, relevance[i, rows]
            sums.add(i, *pairs, near[i])
            if not expand:
                lower = None if lower_x is None or lower_u is None else (lower_x[:, i], lower_u)
                sums.add(i, *pairs, ~near[i], lower)
    if expand:
        moments.finish(sums.relevance)
    return resolution.completed(sums.relevance), sums.reference


@dataclass(frozen=True, eq=False)
class _Sums:
    """What pairs of an image and a training image add up to, taken a few at a time."""

    metric: Metric
    resolution: Resolution
    relevance: Tensor
    reference: Tensor

    def add(
        self,
        i: int,
        image: Tensor,
        images: Tensor,
        relevance: Tensor,
        selected: Tensor,
        lower: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        """Adds image number ``i`` beside the ``selected`` (k,) of some training images (k, C, H, W).

        ``lower`` are the lower bands of the image and of all the training images, where they are known.
        """
        for index in _few_at_a_time(selected):
            delta = image - images[index]
            g, distance = self.metric.derivative(delta)
            identical = distance == 0
            self.reference[i] += relevance[index][identical].sum()
            weights = torch.where(identical, 0.0, relevance[index] / distance)
            g = g * weights.to(g)[:, None, None, None]
            bands = None if lower is None else (lower[0][:, None] - lower[1][:, index]).flatten(1, 2)[:, None]
            # pairs as further channels, over which products are summed
            self.relevance[i] += self.resolution.products(delta.flatten(0, 1)[None], g.flatten(0, 1)[None], bands)[0]


class _Moments:
    """The sums over the bank that p = 2 needs, for images ``x`` (n, C, H, W) around the bank's mean."""

    def __init__(self, metric: Metric, resolution: Resolution, x: Tensor) -> None:
        self.metric = metric
        self.resolution = resolution
        self.x = x
        self.total = x.new_zeros(len(x), 1, 1, 1)
        self.mean = torch.zeros_like(x)

    def add(self, relevance: Tensor, u: Tensor, weights: Tensor) -> None:
        """Adds training images (k, C, H, W) with ``weights`` (n, k)."""
        self.total += weights.sum(1).view(-1, 1, 1, 1)
        self.mean += (weights @ u.flatten(1)).view_as(self.mean)
        products = self.resolution.products(u, self.metric.squared(u))
        relevance += (weights.to(products) @ products.flatten(1)).view_as(relevance)

    def finish(self, relevance: Tensor) -> None:
        """Adds the terms with the images themselves."""
        mapped = self.metric.squared(self.x)
        rest = self.total * mapped - self.metric.squared(self.mean)
        relevance += self.resolution.products(self.x, rest) - self.resolution.products(self.mean, mapped)


def _few_at_a_time(selected: Tensor) -> Iterator[slice | Tensor]:
    """The selected rows, a few at a time: as slices, which are not copied, where all are selected."""
    if selected.all():
        return (slice(start, start + _ROWS) for start in range(0, len(selected), _ROWS))
    return iter(selected.nonzero()[:, 0].split(_ROWS) if selected.any() else ())
