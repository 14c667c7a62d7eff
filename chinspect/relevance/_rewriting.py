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
from chinspect.relevance._scales import BATCH_NORMS, scale_and_shift, signs

aten = torch.ops.aten

_IDENTITIES = ("clone", "contiguous", "alias", "detach", "dropout", "feature_dropout", "lift_fresh_copy", "identity")
_LIKE = ("zeros_like", "ones_like", "full_like", "new_zeros", "new_ones", "new_full")


def rewritten(graph: Graph, one: Tensor) -> Graph:
    """An equal graph, in the precision and on the device of ``one``, in the form that this module describes."""
    graph = _in_precision(graph, one.dtype)
    while True:  # each sweep leaves fewer operations, or fewer of other kinds than affine
        sweep = _Sweep(graph, one)
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
        one: 1 as a tensor ().
        norms: names of batch norms, which are tuples in the graph that is read.
        changed: whether anything was.
    """

    def __init__(self, graph: Graph, one: Tensor) -> None:
        self.before = graph
        self.result: dict[str, Operation] = {}
        self.constants: dict[str, Any] = dict(graph.constants)
        self.alias: dict[str, str] = {}
        self.readers = Counter(name for operation in graph.operations for name in operation.reads)
        self.readers[graph.sink] += 1
        self.one = one
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
        shape = self.shape(name)
        assert shape is not None
        integral = before is not None and before.dtype is not None and not before.dtype.is_floating_point
        like = self.one.to(before.dtype) if before is not None and integral else self.one
        result: Tensor = operation.run({**self.constants, name: like.expand(shape)})
        return result

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
        shape = self.shape(name)
        finite = bool(scale.isfinite().all()) and bool(shift.isfinite().all())  # a mask of attention is infinite
        # numpy's, since torch's imports its compiler
        if not finite or shape is None or np.broadcast_shapes(scale.shape, shift.shape, shape) != tuple(shape):
            return None
        tensors = {f"{operation.name}.scale": scale, f"{operation.name}.shift": shift}
        self.constants.update(tensors)
        return replace(operation, target=affine, args=(Ref(name), *map(Ref, tensors)), kwargs={}, shape=shape)

    def _affine(self, operation: Operation) -> Operation | None:
        """What scales and shifts one value by constants."""
        dimensions = len(self.shape(operation.reads[0]) or ())
        result = scale_and_shift(operation, self.constants, self.one, dimensions)
        if result is None:
            return None
        if operation.target in BATCH_NORMS:
            self.norms.add(operation.name)
        return self._scaled(operation, *result)

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

    def _sum(self, operation: Operation) -> Operation | None:
        """A sum of branches that are affine in the same value."""
        moving = [name for name in operation.reads if name not in self.constants]
        if operation.kind not in ("add", "sub") or len(moving) != 2:
            return None
        if any(self.shape(ref.name) != operation.shape for ref in operation.args[:2]):
            return None
        left, right = (ref.name for ref in operation.args[:2])
        first, second = signs(operation)
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
            moved = replace(operation, args=(first.args[0], *operation.args[1:]))
            result = None if result is None else replace(result, operation=moved)
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
