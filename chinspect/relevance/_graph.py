"""What a model computes, as a flat list of operations.

A `Graph` is what `chinspect.relevance._tracing` makes of a module, and what `chinspect.relevance._rewriting` changes
into an equal one. The module itself is only read: its parameters are shared, and what has to change is a copy.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map_only


@dataclass(frozen=True)
class Ref:
    """The value of another operation, or of a tensor that the model owns."""

    name: str


@dataclass(frozen=True)
class Operation:
    """One call ``name = target(*args, **kwargs)``, made by the module at ``path``.

    Its value has the ``shape`` and the ``dtype``, which are None where it is no tensor.
    """

    name: str
    target: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    path: str
    module_type: str
    shape: torch.Size | None = None
    dtype: torch.dtype | None = None

    @property
    def kind(self) -> str:
        """The target's short name: ``aten.relu.default`` is ``relu``."""
        return getattr(self.target, "overloadpacket", self.target).__name__

    @cached_property
    def reads(self) -> tuple[str, ...]:
        """Names of the values that the call reads."""
        leaves = tree_leaves((self.args, self.kwargs), is_leaf=lambda leaf: isinstance(leaf, Ref))
        return tuple(dict.fromkeys(leaf.name for leaf in leaves if isinstance(leaf, Ref)))

    def arguments(self, values: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments with each `Ref` replaced by its value."""
        return tree_map_only(Ref, lambda ref: values[ref.name], (self.args, self.kwargs))

    def run(self, values: dict[str, Any]) -> Any:
        """The value of the operation from those that it reads."""
        args, kwargs = self.arguments(values)
        return self.target(*args, **kwargs)

    def renamed(self, alias: Mapping[str, str]) -> Operation:
        """The operation, reading other names where ``alias`` has them."""
        if alias.keys().isdisjoint(self.reads):
            return self
        arguments = (self.args, self.kwargs)
        args, kwargs = tree_map_only(Ref, lambda ref: Ref(alias.get(ref.name, ref.name)), arguments)
        return replace(self, args=args, kwargs=kwargs)


@dataclass(frozen=True)
class Graph:
    """A module at one input shape: ``operations`` that lead from ``source`` (the images) to ``sink`` (the embeddings).

    ``constants`` holds the tensors that the module owns (parameters, buffers, literals) by name.
    """

    operations: tuple[Operation, ...]
    constants: dict[str, Tensor]
    source: str
    sink: str
    input_shape: torch.Size

    def run(self, x: Tensor) -> Iterator[tuple[Operation, Any]]:
        """Each operation with its value for images ``x``; values are dropped when nothing reads them any more."""
        values: dict[str, Any] = {**self.constants, self.source: x}
        freed = last_reads(self.operations, {self.sink})
        for operation in self.operations:
            values[operation.name] = operation.run(values)
            yield operation, values[operation.name]
            for name in freed[operation.name]:
                del values[name]


class Reader(Protocol):
    """Something that makes the value ``name`` from the values that it ``reads``."""

    @property
    def name(self) -> str: ...

    @property
    def reads(self) -> tuple[str, ...]: ...


AnyReader = TypeVar("AnyReader", bound=Reader)


def last_reads(readers: Sequence[Reader], keep: Collection[str]) -> dict[str, list[str]]:
    """For each reader the values, except those to ``keep``, that no later one reads."""
    last = {value: reader.name for reader in readers for value in reader.reads}
    freed: dict[str, list[str]] = {reader.name: [] for reader in readers}
    for value, name in last.items():
        if value not in keep:
            freed[name].append(value)
    return freed


def needed(readers: Sequence[AnyReader], sink: str) -> tuple[AnyReader, ...]:
    """Those that the value ``sink`` depends on, in their order: assertions and unused values fall away."""
    names = {sink}
    result = []
    for reader in reversed(readers):
        if reader.name in names:
            names.update(reader.reads)
            result.append(reader)
    return tuple(reversed(result))


def affine(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """``scale * x + shift`` entry by entry: both are broadcast to the shape of ``x``."""
    return x * scale + shift


def working_precision(x: Tensor) -> torch.dtype:
    """The precision in which relevance of images ``x`` is computed: double where they are, else single.

    Half precision and bfloat16 hold 3 decimal digits, and relevance is a sum of thousands of terms.
    """
    return torch.float64 if x.dtype == torch.float64 else torch.float32
