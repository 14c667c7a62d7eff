"""Running the steps: all components at once where the network is local, and else in chunks of bounded memory.

The first steps run with many patches on one map (see `_locality`). Where each patch needs a map of its own, or the maps
would not fit the memory, the other steps begin: they run for one chunk of components after the other.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from chinspect.relevance._graph import last_reads
from chinspect.relevance._locality import Tiling, lay_out, tilings
from chinspect.relevance._steps import Step, indicator
from chinspect.relevance.components import Decomposition, Partition

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
        return {self.source, indicator(self.source)}.intersection(name for step in self.steps for name in step.reads)

    @property
    def reads_indicators(self) -> bool:
        """Whether the first layer's rule distributes relevance over pixels."""
        return indicator(self.source) in self.inputs

    def start(self, t: Tensor, indicators: Tensor) -> State:
        """What the steps read of components (K, N, C, H, W) and the indicators of their pixels."""
        values = {self.source: t, indicator(self.source): indicators}
        return {name: values[name] for name in self.inputs}

    def apply(self, t: Tensor, indicators: Tensor) -> Tensor:
        """The push of components (K, N, C, H, W), with a map for each: (K, N, D)."""
        state = self.start(t, indicators)
        _run(self.steps, state, {self.sink})
        return state[self.sink]


@dataclass(frozen=True)
class Plan:
    """How a program runs for the components of a decomposition.

    Attributes:
        layout: the tiling of each value that can hold many patches on one map.
        cut: number of steps that run in this way.
        chunk: number of components that run through the other steps together.
        macs: multiply-accumulate operations in all.
    """

    layout: dict[str, Tiling]
    cut: int
    chunk: int
    macs: int


def plan(program: Program, decomposition: Decomposition, memory: int) -> Plan:
    """Many patches on one map as long as that saves work and fits into ``memory`` (bytes), then chunks that fit."""
    count = decomposition.count
    layout: dict[str, Tiling] = {}
    if isinstance(decomposition, Partition) and decomposition.grid is not None:
        layout = tilings(program.steps, program.source, decomposition, program.x.shape[2:])
    size = program.x.element_size()
    maps = {name: tiling.maps for name, tiling in layout.items()}
    live = _live(program, maps) if layout else []
    cut = 0
    for step, numbers in zip(program.steps, live, strict=False):
        if maps.get(step.name, count) >= count or numbers * size > memory:
            break
        cut += 1
    largest = max(_live(program, {})[cut:], default=1)
    chunk = max(1, min(count, memory // (2 * largest * size)))  # twice: convolutions make copies of their own
    macs = sum(step.push.macs * maps[step.name] for step in program.steps[:cut])
    macs += count * sum(step.push.macs for step in program.steps[cut:])
    return Plan(layout, cut, chunk, macs)


def _live(program: Program, maps: Mapping[str, int]) -> list[int]:
    """Numbers held during each step, for one map a value unless ``maps`` says more."""
    freed = last_reads(program.steps, {program.sink})
    held = dict.fromkeys(program.inputs, program.x.numel())
    live = []
    for step in program.steps:
        held[step.name] = step.shape.numel() * maps.get(step.name, 1)
        live.append(sum(held.values()) + held[step.name])  # the result once more: what is made on the way to it
        for name in freed[step.name]:
            del held[name]
    return live


def push(program: Program, decomposition: Decomposition, how: Plan) -> Tensor:
    """What each of the components contributes to each output: (P, N, D)."""
    local = program.steps[: how.cut]
    rest = program.steps[how.cut :]
    state: State = {}
    if how.layout:
        state = program.start(program.x[None], torch.ones_like(program.x)[None])
        _run(local, state, {name for step in rest for name in step.reads}, how.layout)
    results = []
    for members in torch.arange(decomposition.count).split(how.chunk):
        if how.layout:
            chunk = {name: lay_out(t, how.layout[name], how.layout[name].grid, members) for name, t in state.items()}
        else:
            chunk = _components(program, decomposition, members)
        _run(rest, chunk, {program.sink})
        results.append(chunk[program.sink])
    return torch.cat(results)


def _run(
    steps: Sequence[Step], state: State, keep: Collection[str], layout: Mapping[str, Tiling] | None = None
) -> None:
    """Runs ``steps`` on the values in ``state``, and drops each value when nothing reads it any more.

    With a ``layout`` the inputs of each step are laid out as its output needs them.
    """
    freed = last_reads(steps, keep)
    for step in steps:
        # a generator: no name here may keep a value alive that is dropped below
        inputs = (
            state[name] if layout is None else _widened(state[name], layout[name], layout[step.name])
            for name in step.reads
        )
        state[step.name] = step.push(*inputs)
        for name in freed[step.name]:
            del state[name]


def _widened(t: Tensor, now: Tiling, then: Tiling) -> Tensor:
    return t if now.spacing == then.spacing else lay_out(t, now, then.spacing, torch.arange(then.maps))


def _components(program: Program, decomposition: Decomposition, members: Tensor) -> State:
    """The components of ``members``, as the steps read them."""
    groups = torch.full((decomposition.count,), -1)
    groups[members] = torch.arange(len(members))
    state = {}
    if program.source in program.inputs:
        state[program.source] = decomposition.values(program.x, groups)
    if program.reads_indicators:
        assert isinstance(decomposition, Partition)
        state[indicator(program.source)] = decomposition.indicators(program.x, groups).expand(-1, *program.x.shape)
    return state
