"""Frequency bands of images: where they begin, what each of them holds, and what each contributes.

A band keeps some coefficients of the orthonormal DCT-II, ``x_b = IDCT(mask_b * DCT(x))``: the *virtual layer* of
Vielhaben et al. 2023 (arXiv:2303.06365). Coefficients are counted in one of two ways:

* by *order*: coefficient (u, v) has order ``u + v``, its number of half periods down plus those across the image;
* by *zigzag* position: the path visits the orders one after the other, down one antidiagonal and up the next, (0, 0),
  (0, 1), (1, 0), (2, 0), (1, 1), (0, 2), ..., as JPEG does (ITU-T T.81).

Order d begins at position d (d + 1) / 2 as long as antidiagonals grow: the three bands of Kauffmann et al. 2025,
positions 0-2, 3-189 and from 190 on, are orders 0-1, 2-18 and from 19 on. The 20 bins of their spectra cut through
orders.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from chinspect.errors import InputError
from chinspect.relevance.components import Components, Decomposition, Partition, patches

PAPER = "kauffmann2025"
PAPER_EDGES = (2, 19)
"""The three bands of Kauffmann et al. 2025: DCT orders 0-1, 2-18 and from 19 on."""

# the spectra of Kauffmann et al. 2025: 20 bins, whose upper ends grow as this power of the bin's number
_BINS = 20
_EXPONENT = 3.47


@dataclass(frozen=True)
class BandEdges:
    """Bands of DCT coefficients.

    Attributes:
        edges: at which a band begins, the first excepted, which begins at 0; rising.
        index: what is counted: the ``order`` of a coefficient, or its position on the ``zigzag`` path.
    """

    edges: tuple[int, ...]
    index: Literal["order", "zigzag"] = "order"

    @property
    def count(self) -> int:
        """Number of bands."""
        return len(self.edges) + 1

    @property
    def names(self) -> list[str]:
        """What each band holds: ``0-1``, ``2-18``, ``19+``."""
        starts = (0, *self.edges)
        closed = [str(a) if b == a + 1 else f"{a}-{b - 1}" for a, b in pairwise(starts)]
        return [*closed, f"{starts[-1]}+"]

    def band(self, shape: Sequence[int]) -> Tensor:
        """The band (H, W) of each coefficient of images (..., H, W)."""
        height, width = shape[-2:]
        order = torch.arange(height)[:, None] + torch.arange(width)
        counted = order if self.index == "order" else zigzag(height, width)
        # right: the coefficient at an edge belongs to the band that begins there
        return torch.bucketize(counted, torch.tensor(self.edges, dtype=torch.long), right=True)


def named_bands(shape: Sequence[int], bands: int | Sequence[int] | str) -> BandEdges:
    """The bands that `chinspect.anomaly.explain_anomaly` is asked for, on images (..., H, W).

    Args:
        bands: as for `frequency_bands`, but 3 are the three bands of Kauffmann et al. 2025 where the images have
            their orders; or ``kauffmann2025``, the 20 bins of their spectra.

    Raises:
        InputError: the bands are unknown, or the images are too small for them.
    """
    height, width = shape[-2:]
    if isinstance(bands, str):
        if bands != PAPER:
            raise InputError(f"the bands {bands!r} are not known: give a number, orders, or {PAPER!r}.")
        return BandEdges(_spectrum_edges(height, width), "zigzag")
    if bands == len(PAPER_EDGES) + 1 and height + width - 1 > PAPER_EDGES[-1]:
        bands = PAPER_EDGES
    return BandEdges(tuple(band_edges(shape, bands)))


def band_edges(shape: Sequence[int], bands: int | Sequence[int]) -> list[int]:
    """The orders at which bands begin, the first excepted, for images (..., H, W).

    Args:
        bands: a number of bands or orders, as for `frequency_bands`.

    Raises:
        InputError: there are too few orders for the bands, or the given orders do not rise.
    """
    height, width = shape[-2:]
    edges = list(bands) if not isinstance(bands, int) else _geometric_edges(height + width - 1, bands)
    if edges != sorted(set(edges)) or any(not 0 < edge < height + width - 1 for edge in edges):
        raise InputError(f"frequency bands begin at rising orders from 1 to {height + width - 2}, not at {edges}.")
    return edges


def _geometric_edges(orders: int, count: int) -> list[int]:
    """``count - 1`` orders from 2 on that grow geometrically; the first band holds orders 0 and 1."""
    limit = max(1, min(64, orders - 1))  # at most 64: each band is a component, and costs a pass
    if not 1 <= count <= limit:
        raise InputError(f"{count} frequency bands cannot be made of {orders} orders: choose 1 to {limit}.")
    edges = np.geomspace(2, orders, count)[:-1].round().astype(int)
    # where the progression grows by less than 1, each edge is one after the edge before
    number = np.arange(count - 1)
    return (np.maximum.accumulate(edges - number) + number).tolist()


def _spectrum_edges(height: int, width: int) -> tuple[int, ...]:
    """``(b / 20)^3.47 H W`` for b = 1..19, rounded up: a bin holds the zigzag positions between two of them."""
    ends = np.linspace(0, (height * width) ** (1 / _EXPONENT), _BINS + 1)[1:-1]
    edges = np.ceil(ends**_EXPONENT).astype(int)
    if (np.diff(edges) < 1).any():
        raise InputError(f"images of {height}x{width} pixels are too small for the 20 bins of {PAPER!r}: use 55x55.")
    return tuple(edges.tolist())


@lru_cache(maxsize=32)
def zigzag(height: int, width: int) -> Tensor:
    """The position (height, width) of each coefficient on the zigzag path, from 0."""
    row = torch.arange(height)[:, None].expand(height, width)
    order = row + torch.arange(width)
    within = torch.where(order % 2 == 1, row, height - row)
    path = (order * (height + 1) + within).flatten().argsort()
    return path.argsort().view(height, width)  # a permutation's argsort is its inverse


@lru_cache(maxsize=32)
def dct_matrix(size: int) -> Tensor:
    """The orthonormal DCT-II (size, size) in float64: row ``u`` is the basis vector of ``u`` half periods."""
    order = torch.arange(size, dtype=torch.float64)[:, None]
    matrix = (torch.pi / size * order * (torch.arange(size) + 0.5)).cos() * (2 / size) ** 0.5
    matrix[0] = size**-0.5  # the mean has no half period, and half the square of the others
    return matrix


def lower_bands(x: Tensor, edges: BandEdges) -> Tensor:
    """All bands but the last of images (..., H, W): (edges.count - 1, ..., H, W).

    They lie within a few rows and columns of the DCT, 19 of 224 with the paper's edges: projecting an image on those
    alone is ten times cheaper than a full transform.
    """
    last = edges.count - 1
    if not last:
        return x.new_empty(0, *x.shape)
    band = edges.band(x.shape).to(x.device)
    height, width = (int((band < last).any(axis).sum()) for axis in (1, 0))
    rows = dct_matrix(x.shape[-2])[:height].to(x)
    columns = dct_matrix(x.shape[-1])[:width].to(x)
    coefficients = rows @ (x @ columns.T)
    band = band[:height, :width]
    return torch.stack([(rows.T @ (coefficients * (band == b))) @ columns for b in range(last)])


def split_bands(x: Tensor, edges: BandEdges) -> Tensor:
    """All bands of images (..., H, W): (edges.count, ..., H, W); the last is what the others leave of ``x``."""
    lower = lower_bands(x, edges)
    return torch.cat([lower, (x - lower.sum(0))[None]])


def inner_by_band(x: Tensor, y: Tensor, edges: BandEdges) -> Tensor:
    """Inner products ``<P_b x, y>`` of images (n, C, H, W) for each band b: (n, edges.count), float64.

    The DCT is orthonormal, so that they are sums over the coefficients of both; in float64, as there are many.
    """
    rows, columns = (dct_matrix(size).to(x) for size in x.shape[-2:])
    products = (rows @ (x @ columns.T)) * (rows @ (y @ columns.T))
    sums = torch.zeros(len(x), edges.count, dtype=torch.float64)
    return sums.index_add_(1, edges.band(x.shape).flatten(), products.sum(1, dtype=torch.float64).flatten(1))


@dataclass(frozen=True, eq=False)
class Bands(Decomposition):
    """The frequency bands of each component of a partition, component-major.

    Attributes:
        edges: the bands.
        partition: one component that is the full image, where the bands are not localised.
    """

    edges: BandEdges
    partition: Partition

    @property
    def count(self) -> int:  # type: ignore[override]
        return self.partition.count * self.edges.count

    def values(self, x: Tensor, groups: Tensor) -> Tensor:
        owner = groups.to(x.device).view(-1, self.edges.count)[self.partition.labels.to(x.device)]
        ids = torch.arange(int(groups.max()) + 1, device=x.device)
        return torch.einsum("khwb,bnchw->knchw", (owner == ids.view(-1, 1, 1, 1)).to(x), split_bands(x, self.edges))

    def inner(self, x: Tensor, gradient: Tensor) -> Tensor:
        sums = torch.stack([self.partition.sums(gradient * band) for band in split_bands(x, self.edges)], -1)
        return sums.flatten(-2).permute(1, 2, 0)


def frequency_bands(bands: int | Sequence[int]) -> Components:
    """Frequency bands of the full image.

    Args:
        bands: how many (spaced geometrically, the first one holds orders 0 and 1), or the orders at which a new one
            begins: ``(2, 19)`` gives the three bands of Kauffmann et al. 2025, orders 0-1, 2-18 and from 19 on.
    """

    def on(shape: Sequence[int]) -> Bands:
        full = Partition(torch.zeros(tuple(shape[-2:]), dtype=torch.long))
        return Bands(BandEdges(tuple(band_edges(shape, bands))), full)

    return Components(f"frequency bands {bands}", on)


def patch_bands(size: int, bands: int | Sequence[int]) -> Components:
    """The frequency bands of each patch, patch-major: those of `frequency_bands`, cut into the patches of `patches`."""
    cells = patches(size)

    def on(shape: Sequence[int]) -> Bands:
        partition = cells.on(shape)
        assert isinstance(partition, Partition)
        return Bands(BandEdges(tuple(band_edges(shape, bands))), partition)

    return Components(f"frequency bands {bands} of {cells.name}", on)
