"""Branches that are affine in one value and are summed: one layer.

A block of RepVGG or MobileOne sums convolutions of kernels of several sizes and a batch norm of the same value; each is
a convolution of the largest kernel, so that their sum is one. Explained branch by branch, contributions that cancel in
the sum would be counted apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import torch
from torch import Tensor

from chinspect.relevance._graph import Operation
from chinspect.relevance._layers import Weights, dense, weights

Producer = Callable[[str], Operation | None]


@dataclass(frozen=True)
class Entries:
    """A branch that scales and shifts each entry of the value ``reads``."""

    reads: str
    scale: Tensor
    shift: Tensor

    def times(self, factor: float) -> Entries:
        """The branch, multiplied."""
        return replace(self, scale=self.scale * factor, shift=self.shift * factor)


Branch = Entries | Weights


def merged(
    left: tuple[str, float], right: tuple[str, float], producer: Producer, constants: Mapping[str, Any], one: Tensor
) -> Branch | None:
    """The sum of two values, each times a factor, as one branch; None where they are not affine in the same value.

    Args:
        left, right: names and factors.
        producer: the operation that makes a value which nothing else reads, or None.
        constants: tensors by name.
        one: 1 as a tensor () of the graph's precision.
    """
    sides = [branches(name, producer(name), constants, one) for name, _ in (left, right)]
    for a, b in product(*sides):
        if a.reads == b.reads:
            result = _sum(_times(a, left[1]), _times(b, right[1]))
            if result is not None:
                return result
    return None


def branches(name: str, operation: Operation | None, constants: Mapping[str, Any], one: Tensor) -> list[Branch]:
    """What a value is: a layer or an affine function of another, if it is one, and in any case itself."""
    itself = Entries(name, one, torch.zeros_like(one))
    layer = weights(operation, constants)
    if layer is not None:
        return [layer, itself]
    if operation is not None and operation.kind == "affine":
        _, scale, shift = operation.args
        return [Entries(operation.args[0].name, constants[scale.name], constants[shift.name]), itself]
    return [itself]


def _times(branch: Branch, factor: float) -> Branch:
    if isinstance(branch, Entries):
        return branch.times(factor)
    return replace(branch, weight=branch.weight * factor, bias=branch.bias * factor)


def _sum(a: Branch, b: Branch) -> Branch | None:
    if isinstance(a, Entries) and isinstance(b, Entries):
        return Entries(a.reads, a.scale + b.scale, a.shift + b.shift)
    if isinstance(a, Entries):
        a, b = b, a
    assert isinstance(a, Weights)
    if isinstance(b, Entries):
        return _with_entries(a, b)
    if a.operation.kind != b.operation.kind or a.stride != b.stride:
        return None
    if a.weight[0, 0].numel() < b.weight[0, 0].numel():
        a, b = b, a
    groups = min(a.groups, b.groups)
    return _of_groups(a, groups, _widened(b, a)) if max(a.groups, b.groups) % groups == 0 else None


def _of_groups(a: Weights, groups: int, b: Weights | None) -> Weights | None:
    if b is None or b.weight.shape[0] != a.weight.shape[0]:
        return None
    weight = _regrouped(a, groups) + _regrouped(b, groups)
    return Weights(a.grouped(groups), weight, a.bias + b.bias)


def _with_entries(layer: Weights, entries: Entries) -> Weights | None:
    """A layer and a scale and shift of its input, if that is shaped like its output."""
    inputs = layer.weight.shape[1] * layer.groups
    if len(layer.weight) != inputs or set(layer.stride) - {1}:
        return None
    steps = zip(layer.padding, layer.dilation, layer.weight.shape[2:], strict=True)
    if any(2 * padding != dilation * (size - 1) for padding, dilation, size in steps):
        return None
    identity = torch.zeros_like(layer.weight)
    rows = torch.arange(inputs)
    identity.view(*identity.shape[:2], -1)[rows, rows % layer.weight.shape[1], identity[0, 0].numel() // 2] = 1
    alone = replace(layer, weight=identity, bias=torch.zeros_like(layer.bias)).behind(entries.scale, entries.shift)
    return None if alone is None else replace(layer, weight=layer.weight + alone.weight, bias=layer.bias + alone.bias)


def _widened(layer: Weights, like: Weights) -> Weights | None:
    """The layer with the kernel of another one, zeros around its own; None where that does not cover it."""
    kernel = like.weight.shape[2:]
    target = layer.weight.new_zeros(*layer.weight.shape[:2], *kernel)
    taps = []
    geometry = zip(
        layer.weight.shape[2:], layer.padding, layer.dilation, kernel, like.padding, like.dilation, strict=True
    )
    for size, padding, dilation, wide, wide_padding, wide_dilation in geometry:
        offset = wide_padding - padding
        first = offset // wide_dilation
        fits = offset % wide_dilation == 0 and first >= 0 and first + size <= wide
        if not fits or (size > 1 and dilation != wide_dilation):
            return None
        taps.append(slice(first, first + size))
    target[(slice(None), slice(None), *taps)] = layer.weight
    return replace(layer, weight=target)


def _regrouped(layer: Weights, groups: int) -> Tensor:
    """The weight in fewer groups, which divide the layer's own."""
    if layer.groups == groups:
        return layer.weight
    blocks = layer.weight.unflatten(0, (groups, -1))
    return torch.cat([dense(block, layer.groups // groups) for block in blocks])
