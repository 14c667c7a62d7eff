"""Components: the parts of an image that relevance is asked for.

The components of an image ``x`` sum to ``x``: its patches, its segments, its colour channels, its frequency bands, or
the frequency bands of each patch. Those that *partition* the pixels also say which pixels are whose; rules that give
relevance to pixels without value (flat, w-square, z-box) need that, and refuse the others.

A frequency band keeps the orthonormal DCT-II coefficients of some orders, ``x_b = IDCT(mask_b * DCT(x))``: the *virtual
layer* of Vielhaben et al. 2023 (arXiv:2303.06365). The order of a coefficient is ``u + v``, its number of half periods
down plus those across the image, as in the zigzag bands of Kauffmann et al. 2025.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from scipy.fft import dct
from torch import Tensor

from chinspect.errors import InputError


class Parts(ABC):
    """Components laid over images of one shape. There are ``count`` of them, and they sum to the image."""

    count: int

    @abstractmethod
    def values(self, x: Tensor, groups: Tensor) -> Tensor:
        """Sums of the components of ``x`` (N, C, H, W) over groups: (K, N, C, H, W).

        ``groups`` (count,) gives the group 0..K-1 of each component, or -1 for those left out.
        """

    @abstractmethod
    def inner(self, x: Tensor, gradient: Tensor) -> Tensor:
        """Inner product of each component of ``x`` (N, C, H, W) with ``gradient`` (K, N, C, H, W): (N, count, K)."""


@dataclass(frozen=True)
class Components:
    """Components of images of any shape: ``on((H, W))`` lays them over one."""

    name: str
    on: Callable[[Sequence[int]], Parts]


@dataclass(frozen=True, eq=False)
class Partition(Parts):
    """Components that each own some entries of the image.

    Attributes:
        labels: (H, W) or (C, H, W) integers, the component of each entry.
        grid, cell: rows and columns, and the side of a cell in pixels, where the components are a regular grid.
    """

    labels: Tensor
    grid: tuple[int, int] | None = None
    cell: int = 0

    @property
    def count(self) -> int:  # type: ignore[override]
        return int(self.labels.max()) + 1

    def values(self, x: Tensor, groups: Tensor) -> Tensor:
        return self.indicators(x, groups) * x

    def indicators(self, x: Tensor, groups: Tensor) -> Tensor:
        """1 where an entry of ``x`` belongs to the group, else 0: (K, 1, C, H, W)."""
        owner = groups.to(x.device)[self.labels.to(x.device)].expand(x.shape[1:])
        ids = torch.arange(int(groups.max()) + 1, device=x.device)
        return (owner == ids.view(-1, 1, 1, 1, 1)).to(x.dtype)

    def inner(self, x: Tensor, gradient: Tensor) -> Tensor:
        return self.sums(gradient * x).permute(1, 2, 0)

    def sums(self, relevance: Tensor) -> Tensor:
        """Sums of ``relevance`` (..., C, H, W) over each component: (..., count)."""
        labels = self.labels.to(relevance.device).expand(relevance.shape[-3:]).reshape(-1)
        flat = relevance.reshape(-1, labels.numel())
        return flat.new_zeros(len(flat), self.count).index_add_(1, labels, flat).view(*relevance.shape[:-3], -1)


@dataclass(frozen=True, eq=False)
class Bands(Parts):
    """The frequency bands of each part of a partition, part-major.

    Attributes:
        band: (H, W) integers, the band of each DCT coefficient.
        partition: the parts; of one part that is the whole image where the bands are not localised.
    """

    band: Tensor
    partition: Partition

    @property
    def count(self) -> int:  # type: ignore[override]
        return self.partition.count * self.bands

    @property
    def bands(self) -> int:
        """Number of bands."""
        return int(self.band.max()) + 1

    def split(self, x: Tensor) -> Tensor:
        """The bands of ``x`` (..., H, W): (bands, ..., H, W); they sum to ``x``."""
        rows, columns = (dct_matrix(size).to(x) for size in x.shape[-2:])
        coefficients = rows @ x @ columns.T
        band = self.band.to(x.device)
        return torch.stack([rows.T @ (coefficients * (band == b)) @ columns for b in range(self.bands)])

    def values(self, x: Tensor, groups: Tensor) -> Tensor:
        owner = groups.to(x.device).view(-1, self.bands)[self.partition.labels.to(x.device)]
        ids = torch.arange(int(groups.max()) + 1, device=x.device)
        return torch.einsum("khwb,bnchw->knchw", (owner == ids.view(-1, 1, 1, 1)).to(x), self.split(x))

    def inner(self, x: Tensor, gradient: Tensor) -> Tensor:
        sums = torch.stack([self.partition.sums(gradient * band) for band in self.split(x)], -1)
        return sums.flatten(-2).permute(1, 2, 0)


@lru_cache(maxsize=32)
def dct_matrix(size: int) -> Tensor:
    """The orthonormal DCT-II (size, size) in float64: row ``u`` is the basis vector of ``u`` half periods."""
    return torch.from_numpy(dct(np.eye(size), axis=0, norm="ortho"))


def patches(size: int) -> Components:
    """Square patches of ``size`` pixels in row-major order; the last row and column are cut where they do not fit."""
    if size < 1:
        raise InputError(f"a patch of {size} pixels is empty: choose a patch size of at least 1.")

    def on(shape: Sequence[int]) -> Partition:
        height, width = shape[-2:]
        if size > min(height, width):
            raise InputError(
                f"a patch of {size} pixels does not fit the {height}x{width} image that the model sees: "
                f"choose a patch size of at most {min(height, width)}."
            )
        rows, columns = -(-height // size), -(-width // size)
        cells = torch.arange(rows)[:, None] * columns + torch.arange(columns)
        labels = cells.repeat_interleave(size, 0)[:height].repeat_interleave(size, 1)[:, :width]
        return Partition(labels, (rows, columns), size)

    return Components(f"patches of {size} pixels", on)


def segments(mask: Tensor | np.ndarray) -> Components:
    """The segments of an image: ``mask`` (H, W) holds integers 0..P-1, or booleans (then 1 is what they mark)."""
    labels = torch.as_tensor(np.asarray(mask)).long()
    if labels.ndim != 2 or int(labels.min()) < 0:
        raise InputError(f"segments need a mask (H, W) of integers from 0, not one of shape {tuple(labels.shape)}.")

    def on(shape: Sequence[int]) -> Partition:
        if tuple(labels.shape) != tuple(shape[-2:]):
            raise InputError(
                f"the mask has {tuple(labels.shape)} pixels and the image that the model sees {tuple(shape[-2:])}."
            )
        return Partition(labels)

    return Components("segments", on)


def channels() -> Components:
    """The channels of an image."""

    def on(shape: Sequence[int]) -> Partition:
        return Partition(torch.arange(shape[-3]).view(-1, 1, 1).expand(shape[-3:]))

    return Components("channels", on)


def frequency_bands(bands: int | Sequence[int]) -> Components:
    """Frequency bands of the whole image.

    Args:
        bands: how many (spaced geometrically, the first one holds orders 0 and 1), or the orders at which a new one
            begins: ``(2, 19)`` gives the three bands of Kauffmann et al. 2025, orders 0-1, 2-18 and from 19 on.
    """

    def on(shape: Sequence[int]) -> Bands:
        return Bands(_bands_of(shape, bands), Partition(torch.zeros(tuple(shape[-2:]), dtype=torch.long)))

    return Components(f"frequency bands {bands}", on)


def patch_bands(size: int, bands: int | Sequence[int]) -> Components:
    """The frequency bands of each patch, patch-major: those of `frequency_bands`, cut into the patches of `patches`."""
    cells = patches(size)

    def on(shape: Sequence[int]) -> Bands:
        partition = cells.on(shape)
        assert isinstance(partition, Partition)
        return Bands(_bands_of(shape, bands), partition)

    return Components(f"frequency bands {bands} of {cells.name}", on)


def band_edges(shape: Sequence[int], bands: int | Sequence[int]) -> list[int]:
    """The orders at which bands begin, the first excepted, for images (..., H, W); see `frequency_bands`."""
    height, width = shape[-2:]
    edges = list(bands) if not isinstance(bands, int) else _geometric(height + width - 1, bands)
    if edges != sorted(set(edges)) or any(not 0 < edge < height + width - 1 for edge in edges):
        raise InputError(f"frequency bands begin at rising orders from 1 to {height + width - 2}, not at {edges}.")
    return edges


def _geometric(orders: int, count: int) -> list[int]:
    most = max(1, min(64, orders - 1))
    if not 1 <= count <= most:
        raise InputError(f"{count} frequency bands cannot be made of {orders} orders: choose 1 to {most}.")
    edges: list[int] = []
    for edge in np.geomspace(2, orders, count)[:-1]:
        edges.append(max(round(edge), edges[-1] + 1 if edges else 2))
    return edges


def _bands_of(shape: Sequence[int], bands: int | Sequence[int]) -> Tensor:
    height, width = shape[-2:]
    order = torch.arange(height)[:, None] + torch.arange(width)
    return torch.bucketize(order, torch.tensor(band_edges(shape, bands), dtype=torch.long), right=True)
