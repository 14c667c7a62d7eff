"""An adaptive grid: coarse patches are pushed, and only those that matter are divided.

A patch of ``2 s`` pixels is the sum of its four quarters, and a push is linear: three quarters are pushed, and what the
fourth contributes is what the other three leave of the patch. So the sums are exact at every level, and detail costs
where there is something to see.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from chinspect.errors import InputError
from chinspect.relevance.components import Partition, patches
from chinspect.relevance.map import RelevanceMap


@dataclass(frozen=True, eq=False)
class AdaptivePush:
    """What patches of uneven size contribute.

    Attributes:
        labels: (H, W) integers, the patch of each pixel.
        table: (P, D), what each patch contributes to each output.
        sides: (P,), the side of each patch in pixels, as far as it is not cut by the border.
        cost: multiply-accumulate operations over those of the coarsest grid alone.
    """

    labels: Tensor
    table: Tensor
    sides: Tensor
    cost: float


def adaptive_push(
    mapped: RelevanceMap, direction: Tensor | None = None, *, coarse: int = 32, fine: int = 8, budget: float = 1.5
) -> AdaptivePush:
    """The push of patches that are smaller where more relevance lies.

    Args:
        mapped: the map of one image.
        direction: (D,), by what a patch matters: ``abs(T @ direction)``; by default the norm of its row of ``T``. For
            the similarity to an image b it is what is explained of b.
        coarse: side of the largest patches in pixels.
        fine: side of the smallest, ``coarse`` over a power of 2.
        budget: multiply-accumulate operations, over those of the coarsest grid alone.

    Raises:
        InputError: there is more than one image, or the sides do not halve into each other.
    """
    shape = mapped.x.shape[2:]
    halvings = (coarse // fine).bit_length() - 1 if 0 < fine <= coarse else 0
    if fine << halvings != coarse or fine < 1:
        raise InputError(f"patches of {coarse} pixels do not halve into {fine}: choose {coarse} over a power of 2.")
    if len(mapped.x) != 1:
        raise InputError(f"an adaptive grid belongs to one image, not to {len(mapped.x)}: push them one by one.")
    table = mapped.push(patches(coarse))
    level = _Level(coarse, torch.arange(len(table)), table)
    first = mapped.macs(patches(coarse))
    spent = first
    final = []
    for number in range(halvings):
        level = level.ranked(direction)
        quarters = _quarters(shape, level)
        # the rest of the budget, evenly over the levels to come: the smallest patches can only lie in divided ones
        allowance = (budget * first - spent) / (halvings - number)
        count, cost = _affordable(mapped, level.side // 2, quarters, allowance)
        spent += cost
        final.append(_Level(level.side, level.members[count:], level.table[count:]))
        level = _divided(mapped, level.side // 2, quarters[:count], level.table[:count])
    final.append(level)
    sides = torch.cat([torch.full((len(one.members),), one.side) for one in final])
    return AdaptivePush(_labels(shape, final), torch.cat([one.table for one in final]), sides, spent / first)


@dataclass(frozen=True, eq=False)
class _Level:
    """Patches of one size: their numbers ``members`` (M,) in the grid of that ``side``, and their rows (M, D)."""

    side: int
    members: Tensor
    table: Tensor

    def ranked(self, direction: Tensor | None) -> _Level:
        """The most important patches first."""
        importance = self.table.norm(dim=1) if direction is None else (self.table @ direction.to(self.table)).abs()
        order = importance.argsort(descending=True)
        return _Level(self.side, self.members[order.cpu()], self.table[order])


def _quarters(shape: Sequence[int], level: _Level) -> Tensor:
    """Numbers (M, 4) of the quarters in the grid of half the side; -1 for those that lie outside the image."""
    rows, columns = (-(-size // (level.side // 2)) for size in shape)
    wide = -(-shape[1] // level.side)
    row = 2 * (level.members // wide)[:, None] + torch.tensor([0, 0, 1, 1])
    column = 2 * (level.members % wide)[:, None] + torch.tensor([0, 1, 0, 1])
    return torch.where((row < rows) & (column < columns), row * columns + column, -1)


def _pushed(quarters: Tensor) -> Tensor:
    """Those that are pushed: all but the first, which always lies in the image."""
    return quarters[:, 1:][quarters[:, 1:] >= 0]


def _affordable(mapped: RelevanceMap, side: int, quarters: Tensor, allowance: float) -> tuple[int, int]:
    """How many patches can be divided into ``quarters``, and what that costs."""
    low = cost = 0
    high = len(quarters)
    while low < high:
        middle = (low + high + 1) // 2
        needed = mapped.macs(patches(side), _pushed(quarters[:middle]))
        if needed <= allowance:
            low = middle
            cost = needed
        else:
            high = middle - 1
    return low, cost


def _divided(mapped: RelevanceMap, side: int, quarters: Tensor, parents: Tensor) -> _Level:
    """The quarters of patches that contribute ``parents`` (M, D)."""
    rows = parents.new_zeros(*quarters.shape, parents.shape[1])
    members = _pushed(quarters)
    if len(members):
        rows[:, 1:][quarters[:, 1:] >= 0] = mapped.push(patches(side), members)
    rows[:, 0] = parents - rows.sum(1)
    inside = quarters >= 0
    return _Level(side, quarters[inside], rows[inside])


def _labels(shape: Sequence[int], levels: Sequence[_Level]) -> Tensor:
    """The patch (H, W) that holds each pixel, counted over all levels."""
    labels = torch.full(tuple(shape), -1)
    start = 0
    for level in levels:
        grid = patches(level.side).on(shape)
        assert isinstance(grid, Partition)
        numbers = torch.full((grid.count,), -1)
        numbers[level.members] = torch.arange(start, start + len(level.members))
        labels = torch.maximum(labels, numbers[grid.labels])
        start += len(level.members)
    return labels
