"""Components: what relevance is asked for, pieces of an image that sum to it.

The components of an image ``x`` sum to ``x``: its patches, its segments, its colour channels, its frequency bands, or
the frequency bands of each patch (see `chinspect.relevance.bands`). Those that *partition* the pixels also say which
pixel belongs to which component; rules that give relevance to pixels without value (flat, w-square, z-box) need that,
and refuse the others.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from chinspect.errors import InputError


class Decomposition(ABC):
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
    """Components of images of any shape: ``on((..., H, W))`` lays them over images of that shape."""

    name: str
    on: Callable[[Sequence[int]], Decomposition]


@dataclass(frozen=True, eq=False)
class Partition(Decomposition):
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

    def mixed(self, x: Tensor, x0: Tensor, sets: Tensor) -> Tensor:
        """Images (n, C, H, W): for each of the sets (n, P), booleans, ``x`` on its components and ``x0`` elsewhere."""
        shown = sets.to(x.device)[:, self.labels.to(x.device)]
        return torch.where(shown if shown.ndim == 4 else shown[:, None], x, x0)

    def sums(self, relevance: Tensor) -> Tensor:
        """Sums of ``relevance`` (..., C, H, W) over each component: (..., count)."""
        labels = self.labels.to(relevance.device).expand(relevance.shape[-3:]).reshape(-1)
        flat = relevance.reshape(-1, labels.numel())
        return flat.new_zeros(len(flat), self.count).index_add_(1, labels, flat).view(*relevance.shape[:-3], -1)


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
        rows = -(-height // size)
        columns = -(-width // size)
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
