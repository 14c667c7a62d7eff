"""Running the steps: all components at once, on shared maps where the network is local, in chunks of bounded memory.

The first part of the network runs with patches sharing maps (see `_locality`). Where each patch needs a map of its own,
or the maps would not fit the memory, the second part begins: it runs for one chunk of components after the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from chinspect.relevance._graph import last_reads
from chinspect.relevance._locality import Tiling, lay_out, tilings
from chinspect.relevance._steps import Step, indicator
from chinspect.relevance.components import Partition, Parts

State = dict[str, Tensor]


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
        names = {self.source, indicator(self.source)}
        return names.intersection(name for step in self.steps for name in step.push.reads)

    @property
    def reads_indicators(self) -> bool:
        """Whether the first layer's rule shares relevance among pixels."""
        return indicator(self.source) in self.inputs

    def whole(self, t: Tensor, indicators: Tensor) -> Tensor:
        """The push of components (K, N, C, H, W), with a map for each: (K, N, D)."""
        given = {self.source: t, indicator(self.source): indicators}
        state = {name: given[name] for name in self.inputs}
        _run(self.steps, state, keep={self.sink})
        return state[self.sink]


@dataclass(frozen=True)
class Plan:
    """How a program runs for some parts.

    Attributes:
        layout: the tilings of the values that shared maps hold.
        cut: number of steps that run on shared maps.
        chunk: number of components that run through the other steps together.
        macs: multiply-accumulate operations in all.
    """

    layout: dict[str, Tiling]
    cut: int
    chunk: int
    macs: int


def plan(program: Program, parts: Parts, memory: int) -> Plan:
    """Shared maps as long as they save work and fit into ``memory`` (bytes), then chunks that fit."""
    layout: dict[str, Tiling] = {}
    if isinstance(parts, Partition) and parts.grid is not None:
        layout = tilings(program.steps, program.source, parts, program.x.shape[2:])
    size = program.x.element_size()
    maps = {name: tiling.maps for name, tiling in layout.items()}
    live = _live(program, maps) if layout else []
    cut = 0
    for step, numbers in zip(program.steps, live, strict=False):
        if maps.get(step.name, parts.count) >= parts.count or numbers * size > memory:
            break
        cut += 1
    largest = max(_live(program, {})[cut:], default=1)
    chunk = max(1, min(parts.count, memory // (2 * largest * size)))  # convolutions make copies of their own
    before = sum(step.push.macs * maps[step.name] for step in program.steps[:cut])
    return Plan(layout, cut, chunk, before + parts.count * sum(step.push.macs for step in program.steps[cut:]))


def _live(program: Program, maps: dict[str, int]) -> list[int]:
    """Numbers held during each step, for one map a value unless ``maps`` says more."""
    freed = last_reads([(step.name, step.push.reads) for step in program.steps], keep={program.sink})
    held = dict.fromkeys(program.inputs, program.x.numel())
    live = []
    for step in program.steps:
        held[step.name] = step.shape.numel() * maps.get(step.name, 1)
        live.append(sum(held.values()) + held[step.name])  # the result once more: what is made on the way to it
        for name in freed[step.name]:
            del held[name]
    return live


def push(program: Program, parts: Parts, how: Plan) -> Tensor:
    """What each of the parts contributes to each output: (P, N, D)."""
    shared, rest = program.steps[: how.cut], program.steps[how.cut :]
    state = {}
    if how.layout:
        given = {program.source: program.x[None], indicator(program.source): torch.ones_like(program.x)[None]}
        state = {name: given[name] for name in program.inputs}
        _run_shared(shared, state, how.layout, keep={name for step in rest for name in step.push.reads})
    results = []
    for start in range(0, parts.count, how.chunk):
        members = range(start, min(start + how.chunk, parts.count))
        chunk = _apart(state, how.layout, members, parts) if how.layout else _components(program, parts, members)
        _run(rest, chunk, keep={program.sink})
        results.append(chunk[program.sink])
    return torch.cat(results)


def _run(steps: Sequence[Step], state: State, keep: set[str]) -> None:
    """Runs ``steps`` on the values in ``state``, and drops each value when nothing reads it any more."""
    freed = last_reads([(step.name, step.push.reads) for step in steps], keep)
    for step in steps:
        state[step.name] = step.push(*(state[name] for name in step.push.reads))
        for name in freed[step.name]:
            del state[name]


def _run_shared(steps: Sequence[Step], state: State, layout: dict[str, Tiling], keep: set[str]) -> None:
    """As `_run`, with the inputs of each step laid out as its output needs them."""
    freed = last_reads([(step.name, step.push.reads) for step in steps], keep)
    for step in steps:
        tiling = layout[step.name]
        inputs = (_widened(state[name], layout[name], tiling) for name in step.push.reads)
        state[step.name] = step.push(*inputs)
        for name in freed[step.name]:
            del state[name]


def _widened(t: Tensor, now: Tiling, then: Tiling) -> Tensor:
    return t if now.spacing == then.spacing else lay_out(t, now, then.spacing, range(then.maps))


def _apart(state: State, layout: dict[str, Tiling], members: Iterable[int], parts: Parts) -> State:
    """The components of ``members``, each on a map of its own."""
    assert isinstance(parts, Partition)
    assert parts.grid is not None
    return {name: lay_out(t, layout[name], parts.grid, list(members)) for name, t in state.items()}


def _components(program: Program, parts: Parts, members: range) -> State:
    groups = torch.full((parts.count,), -1)
    groups[members.start : members.stop] = torch.arange(len(members))
    state = {}
    if program.source in program.inputs:
        state[program.source] = parts.values(program.x, groups)
    if program.reads_indicators:
        assert isinstance(parts, Partition)
        state[indicator(program.source)] = parts.indicators(program.x, groups).expand(-1, *program.x.shape)
    return state
