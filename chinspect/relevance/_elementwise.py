"""Element-wise functions that a network writes in several operations: one operation.

``x * relu6(x + 3) / 6`` is hardswish, ``x * sigmoid(x)`` is silu, ``0.5 * x * (1 + erf(x / sqrt(2)))`` is gelu. Where
paths of element-wise operations that part at one value meet again, and give zero where that value is zero, what lies
between is one function of it, whatever it is called. A gate that is alone, or of another value, is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from chinspect.relevance._graph import Graph, Operation, Ref, needed

_UNARY = {
    *("relu", "relu6", "gelu", "silu", "hardswish", "leaky_relu", "elu", "celu", "selu", "mish", "tanh", "hardtanh"),
    *("square", "pow", "clamp", "clamp_min", "clamp_max", "sigmoid", "hardsigmoid", "exp", "log", "log1p", "expm1"),
    *("rsqrt", "sqrt", "reciprocal", "softplus", "abs", "erf", "sin", "cos", "sign", "threshold"),
}
_BINARY = {"mul", "div", "add", "sub", "rsub", "affine", "where", "maximum", "minimum"}
_BINARY |= {"gt", "lt", "ge", "le", "eq", "ne", "logical_not", "_prelu_kernel"}


@dataclass(frozen=True)
class Elementwise:
    """A function of a value and of constants, as the operations that it is made of."""

    operations: tuple[Operation, ...]
    names: tuple[str, ...]
    __name__ = "elementwise"

    def __call__(self, *arguments: Any) -> Any:
        values = dict(zip(self.names, arguments, strict=True))
        for operation in self.operations:
            values[operation.name] = operation.run(values)
        return values[self.operations[-1].name]


def fused(graph: Graph) -> Graph:
    """The graph with an operation for each element-wise function that its operations make up."""
    parents: dict[str, str] = {}
    known = {operation.name: operation for operation in graph.operations}
    operations = []
    for operation in graph.operations:
        reads = [name for name in operation.reads if name not in graph.constants]
        root = _meeting(reads, parents) if operation.kind in _UNARY | _BINARY else None
        if root is not None and _shaped_alike(operation, root, known, graph):
            parents[operation.name] = root
            if len(reads) > 1:
                operation = _function(operation, root, known, graph.constants) or operation
        operations.append(operation)
    return replace(graph, operations=needed(operations, graph.sink))


def _meeting(reads: list[str], parents: Mapping[str, str]) -> str | None:
    """The nearest value that all of ``reads`` are element-wise functions of."""
    chains = [list(_chain(name, parents)) for name in reads]
    if not chains:
        return None
    return next((name for name in chains[0] if all(name in chain for chain in chains[1:])), None)


def _chain(name: str, parents: Mapping[str, str]) -> list[str]:
    result = [name]
    while result[-1] in parents:
        result.append(parents[result[-1]])
    return result


def _shaped_alike(operation: Operation, root: str, known: Mapping[str, Operation], graph: Graph) -> bool:
    shape = graph.input_shape if root == graph.source else known[root].shape
    return shape is not None and operation.shape == shape


def _function(
    operation: Operation, root: str, known: Mapping[str, Operation], constants: Mapping[str, Tensor]
) -> Operation | None:
    """The operation as a function of ``root``, if that is zero at zero."""
    inside: dict[str, Operation] = {}
    _collect(operation, root, known, constants, inside)
    body = [member for member in known.values() if member.name in inside]
    fixed = sorted({name for member in body for name in member.reads if name in constants})
    function = Elementwise(tuple(body), (root, *fixed))
    values = [constants[name] for name in fixed]
    sizes = {str(value.dtype): value for value in values if value.is_floating_point()}
    like = next(iter(sizes.values()), torch.zeros((), dtype=operation.dtype))
    assert operation.shape is not None
    at_zero = function(like.new_zeros(operation.shape), *values)
    if not isinstance(at_zero, Tensor) or not bool((at_zero.abs() < _ZERO).all()):
        return None
    return replace(operation, target=function, args=(Ref(root), *map(Ref, fixed)), kwargs={})


_ZERO = 1e-6  # constants of single precision, such as 1 / 6, leave as much


def _collect(
    operation: Operation,
    root: str,
    known: Mapping[str, Operation],
    constants: Mapping[str, Tensor],
    inside: dict[str, Operation],
) -> None:
    """All operations between ``root`` and ``operation``."""
    inside[operation.name] = operation
    for name in operation.reads:
        if name != root and name not in constants and name not in inside:
            _collect(known[name], root, known, constants, inside)
