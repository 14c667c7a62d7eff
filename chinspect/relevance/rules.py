"""The propagation rules of LRP, each declared once.

A rule says how a layer ``y = W a + b`` distributes its output over its inputs. It is written as the *push* of
components: a component ``t`` of the input ``a``, such as one patch's, contributes to the output

    push(t) = sum_terms  c * (W' (t * f)) * y / z,      z = W' (a * f) + b'

where ``W'``, ``b'`` are the rule's weights and ``f`` selects what of the input they see. The components of ``a`` sum to
``a``, so what is pushed sums to ``y`` where biases stay out of ``z``; else the bias absorbs its fraction. The
transposed map takes relevance from outputs to inputs: it is the rule as published,
``R_i = a_i * sum_j W'_ji f_i / z_j * R_j``.

Rules that give relevance to pixels without value (flat, w-square, z-box) read, instead of the component, the
*indicator* of the pixels that it covers. They partition pixels, and exist for the first layer.

A new rule is a subclass of `Rule` that lists its terms:

    class Halved(Rule):
        def terms(self, layer):
            return [self.term(layer, [Summand(layer.weight)], layer.bias, coefficient=0.5)]

Sources: epsilon and alpha-beta, Bach et al. 2015 (10.1371/journal.pone.0130140); z-plus, w-square, z-box, Montavon et
al. 2017 (10.1016/j.patcog.2016.11.008); flat, Lapuschkin et al. 2019 (10.1038/s41467-019-08987-4); gamma, Montavon et
al. 2019 (10.1007/978-3-030-28954-6_10), generalised to inputs of any sign as in Andéol et al. 2021 (arXiv:2106.07301).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Literal

import torch
from torch import Tensor

Input = Literal["component", "indicator"]


@dataclass(frozen=True)
class Layer:
    """A convolution or linear layer at its activations: ``output = apply(input, weight) + bias``.

    Attributes:
        apply: the layer without bias, for any number of leading component dimensions before those of ``input``.
        bias: shaped to be added to ``output``; a zero where the layer has none.
        covered: how much of each input entry is pixels: less than 1 in a padding; None is 1 everywhere.
    """

    apply: Callable[[Tensor, Tensor], Tensor]
    input: Tensor
    weight: Tensor
    bias: Tensor
    output: Tensor
    covered: Tensor | None = None

    def total(self, summands: Sequence[Summand], values: Mapping[Input, Tensor]) -> Tensor:
        """The sum of the summands for components and indicators in ``values``, each (K, *input): (K, *output)."""
        return reduce(torch.add, (self._applied(summand, values[summand.reads]) for summand in summands))

    def _applied(self, summand: Summand, value: Tensor) -> Tensor:
        value = value if summand.factor is None else value * summand.factor
        # a copy, because the result is scaled in place
        return value.clone() if summand.weight is None else self.apply(value, summand.weight)


@dataclass(frozen=True)
class Summand:
    """``weight`` applied to ``factor`` times the component, or times the indicator of the pixels that it covers.

    A weight of None is the identity, a factor of None is 1.
    """

    weight: Tensor | None
    factor: Tensor | None = None
    reads: Input = "component"


@dataclass(frozen=True)
class Term:
    """One term of a rule at a layer: the sum of ``summands`` times ``scale``, which has the shape of the output.

    A scale of None is 1.
    """

    summands: Sequence[Summand]
    scale: Tensor | None


@dataclass(frozen=True, kw_only=True)
class Rule(ABC):
    """How a convolution or linear layer distributes its output over its inputs.

    Attributes:
        bias: whether biases count in the denominators. They absorb relevance then, and conservation drops below 1;
            without them conservation is exact, but a denominator of mixed signs (epsilon, gamma) may come close to
            zero where the output is not, and the relevance explodes. Each rule's default is the side that is safe.
        stabiliser: added to each denominator, with its sign. The default is Zennit's.
    """

    bias: bool = False
    stabiliser: float = 1e-6

    @abstractmethod
    def terms(self, layer: Layer) -> list[Term]:
        """The rule as published, for ``layer`` at its activations. Without terms no relevance passes."""

    def term(
        self,
        layer: Layer,
        summands: Sequence[Summand],
        bias: Tensor | float = 0.0,
        *,
        where: Tensor | None = None,
        coefficient: float = 1.0,
    ) -> Term:
        """The term ``coefficient * y / z`` where ``where`` holds, ``z`` being the sum of the summands and the bias."""
        values: dict[Input, Tensor] = {"component": layer.input[None]}
        if any(summand.reads == "indicator" for summand in summands):
            values["indicator"] = (torch.ones_like(layer.input) if layer.covered is None else layer.covered)[None]
        z = layer.total(summands, values)[0]
        if self.bias:
            z = z + bias
        z = z + torch.where(z >= 0, self.stabiliser, -self.stabiliser)  # away from zero, and zero itself upwards
        scale = coefficient * layer.output / z
        flows = layer.output != 0 if where is None else where
        return Term(summands, torch.where(flows, scale, 0))  # 0 / 0, with a stabiliser of zero, is no flow


@dataclass(frozen=True, kw_only=True)
class Epsilon(Rule):
    """LRP-epsilon: ``z = W a + b``; with ``stabiliser=0`` LRP-0."""

    bias: bool = True

    def terms(self, layer: Layer) -> list[Term]:
        return [self.term(layer, [Summand(layer.weight)], layer.bias)]


class ZPlus(Rule):
    """LRP-z+ : only contributions ``w a > 0`` count; inputs of any sign (equal to alpha-beta with alpha 1, beta 0)."""

    def terms(self, layer: Layer) -> list[Term]:
        positive = _by_sign(layer, layer.weight.clamp(min=0), layer.weight.clamp(max=0))
        return [self.term(layer, positive, layer.bias.clamp(min=0))]


@dataclass(frozen=True, kw_only=True)
class AlphaBeta(Rule):
    """LRP-alpha-beta: ``alpha`` times the positive contributions less ``beta = alpha - 1`` times the negative ones."""

    alpha: float = 2.0

    def terms(self, layer: Layer) -> list[Term]:
        up = layer.weight.clamp(min=0)
        down = layer.weight.clamp(max=0)
        return [
            self.term(layer, _by_sign(layer, up, down), layer.bias.clamp(min=0), coefficient=self.alpha),
            self.term(layer, _by_sign(layer, down, up), layer.bias.clamp(max=0), coefficient=1 - self.alpha),
        ]


@dataclass(frozen=True, kw_only=True)
class Gamma(Rule):
    """LRP-gamma: contributions of the output's sign are favoured, ``w + gamma * max(w, 0)`` where ``y > 0``."""

    bias: bool = True
    gamma: float = 0.25

    def terms(self, layer: Layer) -> list[Term]:
        up, bias_up = (values + self.gamma * values.clamp(min=0) for values in (layer.weight, layer.bias))
        down, bias_down = (values + self.gamma * values.clamp(max=0) for values in (layer.weight, layer.bias))
        return [
            self.term(layer, _by_sign(layer, up, down), bias_up, where=layer.output > 0),
            self.term(layer, _by_sign(layer, down, up), bias_down, where=layer.output < 0),
        ]


class Flat(Rule):
    """Distributes the output evenly over the pixels of the receptive field."""

    def terms(self, layer: Layer) -> list[Term]:
        return [self.term(layer, [Summand(torch.ones_like(layer.weight), reads="indicator")])]


class WSquare(Rule):
    """Distributes the output over the pixels of the receptive field by squared weight."""

    def terms(self, layer: Layer) -> list[Term]:
        return [self.term(layer, [Summand(layer.weight.square(), reads="indicator")], layer.bias.square())]


@dataclass(frozen=True, kw_only=True)
class ZBox(Rule):
    """LRP-z^B for pixels in ``[low, high]``: ``z = W a - W^+ low - W^- high``.

    Attributes:
        low, high: bounds after preprocessing, one value or one for each channel.
    """

    low: float | tuple[float, ...] = -3.0
    high: float | tuple[float, ...] = 3.0

    def terms(self, layer: Layer) -> list[Term]:
        by_channel = (-1, *[1] * (layer.input.ndim - 2))
        low, high = (torch.as_tensor(bound).to(layer.input).view(by_channel) for bound in (self.low, self.high))
        summands = (
            Summand(layer.weight),
            Summand(layer.weight.clamp(min=0), -low, "indicator"),
            Summand(layer.weight.clamp(max=0), -high, "indicator"),
        )
        return [self.term(layer, summands)]


class Pass(Rule):
    """Relevance passes element by element: for layers whose output is shaped like their input."""

    def terms(self, layer: Layer) -> list[Term]:
        return [self.term(layer, [Summand(None)])]


class Linear(Rule):
    """Components pass through the weights as they are: differences to a reference, in which the bias cancels."""

    def terms(self, layer: Layer) -> list[Term]:
        return [Term([Summand(layer.weight)], None)]


class Zero(Rule):
    """No relevance passes."""

    def terms(self, layer: Layer) -> list[Term]:  # noqa: ARG002
        return []


def _by_sign(layer: Layer, up: Tensor, down: Tensor) -> list[Summand]:
    """Weights ``up`` for the positive inputs, ``down`` for the negative ones; one summand where there are none."""
    if bool((layer.input >= 0).all()):
        return [Summand(up)]
    positive = (layer.input > 0).to(layer.input)
    return [Summand(up, positive), Summand(down, 1 - positive)]
