"""Locality: patches whose receptive fields do not meet can share one map.

In the early layers of a convolutional network a patch reaches only pixels near it. There the components of a grid of
patches are laid on few maps: patches ``s`` rows and columns apart share one, ``s`` being the smallest *spacing* at
which their supports are disjoint (a colouring of the grid). Deeper the supports grow, and the maps are laid out again
with a wider spacing, until each patch has a map of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from chinspect.relevance._operations import Axis
from chinspect.relevance._steps import Step, indicator
from chinspect.relevance.components import Partition

Interval = tuple[int, int]  # from, to (excluded)


@dataclass(frozen=True)
class Tiling:
    """Where the patches of a grid reach at one value, and how they are laid on maps there.

    Attributes:
        rows, columns: for each row (column) of patches the interval of pixels that it reaches.
        spacing: patches that many rows and columns apart share a map.
    """

    rows: tuple[Interval, ...]
    columns: tuple[Interval, ...]
    spacing: tuple[int, int]

    @property
    def maps(self) -> int:
        """Number of maps."""
        return self.spacing[0] * self.spacing[1]


def tilings(steps: Sequence[Step], source: str, partition: Partition, shape: Sequence[int]) -> dict[str, Tiling]:
    """The tiling of each step's value as far as the network is local; steps after that are missing.

    Args:
        shape: (H, W) of the image.
    """
    assert partition.grid is not None
    sides = zip(partition.grid, shape, strict=True)
    rows, columns = (tuple(_cells(count, partition.cell, size)) for count, size in sides)
    start = Tiling(rows, columns, (1, 1))
    known = {source: start, indicator(source): start}
    for step in steps:
        inputs = [known.get(name) for name in step.push.reads]
        if step.push.window is None or any(tiling is None for tiling in inputs):
            continue
        known[step.name] = _after(step, [tiling for tiling in inputs if tiling is not None])
    return known


def _cells(count: int, cell: int, size: int) -> list[Interval]:
    return [(index * cell, min((index + 1) * cell, size)) for index in range(count)]


def _after(step: Step, inputs: list[Tiling]) -> Tiling:
    assert step.push.window is not None
    vertical, horizontal = step.push.window
    rows = _reached([tiling.rows for tiling in inputs], vertical, step.shape[2])
    columns = _reached([tiling.columns for tiling in inputs], horizontal, step.shape[3])
    # never closer than before: what shares a map at the input cannot be taken apart at the output
    down = max(_spacing(rows), *(tiling.spacing[0] for tiling in inputs))
    across = max(_spacing(columns), *(tiling.spacing[1] for tiling in inputs))
    return Tiling(rows, columns, (down, across))


def _reached(inputs: list[tuple[Interval, ...]], axis: Axis, size: int) -> tuple[Interval, ...]:
    """The outputs that see the union of the inputs' intervals."""
    kernel, stride, padding, dilation = axis
    reached = []
    for intervals in zip(*inputs, strict=True):
        low, high = min(low for low, _ in intervals), max(high for _, high in intervals)
        start = -((dilation * (kernel - 1) - padding - low) // stride)
        reached.append((max(start, 0), min((high - 1 + padding) // stride + 1, size)))
    return tuple(reached)


def _spacing(intervals: tuple[Interval, ...]) -> int:
    """The smallest distance at which no two intervals meet."""
    count = len(intervals)
    for spacing in range(1, count):
        if all(intervals[i][1] <= intervals[i + spacing][0] for i in range(count - spacing)):
            return spacing
    return count


def lay_out(t: Tensor, tiling: Tiling, spacing: tuple[int, int], maps: Sequence[int]) -> Tensor:
    """Components (K, N, C, H, W), laid out by ``tiling``, laid out again with a wider spacing.

    Args:
        maps: which of the new maps are wanted.
    """
    _, n, c, height, width = t.shape
    rows = _sources(tiling.rows, tiling.spacing[0], spacing[0], height)
    columns = _sources(tiling.columns, tiling.spacing[1], spacing[1], width)
    wanted = torch.tensor(list(maps))
    row, column = rows[wanted // spacing[1]][:, :, None], columns[wanted % spacing[1]][:, None, :]
    held = ((row >= 0) & (column >= 0)).flatten().nonzero().squeeze(1)
    pixels = torch.arange(height * width).view(height, width)
    taken = ((row * tiling.spacing[1] + column) * height * width + pixels).flatten()[held]
    result = t.new_zeros(len(wanted), height, width, n, c)
    source = t.permute(0, 3, 4, 1, 2).reshape(-1, n * c)
    result.view(-1, n * c).index_copy_(0, held.to(t.device), source.index_select(0, taken.to(t.device)))
    return result.permute(0, 3, 4, 1, 2)


def _sources(intervals: tuple[Interval, ...], spacing: int, wider: int, size: int) -> Tensor:
    """For each new row of maps (wider) and pixel row the old row of maps that holds it, or -1: (wider, size)."""
    sources = torch.full((wider, size), -1)
    for index, (low, high) in enumerate(intervals):
        sources[index % wider, low:high] = index % spacing
    return sources
