"""Relevance of training images, shared among the pixels and frequencies that separate an image from them.

With ``delta_j = x - u_j``, a linear layer ``B`` and ``e_j = B delta_j``, training image j hands its relevance ``R_j``
to band b of pixel i in proportion to

    [P_b delta_j]_i * [B^T g_j]_i / ||e_j||_p^p,     g_j = |e_j|^(p-1) sign(e_j)

value times derivative, as the push has it: over all i and b this sums to ``<e_j, g_j> / ||e_j||_p^p = 1``, for every p.
For p = 2 the sum over j expands into moments of the bank,

    sum_j a_j [P_b (x - u_j)] * [M (x - u_j)]
        = s P_b x * M x - P_b x * M m - P_b m * M x + sum_j a_j P_b u_j * M u_j,

``a_j = R_j / ||e_j||^2``, ``s = sum a_j``, ``m = sum_j a_j u_j``, ``M = B^T B``: one pass over the bank and matrix
products serve a whole batch. Training images so near to x that this cancels, and other p, are taken one by one. A
training image at distance 0 differs in no pixel: its relevance goes to ``reference``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from chinspect.anomaly._distances import CANCELLING, Bank
from chinspect.anomaly._layer import LinearLayer
from chinspect.relevance import BandEdges, inner_by_band, lower_bands

_ROWS = 2  # of the bank at a time where pairs are taken one by one: they stay in the cache
_DISTANT = 64.0  # beyond, the bands of a difference are the difference of the bands


@dataclass(frozen=True, eq=False)
class Metric:
    """``||B (x - u)||_p^p``."""

    p: int
    layer: LinearLayer

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


@dataclass(eq=False)
class Shares:
    """Relevance of a batch of n images.

    Attributes:
        edges: where bands begin.
        reference: (n,), float64.
        pixels: (n, H, W), with channels summed, or None.
        lower: (n, B - 1, H, W), the bands of each pixel but the last, or None.
        bands: (n, B), float64, or None.
    """

    edges: BandEdges
    reference: Tensor
    pixels: Tensor | None = None
    lower: Tensor | None = None
    bands: Tensor | None = None

    @classmethod
    def empty(cls, x: Tensor, edges: BandEdges, components: str) -> Shares:
        """Zeros for what ``components`` ask of images ``x`` (n, C, H, W)."""
        n, _, *size = x.shape
        reference = torch.zeros(n, dtype=torch.float64)
        if components == "neighbours":
            return cls(edges, reference)
        if components == "bands":
            return cls(edges, reference, bands=reference.new_zeros(n, edges.count))
        lower = x.new_zeros(n, edges.count - 1, *size) if components == "pixel_bands" else None
        return cls(edges, reference, x.new_zeros(n, *size), lower)

    def rows(self, rows: slice) -> Shares:
        """A view of some images."""
        parts = (None if whole is None else whole[rows] for whole in (self.pixels, self.lower, self.bands))
        return Shares(self.edges, self.reference[rows], *parts)

    def lower_bands(self, x: Tensor) -> Tensor | None:
        """The bands of ``x`` (k, C, H, W) but the last, (B - 1, k, C, H, W), where maps of them are asked for."""
        return None if self.lower is None else lower_bands(x, self.edges)

    def pixel_bands(self) -> Tensor | None:
        """(n, B, H, W), the last band being what the pixels have beside the others."""
        if self.lower is None or self.pixels is None:
            return None
        return torch.cat([self.lower, (self.pixels - self.lower.sum(1))[:, None]], 1)


def share(x: Tensor, relevance: Tensor, distances: Tensor, bank: Bank, metric: Metric, shares: Shares) -> None:
    """Adds to ``shares`` of images ``x`` (n, C, H, W).

    Args:
        relevance: (n, N), of each training image.
        distances: (n, N), to each training image, behind the layer.
    """
    centre = bank.centre.view(x.shape[1:])
    centred, sizes = x - centre, metric.sizes(x - centre)
    moments = _Moments(metric, shares, centred) if metric.p == 2 else None
    own = shares.lower_bands(centred)
    for part, block in bank.blocks():
        rows = block.view(-1, *centre.shape)
        u = rows - centre
        terms = sizes[:, None] + metric.sizes(u)
        near = terms >= (CANCELLING if moments else _DISTANT) * distances[:, part]
        if moments:
            moments.add(u, torch.where(near, 0.0, relevance[:, part] / distances[:, part]).float())
        lower = None if moments else shares.lower_bands(u)
        for i, image in enumerate(x):
            pairs = _Pairs(metric, shares, i, image, rows, relevance[i, part])
            pairs.add(near[i])
            if not moments:
                pairs.add(~near[i], None if own is None or lower is None else (own[:, i], lower))
    if moments:
        moments.finish()


@dataclass(frozen=True, eq=False)
class _Pairs:
    """One image and some training images, taken one by one."""

    metric: Metric
    shares: Shares
    i: int
    image: Tensor
    rows: Tensor
    relevance: Tensor

    def add(self, chosen: Tensor, lower: tuple[Tensor, Tensor] | None = None) -> None:
        """Adds the ``chosen`` (k,) rows; ``lower`` are the bands of the image and of all rows, where known."""
        for index in _some(chosen):
            delta = self.image - self.rows[index]
            g, distance = self.metric.derivative(delta)
            identical = distance == 0
            self.shares.reference[self.i] += self.relevance[index][identical].sum()
            weights = torch.where(identical, 0.0, self.relevance[index] / distance)
            g = g * weights.to(g)[:, None, None, None]
            if self.shares.bands is not None:
                self.shares.bands[self.i] += inner_by_band(delta, g, self.shares.edges).sum(0)
            if self.shares.pixels is not None:
                self.shares.pixels[self.i] += (g * delta).sum((0, 1))
            if self.shares.lower is not None:
                bands = lower[0][:, None] - lower[1][:, index] if lower else lower_bands(delta, self.shares.edges)
                self.shares.lower[self.i] += bands.mul_(g).sum((1, 2))


class _Moments:
    """The sums over the bank that p = 2 needs."""

    def __init__(self, metric: Metric, shares: Shares, x: Tensor) -> None:
        self.metric, self.shares, self.x = metric, shares, x
        self.total = x.new_zeros(len(x), 1, 1, 1)
        self.mean = torch.zeros_like(x)

    def add(self, u: Tensor, weights: Tensor) -> None:
        """Adds training images (k, C, H, W) with ``weights`` (n, k)."""
        mapped = self.mapped(u)
        self.total += weights.sum(1).view(-1, 1, 1, 1)
        self.mean += (weights @ u.flatten(1)).view_as(self.mean)
        shares = self.shares
        if shares.bands is not None:
            shares.bands += weights.double() @ inner_by_band(u, mapped, shares.edges)
        if shares.pixels is not None:
            shares.pixels += _weighted(weights, u * mapped)
        for b, band in enumerate(_each(shares.lower_bands(u))):
            assert shares.lower is not None
            shares.lower[:, b] += _weighted(weights, band.mul_(mapped))

    def finish(self) -> None:
        """Adds the terms with the images themselves."""
        x, mean, shares = self.x, self.mean, self.shares
        mapped = self.mapped(x)
        rest = self.total * mapped - self.mapped(mean)
        if shares.bands is not None:
            shares.bands += inner_by_band(x, rest, shares.edges) - inner_by_band(mean, mapped, shares.edges)
        if shares.pixels is not None:
            shares.pixels += (x * rest - mean * mapped).sum(1)
        for b, (band, of_mean) in enumerate(zip(*map(_each, map(shares.lower_bands, (x, mean))), strict=True)):
            assert shares.lower is not None
            shares.lower[:, b] += (band * rest - of_mean * mapped).sum(1)

    def mapped(self, x: Tensor) -> Tensor:
        """``M x = B^T B x``."""
        return self.metric.layer.transpose(self.metric.layer(x))


def _some(chosen: Tensor) -> Iterator[slice | Tensor]:
    """The chosen rows, a few at a time: as slices, which are not copied, where all are chosen."""
    if chosen.all():
        return (slice(start, start + _ROWS) for start in range(0, len(chosen), _ROWS))
    return iter(chosen.nonzero()[:, 0].split(_ROWS) if chosen.any() else ())


def _weighted(weights: Tensor, maps: Tensor) -> Tensor:
    """Sums (n, H, W) over maps (k, C, H, W) and their channels with weights (n, k)."""
    return (weights @ maps.sum(1).flatten(1)).view(len(weights), *maps.shape[-2:])


def _each(bands: Tensor | None) -> Tensor | list[Tensor]:
    return [] if bands is None else bands
