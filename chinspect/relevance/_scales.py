"""Operations that scale and shift one value by constants: sums, products, quotients, and batch norms in evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from chinspect.relevance._graph import Operation, Ref

aten = torch.ops.aten

BATCH_NORMS = {aten._native_batch_norm_legit_no_training.default: 6, aten.batch_norm.default: 7}
"""Batch norms, and which of their arguments is epsilon."""
_SUMS = {"add": (1, 1), "sub": (1, -1), "rsub": (-1, 1)}
"""Signs of the two arguments; ``alpha`` multiplies the second of a sum or a difference, the first of ``rsub``."""


def scale_and_shift(
    operation: Operation, constants: Mapping[str, Any], one: Tensor, dimensions: int
) -> tuple[str, Tensor, Tensor] | None:
    """Name of the value that is scaled and shifted, scale and shift; None of other operations.

    Args:
        constants: values that depend on no image, by name.
        one: 1 as a tensor () of the graph's precision.
        dimensions: of the value that a batch norm reads.
    """
    if operation.target in BATCH_NORMS:
        return _batch_norm(operation, constants, dimensions)
    if operation.dtype is None or not operation.dtype.is_floating_point:  # positions, which have to stay integers
        return None
    if operation.kind == "neg":
        return operation.args[0].name, -one, 0 * one
    if operation.kind not in (*_SUMS, "mul", "div") or operation.kwargs.keys() - {"alpha"}:
        return None
    values = [_constant(argument, constants, one) for argument in operation.args[:2]]
    fixed = [value for value in values if value is not None]
    if len(fixed) != 1:
        return None
    first = values[0] is None
    coefficients = _coefficients(operation, fixed[0], first, one)
    moving = operation.args[0 if first else 1].name
    return None if coefficients is None else (moving, *coefficients)


def signs(operation: Operation) -> tuple[float, float]:
    """Factors of the two summands."""
    first, second = _SUMS[operation.kind]
    alpha = operation.kwargs.get("alpha", operation.args[2] if len(operation.args) > 2 else 1)
    return (first * alpha, second) if operation.kind == "rsub" else (first, second * alpha)


def _coefficients(operation: Operation, constant: Tensor, first: bool, one: Tensor) -> tuple[Tensor, Tensor] | None:
    """Scale and shift of the argument that moves, the ``first`` or the second one."""
    if operation.kind in _SUMS:
        of_first, of_second = signs(operation)
        return (of_first * one, of_second * constant) if first else (of_second * one, of_first * constant)
    if operation.kind == "mul":
        return constant, 0 * one
    return (1 / constant, 0 * one) if first else None


def _constant(argument: Any, constants: Mapping[str, Any], one: Tensor) -> Tensor | None:
    if isinstance(argument, Ref):
        value = constants.get(argument.name)
        return None if value is None else value.to(one.dtype)
    result: Tensor = argument * one
    return result


def _batch_norm(
    operation: Operation, constants: Mapping[str, Any], dimensions: int
) -> tuple[str, Tensor, Tensor] | None:
    """By the stored statistics, the batch norm's epsilon included."""
    if not constants.keys() >= set(operation.reads[1:]):
        return None
    args, _ = operation.arguments({**constants, operation.args[0].name: None})
    _, weight, bias, mean, variance = args[:5]
    if mean is None or (operation.kind == "batch_norm" and args[5]):
        return None  # by the statistics of the batch
    scale = (variance + args[BATCH_NORMS[operation.target]]).rsqrt() * (1 if weight is None else weight)
    shift = (0 if bias is None else bias) - mean * scale
    by_channel = (-1, *[1] * (dimensions - 2))
    return operation.args[0].name, scale.view(by_channel), shift.view(by_channel)
