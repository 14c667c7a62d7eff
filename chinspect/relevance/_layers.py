"""Layers of constant weights, and the constant scales and shifts that go into them.

A layer is ``conv1d``, ``conv2d``, ``conv3d`` or ``linear``; its weight is (outputs, inputs / groups, *kernel). Behind a
layer a scale and a shift of each channel change the rows of the weight, before it the columns. A shift before a
convolution that pads with zeros is no bias, since the padding is not shifted: it stays where it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from chinspect.relevance._graph import Operation, Ref

_CONVOLUTIONS = {"conv1d": 1, "conv2d": 2, "conv3d": 3}
_GROWTH = 2  # a product of two layers is taken if its weight has at most as many times the entries of both


@dataclass(frozen=True)
class Weights:
    """A layer ``y = W x + b`` of constant weights at an operation of its geometry.

    Attributes:
        operation: its argument, stride, padding, dilation and groups.
        weight: (outputs, inputs / groups, *kernel).
        bias: (outputs,).
    """

    operation: Operation
    weight: Tensor
    bias: Tensor

    @property
    def reads(self) -> str:
        """Name of the value that the layer reads."""
        return str(self.operation.args[0].name)

    @property
    def dimensions(self) -> int:
        """Of the kernel; a linear layer has none."""
        return _CONVOLUTIONS.get(self.operation.kind, 0)

    @property
    def stride(self) -> tuple[int, ...]:
        """Along each dimension of the kernel."""
        return self._option(3, 1)

    @property
    def padding(self) -> tuple[int, ...]:
        """Zeros on either side of each dimension."""
        return self._option(4, 0)

    @property
    def dilation(self) -> tuple[int, ...]:
        """Along each dimension of the kernel."""
        return self._option(5, 1)

    @property
    def groups(self) -> int:
        """Blocks of channels that do not mix."""
        args = self.operation.args
        return args[6] if self.dimensions and len(args) > 6 else 1

    def _option(self, position: int, default: int) -> tuple[int, ...]:
        args = self.operation.args
        value = args[position] if len(args) > position else default
        values = tuple(value) if isinstance(value, (list, tuple)) else (value,)
        return values * self.dimensions if len(values) == 1 else values

    @property
    def pointwise(self) -> bool:
        """Whether each output reads one pixel, or token, in all its channels."""
        single = all(size == 1 for size in self.weight.shape[2:])
        return single and self.groups == 1 and not any(self.padding) and set(self.stride) <= {1}

    def behind(self, scale: Tensor, shift: Tensor) -> Weights | None:
        """The layer with ``scale * y + shift`` behind it; None where they differ within a channel."""
        factor = self._by_channel(scale, len(self.weight))
        offset = self._by_channel(shift, len(self.weight))
        if factor is None or offset is None:
            return None
        return replace(self, weight=self.weight * _columns(factor, self.weight), bias=self.bias * factor + offset)

    def before(self, scale: Tensor, shift: Tensor) -> Weights | None:
        """The layer of ``scale * x + shift``; None where that is no layer of this geometry."""
        inputs = self.weight.shape[1] * self.groups
        factor = self._by_channel(scale, inputs)
        offset = self._by_channel(shift, inputs)
        if factor is None or offset is None or (any(self.padding) and bool(offset.any())):
            return None
        # each group of outputs reads a group of inputs
        rows = [
            values.view(self.groups, -1).repeat_interleave(len(self.weight) // self.groups, 0)
            for values in (factor, offset)
        ]
        factors, offsets = (row.view(*self.weight.shape[:2], *[1] * self.dimensions) for row in rows)
        bias = self.bias + (self.weight * offsets).flatten(1).sum(1)
        return replace(self, weight=self.weight * factors, bias=bias)

    def then(self, second: Weights) -> Weights | None:
        """This layer and a pointwise one as one; None where that costs more than a few times of both."""
        if self.dimensions != second.dimensions:
            return None
        outputs = len(second.weight)
        matrix = second.weight.flatten(1)
        entries = outputs * self.weight[0].numel() * self.groups
        if not second.pointwise or entries > _GROWTH * (self.weight.numel() + matrix.numel()):
            return None
        weight = torch.tensordot(matrix, dense(self.weight, self.groups), 1)
        merged = replace(self, weight=weight, bias=matrix @ self.bias + second.bias)
        return replace(merged, operation=merged.grouped(1))

    def grouped(self, groups: int) -> Operation:
        """The operation with another number of groups."""
        if not self.dimensions:
            return self.operation
        geometry = (list(self.stride), list(self.padding), list(self.dilation), groups)
        return replace(self.operation, args=(*self.operation.args[:3], *geometry))

    def operate(self, name: str, shape: torch.Size | None, constants: dict[str, Tensor]) -> Operation:
        """The layer as an operation of that name; its weights are put into ``constants``."""
        tensors = {f"{name}.weight": self.weight, f"{name}.bias": self.bias}
        constants.update(tensors)
        args = (self.operation.args[0], *map(Ref, tensors), *self.operation.args[3:])
        return replace(self.operation, name=name, args=args, shape=shape)

    def _by_channel(self, values: Tensor, channels: int) -> Tensor | None:
        """One value for each channel (channels,), or None where they differ within one."""
        axis = -1 - self.dimensions
        if values.numel() == 1:
            return values.reshape(1).expand(channels)
        if values.numel() != channels or values.ndim < -axis or values.shape[axis] != channels:
            return None
        return values.reshape(channels)


def weights(operation: Operation | None, constants: Mapping[str, Any]) -> Weights | None:
    """The operation as a layer of constant weights, or None."""
    if operation is None or operation.kind not in (*_CONVOLUTIONS, "linear") or operation.kwargs:
        return None
    # the overload "conv2d.padding" names its padding ("same"), which may differ from side to side
    if "padding" in str(operation.target) or not constants.keys() >= set(operation.reads[1:]):
        return None
    if operation.reads[0] in constants:
        return None
    weight = constants[operation.args[1].name]
    bias = operation.args[2] if len(operation.args) > 2 else None
    zero = weight.new_zeros(len(weight))
    return Weights(operation, weight, zero if bias is None else constants[bias.name])


def dense(weight: Tensor, groups: int) -> Tensor:
    """The weight of one group that does the same: (outputs, inputs, *kernel), zero across the groups."""
    if groups == 1:
        return weight
    outputs, inputs = weight.shape[:2]
    result = weight.new_zeros(groups, outputs // groups, groups, inputs, *weight.shape[2:])
    blocks = torch.arange(groups)
    result[blocks, :, blocks] = weight.view(groups, outputs // groups, inputs, *weight.shape[2:])
    return result.view(outputs, groups * inputs, *weight.shape[2:])


def _columns(values: Tensor, weight: Tensor) -> Tensor:
    return values.view(-1, *[1] * (weight.ndim - 1))
