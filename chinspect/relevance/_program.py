"""Running the steps: in sections, with as many components on a map and as many maps at once as is fastest.

The first steps run with many patches on one map (see `_locality`). Where each patch needs a map of its own, or the maps
would not fit the memory, the other steps begin: they run for one chunk of components after the other.

Within either the steps are divided into *sections* that run for one batch of maps after the other. A batch is so small
that its values stay in the processor's cache: a pass over the memory costs as much as a layer. Deeper layers have
smaller values and hence larger batches.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from chinspect.relevance._graph import last_reads
from chinspect.relevance._locality import Spacing, Tiling, lay_out, tilings
from chinspect.relevance._steps import Step, indicator
from chinspect.relevance.components import Decomposition, Partition

# bytes of the largest value of a batch: in a processor's last cache, and below the 32 MB from which the C library takes
# every block anew from the system, page by page (six times slower)
_BATCH = 8 << 20

Values = dict[str, Tensor]
Reader = Callable[[Spacing | None, Tensor, slice], Tensor]
"""A value on the maps of these numbers, which stand at these positions of all that are run; laid out with this spacing,
or with a map for each component (None)."""
State = dict[str, Reader]


@dataclass(frozen=True)
class Program:
    """The steps from ``source`` to ``sink`` for images ``x`` (N, C, H, W)."""

    steps: Sequence[Step]
    source: str
    sink: str
    x: Tensor

    @cached_property
    def inputs(self) -> set[str]:
        """What the steps read of the source: its components, the indicators of their pixels, or both."""
        return {self.source, indicator(self.source)}.intersection(name for step in self.steps for name in step.reads)

    @property
    def reads_indicators(self) -> bool:
        """Whether the first layer's rule distributes relevance over pixels."""
        return indicator(self.source) in self.inputs

    @property
    def macs(self) -> int:
        """Multiply-accumulate operations for one component that has maps of its own."""
        return sum(step.push.macs for step in self.steps)

    def apply(self, t: Tensor, indicators: Tensor) -> Tensor:
        """The push of components (K, N, C, H, W), with a map for each: (K, N, D)."""
        source = {self.source: t, indicator(self.source): indicators}
        values = {name: source[name] for name in self.inputs}
        _run(self.steps, values, {self.sink})
        return values[self.sink]


@dataclass(frozen=True)
class Section:
    """Steps that run for one batch of maps after the other.

    Attributes:
        spacing: patches that many rows and columns apart share a map; None where each component has maps of its own.
        batch: number of maps at once.
        results: the values that are read after the section.
    """

    steps: tuple[Step, ...]
    spacing: Spacing | None
    batch: int
    results: frozenset[str]


@dataclass(frozen=True)
class Plan:
    """How a program runs for the components of a decomposition.

    Attributes:
        layout: the tiling of each value that can hold many patches on one map.
        local: sections that run in this way, for all maps.
        rest: sections that run for one chunk of components after the other.
        chunk: number of components in a chunk.
        members: numbers of the components that are pushed (P,).
        macs: multiply-accumulate operations in all.
    """

    layout: dict[str, Tiling]
    local: tuple[Section, ...]
    rest: tuple[Section, ...]
    chunk: int
    members: Tensor
    macs: int


def plan(program: Program, decomposition: Decomposition, memory: int, members: Tensor | None = None) -> Plan:
    """Many patches on one map as long as that saves work and fits into ``memory`` (bytes), then chunks that fit.

    Args:
        members: numbers of the components to push; by default all.
    """
    members = torch.arange(decomposition.count) if members is None else members
    count = len(members)
    layout: dict[str, Tiling] = {}
    if isinstance(decomposition, Partition) and decomposition.grid is not None:
        layout = tilings(program.steps, program.source, decomposition, program.x.shape[2:])
    spacings = {name: tiling.spacing for name, tiling in layout.items() if tiling.maps < count}
    # spacings only grow from a step to those that read it, so that this order is one in which steps can run
    widest = (count + 1, (count, count))
    order = sorted(
        program.steps,
        key=lambda step: (math.prod(spacings[step.name]), spacings[step.name]) if step.name in spacings else widest,
    )
    size = program.x.element_size()
    maps = {name: math.prod(spacing) for name, spacing in spacings.items()}
    cut = 0
    for step, numbers in zip(order, _live(program, order, maps), strict=True):
        if step.name not in maps or numbers * size > memory:
            break
        cut += 1
    largest = max(_live(program, order, {})[cut:], default=1)
    chunk = max(1, min(count, memory // (2 * largest * size)))  # twice: convolutions make copies of their own
    macs = sum(step.push.macs * maps[step.name] for step in order[:cut])
    macs += count * sum(step.push.macs for step in order[cut:])
    limit = min(memory // 2, _BATCH) if program.x.device.type == "cpu" else memory // 2
    local = [spacings[step.name] for step in order[:cut]]
    sections = _sections(program, order, [*local, *[None] * (len(order) - cut)], chunk, limit // size)
    number = sum(section.spacing is not None for section in sections)
    return Plan(layout, sections[:number], sections[number:], chunk, members, macs)


def _live(program: Program, steps: Sequence[Step], maps: Mapping[str, int]) -> list[int]:
    """Numbers held during each step, for one map a value unless ``maps`` says more."""
    freed = last_reads(steps, {program.sink})
    held = dict.fromkeys(program.inputs, program.x.numel())
    live = []
    for step in steps:
        held[step.name] = step.shape.numel() * maps.get(step.name, 1)
        live.append(sum(held.values()) + held[step.name])  # the result once more: what is made on the way to it
        for name in freed[step.name]:
            del held[name]
    return live


def _sections(
    program: Program, steps: Sequence[Step], spacings: Sequence[Spacing | None], chunk: int, limit: int
) -> tuple[Section, ...]:
    """The steps, divided where their spacing changes, or where from there on batches can be twice as large.

    Args:
        limit: numbers that the largest value of a batch may have.
    """
    batches: list[int] = []
    for step, spacing, following in zip(reversed(steps), reversed(spacings), [None, *reversed(spacings)], strict=False):
        maps = chunk if spacing is None else math.prod(spacing)
        here = max(1, min(maps, limit // max(1, step.shape.numel())))
        # the smallest batch from here to the end of what has this spacing
        batches.append(min(batches[-1], here) if batches and following == spacing else here)
    batches.reverse()
    starts = [0]
    tuples = _unfinished(steps)
    for index in range(1, len(steps)):
        changes = spacings[index] != spacings[index - 1]
        if changes or (batches[index] >= 2 * batches[starts[-1]] and index not in tuples):
            starts.append(index)
    sections = []
    for start, stop in zip(starts, [*starts[1:], len(steps)], strict=True):
        later = {name for step in steps[stop:] for name in step.reads} | {program.sink}
        results = later.intersection(step.name for step in steps[start:stop])
        sections.append(Section(tuple(steps[start:stop]), spacings[start], batches[start], frozenset(results)))
    return tuple(sections)


def _unfinished(steps: Sequence[Step]) -> set[int]:
    """Positions at which a value that is several tensors is still to be read: a section cannot end there."""
    several = {step.name: position for position, step in enumerate(steps) if not step.shape}
    return {
        index
        for position, step in enumerate(steps)
        for name in several.keys() & set(step.reads)
        for index in range(several[name] + 1, position + 1)
    }


def push(program: Program, decomposition: Decomposition, how: Plan) -> Tensor:
    """What each of the plan's components contributes to each output: (P, N, D)."""
    state = _start(program, decomposition, how.layout)
    for section in how.local:
        assert section.spacing is not None
        maps = torch.arange(math.prod(section.spacing))
        for name, value in _stream(section, state, maps).items():
            state[name] = _laid(value, how.layout[name])
    results = []
    for members in how.members.split(how.chunk):
        chunk = dict(state)
        for section in how.rest:
            for name, value in _stream(section, chunk, members).items():
                chunk[name] = _owned(value)
        results.append(chunk[program.sink](None, members, slice(None)))
    return torch.cat(results)


def _start(program: Program, decomposition: Decomposition, layout: Mapping[str, Tiling]) -> State:
    """What the steps read of the source."""
    readers: State = {
        program.source: lambda _, members, __: decomposition.values(program.x, _groups(decomposition, members)),
        indicator(program.source): lambda _, members, __: _indicators(program, decomposition, members),
    }
    if layout:
        values = {program.source: program.x, indicator(program.source): torch.ones_like(program.x)}
        readers = {name: _laid(value[None], layout[name]) for name, value in values.items()}
    return {name: readers[name] for name in program.inputs}


def _indicators(program: Program, decomposition: Decomposition, members: Tensor) -> Tensor:
    assert isinstance(decomposition, Partition)
    return decomposition.indicators(program.x, _groups(decomposition, members)).expand(-1, *program.x.shape)


def _groups(decomposition: Decomposition, members: Tensor) -> Tensor:
    """A group of its own for each component of ``members``."""
    groups = torch.full((decomposition.count,), -1)
    groups[members] = torch.arange(len(members))
    return groups


def _laid(value: Tensor, tiling: Tiling) -> Reader:
    """A value that is there for all maps."""

    def read(spacing: Spacing | None, maps: Tensor, positions: slice) -> Tensor:
        if spacing == tiling.spacing:
            return value[positions]
        return lay_out(value, tiling, tiling.grid if spacing is None else spacing, maps)

    return read


def _owned(value: Tensor) -> Reader:
    """A value with a map for each component that is run."""
    return lambda _, __, positions: value[positions]


def _stream(section: Section, state: State, maps: Tensor) -> Values:
    """The section's results for the ``maps`` of these numbers."""
    reads = {name for step in section.steps for name in step.reads if name in state}
    results: Values = {}
    for start in range(0, len(maps), section.batch):
        positions = slice(start, start + section.batch)
        values = {name: state[name](section.spacing, maps[positions], positions) for name in reads}
        _run(section.steps, values, section.results)
        if section.batch >= len(maps):
            return values
        for name, value in values.items():
            if name not in results:
                results[name] = _empty(value, len(maps))
            results[name][positions] = value
    return results


def _empty(like: Tensor, maps: int) -> Tensor:
    """Room for that many maps, in the same memory format: a copy between formats takes ten times as long."""
    order = sorted(range(1, like.ndim), key=like.stride, reverse=True)
    room = like.new_empty(maps, *(like.shape[dimension] for dimension in order))
    return room.permute(0, *(1 + order.index(dimension) for dimension in range(1, like.ndim)))


def _run(steps: Sequence[Step], values: Values, keep: Collection[str]) -> None:
    """Runs ``steps`` on ``values``, and drops each value when nothing reads it any more."""
    freed = last_reads(steps, keep)
    for step in steps:
        # a generator: no name here may keep a value alive that is dropped below
        inputs = (values[name] for name in step.reads)
        values[step.name] = step.push(*inputs)
        for name in freed[step.name]:
            del values[name]
