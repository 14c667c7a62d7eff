"""Equal functions are brought to one form, so that they are explained equally.

A network may be written in many ways: with a batch norm or with its scale and shift in the convolution before, with
three branches that are summed or with the one convolution that they make (RepVGG, MobileOne), with its weights given or
computed (weight norm), with ``hardswish`` or with ``x * relu6(x + 3) / 6``. The steps, repeated until nothing changes:

1. what depends on no image is computed once;
2. what changes nothing (dropout, copies) goes;
3. sums and products with constants, and batch norms, become `affine` operations;
4. these go into the convolutions and linear layers before and behind them, and into each other;
5. sums of branches that are affine in one value become one layer: see `chinspect.relevance._branches`;
6. element-wise functions of one value become one operation: see `chinspect.relevance._elementwise`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from chinspect.relevance._branches import Entries, merged
from chinspect.relevance._elementwise import fused
from chinspect.relevance._graph import Graph, Operation, Ref, affine, needed
from chinspect.relevance._layers import weights

aten = torch.ops.aten

# batch norms in evaluation mode, and which of their arguments is epsilon
_BATCH_NORMS = {aten._native_batch_norm_legit_no_training.default: 6, aten.batch_norm.default: 7}
_IDENTITIES = ("clone", "contiguous", "alias", "detach", "dropout", "feature_dropout", "lift_fresh_copy", "identity")
_LIKE = ("zeros_like", "ones_like", "full_like", "new_zeros", "new_ones", "new_full")
_SUMS = {"add": (1, 1), "sub": (1, -1), "rsub": (-1, 1)}
"""Signs of the two arguments; ``alpha`` multiplies the second of a sum or a difference, the first of ``rsub``."""


def rewritten(graph: Graph, precision: torch.dtype) -> Graph:
    """An equal graph that computes in one precision, in the form that this module's beginning describes."""
    graph = _in_precision(graph, precision)
    while True:  # each sweep leaves fewer operations, or fewer of other kinds than affine
        sweep = _Sweep(graph, precision)
        for operation in graph.operations:
            sweep.add(operation)
        graph = sweep.graph()
        if not sweep.changed:
            return _pruned(fused(graph))


def _in_precision(graph: Graph, precision: torch.dtype) -> Graph:
    constants = {
        name: tensor.to(precision) if tensor.is_floating_point() else tensor for name, tensor in graph.constants.items()
    }
    operations = []
    for operation in graph.operations:
        arguments = (operation.args, operation.kwargs)
        args, kwargs = tree_map_only(
            torch.dtype, lambda dtype: precision if dtype.is_floating_point else dtype, arguments
        )
        operations.append(replace(operation, args=args, kwargs=kwargs))
    return replace(graph, operations=tuple(operations), constants=constants)


def _pruned(graph: Graph) -> Graph:
    """Without the constants that nothing reads any more."""
    names = {name for operation in graph.operations for name in operation.reads}
    return replace(graph, constants={name: graph.constants[name] for name in graph.constants if name in names})


class _Sweep:
    """One pass over the operations; each is taken over, changed, merged with those before it, or left out.

    Attributes:
        result: the operations so far by name.
        constants: values that depend on no image; some are no tensors but several.
        alias: names of values that are those of others.
        readers: how many operations read a value; never too few.
        norms: names of batch norms, which are tuples in the graph that is read.
        changed: whether anything was.
    """

    def __init__(self, graph: Graph, precision: torch.dtype) -> None:
        self.before = graph
        self.result: dict[str, Operation] = {}
        self.constants: dict[str, Any] = dict(graph.constants)
        self.alias: dict[str, str] = {}
        self.readers = Counter(name for operation in graph.operations for name in operation.reads)
        self.readers[graph.sink] += 1
        device = next((t.device for t in graph.constants.values()), torch.device("cpu"))
        self.one = torch.ones((), dtype=precision, device=device)
        self.norms: set[str] = set()
        self.changed = False

    def graph(self) -> Graph:
        """What the sweep has made."""
        sink = self.alias.get(self.before.sink, self.before.sink)
        operations = needed(list(self.result.values()), sink)
        return replace(self.before, operations=operations, constants=self.constants, sink=sink)

    def add(self, original: Operation) -> None:
        """Takes an operation."""
        operation = original.renamed(self.alias)
        if self.constants.keys() >= set(operation.reads):
            self.constants[operation.name] = operation.run(self.constants)
            self.changed = True
        elif operation.kind in _LIKE and operation.shape is not None:
            self.constants[operation.name] = self._like(operation)
            self.changed = True
        elif self._changes_nothing(operation):
            self._rename(operation.name, operation.args[0].name)
        else:
            self._put(operation, self._affine(operation) or self._linear(operation) or operation)

    def _put(self, original: Operation, operation: Operation) -> None:
        """The operation, merged with what is before it as far as that goes."""
        for merge in (self._sum, self._layer_behind, self._affine_behind):
            operation = merge(operation) or operation
        self.changed |= operation is not original
        self.result[operation.name] = operation

    def _rename(self, name: str, target: str) -> None:
        self.alias[name] = target
        self.readers[target] += self.readers[name] - 1
        self.changed = True

    def _like(self, operation: Operation) -> Tensor:
        """A tensor whose values depend only on the shape of what the operation reads."""
        name = operation.args[0].name
        before = self.result.get(name)
        shape = self.before.input_shape if before is None else before.shape
        assert shape is not None
        dtype = (
            self.one.dtype if before is None or before.dtype is None or before.dtype.is_floating_point else before.dtype
        )
        return operation.run({**self.constants, name: self.one.to(dtype).expand(shape)})

    def _changes_nothing(self, operation: Operation) -> bool:
        if operation.kind in _IDENTITIES:
            return True
        if operation.kind == "getitem":  # of a batch norm in evaluation mode: its other results are empty
            return operation.args[0].name in self.norms
        if operation.kind not in ("_to_copy", "to"):
            return False
        before = self.result.get(operation.reads[0])
        dtype = self.one.dtype if before is None else before.dtype
        floating = dtype is not None and dtype.is_floating_point
        return floating and operation.dtype is not None and operation.dtype.is_floating_point

    def _producer(self, name: str) -> Operation | None:
        """The operation that makes a value which nothing else reads."""
        return self.result.get(name) if self.readers[name] == 1 else None

    def _scaled(self, operation: Operation, name: str, scale: Tensor, shift: Tensor) -> Operation | None:
        """``scale * value + shift`` as an operation in the place of another, if that has the value's shape."""
        before = self.result.get(name)
        shape = self.before.input_shape if before is None else before.shape
        finite = bool(scale.isfinite().all()) and bool(shift.isfinite().all())  # a mask of attention is infinite
        # numpy's, since torch's imports its compiler
        if not finite or shape is None or np.broadcast_shapes(scale.shape, shift.shape, shape) != tuple(shape):
            return None
        tensors = {f"{operation.name}.scale": scale, f"{operation.name}.shift": shift}
        self.constants.update(tensors)
        return replace(operation, target=affine, args=(Ref(name), *map(Ref, tensors)), kwargs={}, shape=shape)

    def _affine(self, operation: Operation) -> Operation | None:
        """A sum or product with a constant, or a batch norm, as an affine function of the other argument."""
        if operation.target in _BATCH_NORMS:
            return self._batch_norm(operation)
        if operation.kind == "neg":
            return self._scaled(operation, operation.args[0].name, -self.one, 0 * self.one)
        if operation.kind not in (*_SUMS, "mul", "div") or len(operation.reads) == 0:
            return None
        values = [self._constant(argument) for argument in operation.args[:2]]
        fixed = [value for value in values if value is not None]
        if len(fixed) != 1 or operation.kwargs.keys() - {"alpha"}:
            return None
        first = values[0] is None
        coefficients = self._coefficients(operation, fixed[0], first)
        moving = operation.args[0 if first else 1].name
        return None if coefficients is None else self._scaled(operation, moving, *coefficients)

    def _coefficients(self, operation: Operation, constant: Tensor, first: bool) -> tuple[Tensor, Tensor] | None:
        """Scale and shift of the argument that moves, the ``first`` or the second one."""
        if operation.kind in _SUMS:
            of_first, of_second = self._signs(operation)
            return (of_first * self.one, of_second * constant) if first else (of_second * self.one, of_first * constant)
        if operation.kind == "mul":
            return constant, 0 * self.one
        return (1 / constant, 0 * self.one) if first else None

    def _signs(self, operation: Operation) -> tuple[float, float]:
        first, second = _SUMS[operation.kind]
        alpha = operation.kwargs.get("alpha", operation.args[2] if len(operation.args) > 2 else 1)
        return (first * alpha, second) if operation.kind == "rsub" else (first, second * alpha)

    def _constant(self, argument: Any) -> Tensor | None:
        if isinstance(argument, Ref):
            value = self.constants.get(argument.name)
            return None if value is None else value.to(self.one.dtype)
        return argument * self.one

    def _linear(self, operation: Operation) -> Operation | None:
        """A product with a constant matrix as a linear layer."""
        if operation.kind not in ("matmul", "mm", "addmm") or operation.kwargs:
            return None
        *bias, moving, matrix = operation.args
        value = self.constants.get(matrix.name)
        if value is None or value.ndim != 2 or moving.name in self.constants:
            return None
        if any(ref.name not in self.constants or self.constants[ref.name].ndim != 1 for ref in bias):
            return None
        weight = f"{operation.name}.weight"
        self.constants[weight] = value.mT.contiguous()
        return replace(operation, target=aten.linear.default, args=(moving, Ref(weight), *bias))

    def _batch_norm(self, operation: Operation) -> Operation | None:
        """By the stored statistics, the batch norm's epsilon included."""
        args, _ = operation.arguments({**self.constants, operation.args[0].name: None})
        _, weight, bias, mean, variance = args[:5]
        if operation.kind == "batch_norm" and (args[5] or mean is None):
            return None  # by the statistics of the batch
        scale = (variance + args[_BATCH_NORMS[operation.target]]).rsqrt() * (1 if weight is None else weight)
        shift = (0 if bias is None else bias) - mean * scale
        before = self.result.get(operation.args[0].name)
        shape = self.before.input_shape if before is None else before.shape
        assert shape is not None
        by_channel = (-1, *[1] * (len(shape) - 2))
        self.norms.add(operation.name)
        return self._scaled(operation, operation.args[0].name, scale.view(by_channel), shift.view(by_channel))

    def _sum(self, operation: Operation) -> Operation | None:
        """A sum of branches that are affine in the same value."""
        if operation.kind not in ("add", "sub") or operation.args[0] == operation.args[1]:
            return None
        if any(self.shape(ref.name) != operation.shape for ref in operation.args[:2]):
            return None
        left, right = (ref.name for ref in operation.args[:2])
        first, second = self._signs(operation)
        branch = merged((left, first), (right, second), self._producer, self.constants, self.one)
        if branch is None:
            return None
        if isinstance(branch, Entries):
            return self._scaled(operation, branch.reads, branch.scale, branch.shift)
        return branch.operate(operation.name, operation.shape, self.constants)

    def shape(self, name: str) -> torch.Size | None:
        """Of a value."""
        before = self.result.get(name)
        return self.before.input_shape if before is None else before.shape

    def _layer_behind(self, operation: Operation) -> Operation | None:
        """A layer, with the scale and shift or the layer before it taken up."""
        layer = weights(operation, self.constants)
        if layer is None:
            return None
        first = self._producer(layer.reads)
        earlier = weights(first, self.constants)
        if earlier is not None:
            result = earlier.then(layer)
        elif first is not None and first.kind == "affine" and first.args[0].name != self.before.source:
            _, scale, shift = first.args
            result = layer.before(self.constants[scale.name], self.constants[shift.name])
            result = (
                None
                if result is None
                else replace(result, operation=replace(operation, args=(first.args[0], *operation.args[1:])))
            )
        else:
            return None
        return None if result is None else result.operate(operation.name, operation.shape, self.constants)

    def _affine_behind(self, operation: Operation) -> Operation | None:
        """A scale and shift, taken up by the layer or the scale and shift before it."""
        if operation.kind != "affine":
            return None
        first = self._producer(operation.args[0].name)
        scale, shift = (self.constants[ref.name] for ref in operation.args[1:])
        layer = weights(first, self.constants)
        if layer is not None:
            result = layer.behind(scale, shift)
            return None if result is None else result.operate(operation.name, operation.shape, self.constants)
        if first is None or first.kind != "affine":
            return None
        inner, offset = (self.constants[ref.name] for ref in first.args[1:])
        return self._scaled(operation, first.args[0].name, inner * scale, offset * scale + shift)
