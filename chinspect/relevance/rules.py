"""The propagation rules of LRP, each declared once.

A rule says how a layer ``y = W a + b`` shares its output among its inputs. It is written as the *push* of components:
a component ``t`` of the input ``a`` (a part of it, such as one patch's) contributes to the output

    push(t) = sum_branches  s * (W' (t * f)) * y / z,      z = W' (a * f) + b'

where ``W'``, ``b'`` are the rule's weights and ``f`` selects what of the input they see. The components of ``a`` sum to
``a``, so what is pushed sums to ``y`` (for biases kept out of ``z``; else the bias's share is absorbed). The transposed
map takes relevance from outputs to inputs: it is the rule as published, ``R_i = a_i * sum_j W'_ji f_i / z_j * R_j``.

Rules that give relevance to pixels without value (flat, w-square, z-box) read, instead of the component, the
*indicator* of the pixels that it covers. They partition pixels, and exist for the first layer.

Sources: epsilon and alpha-beta, Bach et al. 2015 (10.1371/journal.pone.0130140); z-plus, w-square, z-box, Montavon et
al. 2017 (10.1016/j.patcog.2016.11.008); flat, Lapuschkin et al. 2019 (10.1038/s41467-019-08987-4); gamma, Montavon et
al. 2019 (10.1007/978-3-030-28954-6_10), generalised to inputs of any sign as in Andéol et al. 2021 (arXiv:2106.07301).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from chinspect.relevance._layer import Branch, Layer, Part, contributions, signed, stabilise


@dataclass(frozen=True)
class Term:
    """A branch ready to push: its parts, and ``scale = share * y / z`` in the shape of the output."""

    parts: tuple[Part, ...]
    scale: Tensor


@dataclass(frozen=True, kw_only=True)
class Rule(ABC):
    """How a convolution or linear layer shares its output among its inputs.

    Attributes:
        bias: whether biases count in the denominators. They absorb relevance then, and conservation drops below 1;
            without them conservation is exact, but a denominator of mixed signs (epsilon, gamma) may come close to
            zero where the output is not, and the relevance explodes. Each rule's default is the side that is safe.
        stabiliser: added to each denominator, with its sign.
    """

    bias: bool = False
    stabiliser: float = 1e-6

    @abstractmethod
    def branches(self, layer: Layer) -> Sequence[Branch]:
        """The rule as published, for ``layer`` at its activations."""

    def terms(self, layer: Layer) -> list[Term]:
        """The rule's branches with their scales."""
        return [Term(branch.parts, self._scale(layer, branch)) for branch in self.branches(layer)]

    def _scale(self, layer: Layer, branch: Branch) -> Tensor:
        covered = None
        if any(part.indicator for part in branch.parts):
            covered = (torch.ones_like(layer.input) if layer.covered is None else layer.covered)[None]
        z = contributions(layer, branch.parts, layer.input[None], covered)[0]
        if self.bias and branch.bias is not None:
            z = z + branch.bias
        scale = branch.share * layer.output / stabilise(z, self.stabiliser)
        flows = layer.output != 0 if branch.where is None else branch.where
        return torch.where(flows, scale, 0)  # 0 / 0, with a stabiliser of zero, is no flow


@dataclass(frozen=True, kw_only=True)
class Epsilon(Rule):
    """LRP-epsilon: ``z = W a + b``; with ``stabiliser=0`` LRP-0."""

    bias: bool = True

    def branches(self, layer: Layer) -> Sequence[Branch]:
        return [Branch((Part(layer.weight),), layer.bias)]


@dataclass(frozen=True, kw_only=True)
class ZPlus(Rule):
    """LRP-z+ : only contributions ``w a > 0`` count; inputs of any sign (equal to alpha-beta with alpha 1, beta 0)."""

    def branches(self, layer: Layer) -> Sequence[Branch]:
        return [_excitation(layer)]


@dataclass(frozen=True, kw_only=True)
class AlphaBeta(Rule):
    """LRP-alpha-beta: ``alpha`` times the positive contributions less ``beta = alpha - 1`` times the negative ones."""

    alpha: float = 2.0

    def branches(self, layer: Layer) -> Sequence[Branch]:
        inhibition = signed(layer, layer.weight.clamp(max=0), layer.weight.clamp(min=0), _clamp(layer.bias, max=0))
        return [
            _excitation(layer).shared(self.alpha),
            inhibition.shared(1 - self.alpha),
        ]


@dataclass(frozen=True, kw_only=True)
class Gamma(Rule):
    """LRP-gamma: contributions of the output's sign are favoured, ``w + gamma * max(w, 0)`` where ``y > 0``."""

    bias: bool = True
    gamma: float = 0.25

    def branches(self, layer: Layer) -> Sequence[Branch]:
        up = layer.weight + self.gamma * layer.weight.clamp(min=0)
        down = layer.weight + self.gamma * layer.weight.clamp(max=0)
        bias_up = None if layer.bias is None else layer.bias + self.gamma * layer.bias.clamp(min=0)
        bias_down = None if layer.bias is None else layer.bias + self.gamma * layer.bias.clamp(max=0)
        return [
            signed(layer, up, down, bias_up, where=layer.output > 0),
            signed(layer, down, up, bias_down, where=layer.output < 0),
        ]


@dataclass(frozen=True, kw_only=True)
class Flat(Rule):
    """Shares the output evenly over the pixels of the receptive field."""

    def branches(self, layer: Layer) -> Sequence[Branch]:
        return [Branch((Part(torch.ones_like(layer.weight), indicator=True),), None)]


@dataclass(frozen=True, kw_only=True)
class WSquare(Rule):
    """Shares the output over the pixels of the receptive field by squared weight."""

    def branches(self, layer: Layer) -> Sequence[Branch]:
        bias = None if layer.bias is None else layer.bias.square()
        return [Branch((Part(layer.weight.square(), indicator=True),), bias)]


@dataclass(frozen=True, kw_only=True)
class ZBox(Rule):
    """LRP-z^B for pixels in ``[low, high]``: ``z = W a - W^+ low - W^- high``.

    Attributes:
        low, high: bounds after preprocessing, one value or one for each channel.
    """

    low: float | tuple[float, ...] = -3.0
    high: float | tuple[float, ...] = 3.0

    def branches(self, layer: Layer) -> Sequence[Branch]:
        low, high = (_channels(bound, layer) for bound in (self.low, self.high))
        parts = (
            Part(layer.weight),
            Part(layer.weight.clamp(min=0), -low, indicator=True),
            Part(layer.weight.clamp(max=0), -high, indicator=True),
        )
        return [Branch(parts, None)]


@dataclass(frozen=True, kw_only=True)
class Pass(Rule):
    """Relevance passes element by element: for layers whose output is shaped like their input."""

    def branches(self, layer: Layer) -> Sequence[Branch]:  # noqa: ARG002
        return [Branch((Part(None),), None)]


@dataclass(frozen=True, kw_only=True)
class Zero(Rule):
    """No relevance passes."""

    def branches(self, layer: Layer) -> Sequence[Branch]:  # noqa: ARG002
        return []


def _excitation(layer: Layer) -> Branch:
    return signed(layer, layer.weight.clamp(min=0), layer.weight.clamp(max=0), _clamp(layer.bias, min=0))


def _clamp(bias: Tensor | None, **bounds: float) -> Tensor | None:
    return None if bias is None else bias.clamp(**bounds)


def _channels(bound: float | tuple[float, ...], layer: Layer) -> Tensor:
    return torch.as_tensor(bound).to(layer.input).view(-1, *[1] * (layer.input.ndim - 2))
