"""A convolution or linear layer at its activations, and what a rule makes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Layer:
    """``output = apply(input, weight) + bias``.

    Attributes:
        apply: the layer without bias, for any number of leading component dimensions before those of ``input``.
        bias: shaped to be added to ``output``, or None.
        covered: how much of each input entry is pixels: less than 1 in a padding; None is 1 everywhere.
    """

    apply: Callable[[Tensor, Tensor], Tensor]
    input: Tensor
    weight: Tensor
    bias: Tensor | None
    output: Tensor
    covered: Tensor | None = None


@dataclass(frozen=True)
class Part:
    """``weight`` applied to ``factor`` times the component, or times the indicator of the pixels that it covers.

    A weight of None is the identity, a factor of None is 1.
    """

    weight: Tensor | None
    factor: Tensor | None = None
    indicator: bool = False


@dataclass(frozen=True)
class Branch:
    """One term of a rule: ``share * y / z`` where ``where`` holds, with ``z`` the sum of the parts and the bias."""

    parts: tuple[Part, ...]
    bias: Tensor | None
    where: Tensor | None = None
    share: float = 1.0

    def shared(self, share: float) -> Branch:
        """The branch with another share."""
        return replace(self, share=share)


def signed(layer: Layer, up: Tensor, down: Tensor, bias: Tensor | None, where: Tensor | None = None) -> Branch:
    """Weights ``up`` for the positive inputs, ``down`` for the negative ones; one part where the sign is known."""
    positive = (layer.input > 0).to(layer.input)
    if bool((layer.input >= 0).all()):
        return Branch((Part(up),), bias, where)
    return Branch((Part(up, positive), Part(down, 1 - positive)), bias, where)


def contributions(layer: Layer, parts: Sequence[Part], t: Tensor | None, indicator: Tensor | None) -> Tensor:
    """What the parts make of components ``t`` (K, *input) and of the ``indicator`` of their pixels (K, *input)."""
    total = None
    for part in parts:
        value = indicator if part.indicator else t
        assert value is not None, "a rule reads components that its composite did not ask for"
        value = value if part.factor is None else value * part.factor
        # a copy, because the result is scaled in place
        value = value.clone() if part.weight is None else layer.apply(value, part.weight)
        total = value if total is None else total + value
    assert total is not None
    return total


def stabilise(z: Tensor, epsilon: float) -> Tensor:
    """``z`` moved away from zero by ``epsilon``, zero itself upwards."""
    return z + torch.where(z >= 0, epsilon, -epsilon)
