"""Locality: patches whose receptive fields do not meet can share one map.

In the early layers of a convolutional network a patch reaches only pixels near it. There the components of a grid of
patches are laid on few maps: patches ``s`` rows and columns apart share one, ``s`` being the smallest *spacing* at
which their supports are disjoint (a colouring of the grid). Deeper the supports grow, and the maps are laid out again
with a wider spacing, until each patch has a map of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from chinspect.relevance._operations import Axis, window
from chinspect.relevance._steps import Step, indicator
from chinspect.relevance.components import Partition

Interval = tuple[int, int]  # from, to (excluded)
Spacing = tuple[int, int]  # rows, columns


@dataclass(frozen=True)
class Side:
    """One axis of a tiling.

    Attributes:
        intervals: for each row (column) of patches the pixels that it reaches.
        spacing: patches that many rows (columns) apart share a map.
    """

    intervals: tuple[Interval, ...]
    spacing: int


class Tiling(NamedTuple):
    """Where the patches of a grid reach at one value, and how they are laid on maps there."""

    down: Side
    across: Side
    axes: tuple[int, int] = (2, 3)
    """Dimensions of the value that are rows and columns."""

    @property
    def spacing(self) -> Spacing:
        """Patches that many rows and columns apart share a map."""
        return self.down.spacing, self.across.spacing

    @property
    def maps(self) -> int:
        """Number of maps."""
        return math.prod(self.spacing)

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches: the spacing at which each patch has a map of its own."""
        return len(self.down.intervals), len(self.across.intervals)


def tilings(steps: Sequence[Step], source: str, partition: Partition, shape: Sequence[int]) -> dict[str, Tiling]:
    """The tiling of each step's value as far as the network is local; steps after that are missing.

    Args:
        shape: (H, W) of the image.
    """
    assert partition.grid is not None
    cell = partition.cell
    down, across = (
        Side(tuple((index * cell, min((index + 1) * cell, size)) for index in range(count)), spacing=1)
        for count, size in zip(partition.grid, shape, strict=True)
    )
    start = Tiling(down, across)
    result = {source: start, indicator(source): start}
    shapes = dict.fromkeys(result, (0, 0, *shape))
    for step in steps:
        shapes[step.name] = tuple(step.shape)
        if result.keys() >= set(step.reads):
            reached = _reaches(step, [result[name] for name in step.reads], [shapes[name] for name in step.reads])
            if reached is not None:
                result[step.name] = reached
    return result


def _reaches(step: Step, inputs: Sequence[Tiling], shapes: Sequence[tuple[int, ...]]) -> Tiling | None:
    """The tiling of a step's value from those of what it reads, of these shapes; None where it is not local."""
    axes = inputs[0].axes
    push = step.push
    if push.permutation is not None:
        rows, columns = (push.permutation.index(axis) for axis in axes)
        return inputs[0]._replace(axes=(rows, columns))
    if push.window is None or any(tiling.axes != axes for tiling in inputs) or not set(axes).isdisjoint(push.mixes):
        return None
    # a window lies in the last two dimensions; elsewhere it has to be one pixel, of values that are shaped alike
    alike = all(shape[axis] == step.shape[axis] for shape in shapes for axis in axes)
    if axes != (2, 3) and not (push.window == window(1) and alike):
        return None
    sides = zip(*((tiling.down, tiling.across) for tiling in inputs), strict=True)
    sizes = [step.shape[axis] for axis in axes]
    down, across = (_after(side, axis, size) for side, axis, size in zip(sides, push.window, sizes, strict=True))
    return Tiling(down, across, axes)


def _after(inputs: Sequence[Side], axis: Axis, size: int) -> Side:
    """The side of an output of ``size`` pixels, from those of all that a step reads."""
    intervals = _reached([side.intervals for side in inputs], axis, size)
    # never closer than before: what shares a map at the input cannot be taken apart at the output
    return Side(intervals, max(_spacing(intervals), *(side.spacing for side in inputs)))


def _reached(inputs: list[tuple[Interval, ...]], axis: Axis, size: int) -> tuple[Interval, ...]:
    """The outputs that see the union of the inputs' intervals."""
    kernel, stride, padding, dilation = axis
    reached = []
    for intervals in zip(*inputs, strict=True):
        low = min(low for low, _ in intervals)
        high = max(high for _, high in intervals)
        # output o sees the inputs from o * stride - padding on, as far as dilation * (kernel - 1) further
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


def lay_out(t: Tensor, tiling: Tiling, spacing: Spacing, maps: Tensor) -> Tensor:
    """Components (K, N, C, H, W), laid out by ``tiling`` (along its axes), laid out again with a wider spacing.

    Args:
        maps: numbers of the new maps that are wanted.
    """
    rows_at, columns_at = (axis + 1 for axis in tiling.axes)
    t = t.movedim((rows_at, columns_at), (3, 4))
    _, n, c, height, width = t.shape
    rows = _sources(tiling.down, spacing[0], height)[maps // spacing[1]][:, :, None]
    columns = _sources(tiling.across, spacing[1], width)[maps % spacing[1]][:, None, :]
    filled = ((rows >= 0) & (columns >= 0)).flatten().nonzero().squeeze(1)
    pixels = torch.arange(height * width).view(height, width)
    origin = ((rows * tiling.across.spacing + columns) * height * width + pixels).flatten()[filled]
    # channels last, so that a pixel with all its images and channels is copied as one row
    result = t.new_zeros(len(maps), height, width, n, c)
    source = t.permute(0, 3, 4, 1, 2).reshape(-1, n * c)
    result.view(-1, n * c).index_copy_(0, filled.to(t.device), source.index_select(0, origin.to(t.device)))
    return result.permute(0, 3, 4, 1, 2).movedim((3, 4), (rows_at, columns_at))


def _sources(side: Side, spacing: int, size: int) -> Tensor:
    """For each new row of maps and pixel row the old row of maps that holds it, or -1: (spacing, size)."""
    sources = torch.full((spacing, size), -1)
    for index, (low, high) in enumerate(side.intervals):
        sources[index % spacing, low:high] = index % side.spacing
    return sources
