"""How each operation pushes components of a difference: the rules of reference maps.

Beside the activations ``a`` of an image run those ``a0`` of a reference. Components of ``a - a0`` go through each
operation ``f`` so that they sum to ``f(a) - f(a0)`` again, exactly:

* linear operations take them as they are, and biases cancel;
* an element-wise function multiplies by ``(f(a) - f(a0)) / (a - a0)``, and by ``f'(a)`` where both are equal: the
  rescale rule of DeepLIFT (Shrikumar et al. 2017, arXiv:1704.02685);
* a product is split at the middle, ``a b - a0 b0 = (a - a0) (b + b0) / 2 + (b - b0) (a + a0) / 2``;
* a maximum is ``max(a, b) = a + relu(b - a)`` (`_maxima`);
* normalisations (`_normalisations`), softmax and attention follow from these; where the primitives would lose
  precision, their split is written in closed form.

A new operation that is not linear is a function from its `Site` to a `Push`, registered with `differs`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import reduce
from typing import Any

import torch
from torch import Tensor

from chinspect.errors import InputError
from chinspect.relevance import _maxima, _normalisations  # noqa: F401, their handlers
from chinspect.relevance._handlers import HANDLERS, LINEAR, attention_weights, repeated
from chinspect.relevance._operations import Push, Site
from chinspect.relevance._registry import DIFFERENCES, Handler, Pair, differs


def difference_handler(kind: str) -> Handler | None:
    """The handler of an operation in reference maps; None where it has none."""
    return DIFFERENCES.get(kind, HANDLERS[kind] if kind in LINEAR else None)


@differs("relu", "relu6", "gelu", "silu", "hardswish", "leaky_relu", "elu", "celu", "selu", "mish", "tanh", "hardtanh")
@differs("square", "pow", "clamp", "clamp_min", "sigmoid", "hardsigmoid", "exp", "rsqrt", "sqrt", "reciprocal")
@differs("log", "abs", "softplus", "prelu", "erf", "sin", "cos", "eq", "ne", "gt", "lt", "ge", "le", "elementwise")
@differs("clamp_max", "log1p", "expm1", "threshold", "nan_to_num", "sign", "floor", "ceil", "round", "trunc", "erfc")
@differs("logical_not", "isnan", "isinf", "tan", "atan", "log2", "log_sigmoid_forward")
def _element_wise(site: Site) -> Push:
    return site.scaled(_slope(site).to(site.argument(0).dtype))


def _slope(site: Site) -> Tensor:
    """``(f(a) - f(a0)) / (a - a0)`` of an element-wise function of one value.

    In double precision, in which the difference of any two unequal single-precision numbers is far above rounding.
    """
    (name,) = site.carried
    function = replace(site, values={key: _wide(value) for key, value in site.values.items()}).call
    a, a0 = (value.double() for value in (site.values[name], site.reference[name]))
    equal = a == a0
    slope = (function(a).double() - function(a0).double()) / (a - a0).masked_fill(equal, 1)
    if not bool(equal.any()):
        return slope
    with torch.enable_grad():
        leaf = a.detach().requires_grad_()
        value = function(leaf)
        derivative = torch.autograd.grad(value.sum(), leaf)[0] if value.requires_grad else torch.zeros_like(a)
    return torch.where(equal, derivative, slope)


def _wide(value: Any) -> Any:
    return value.double() if isinstance(value, Tensor) and value.is_floating_point() else value


@differs("mul", "matmul", "mm", "bmm")
def _product(site: Site) -> Push:
    """Split at the middle of both factors; with one constant factor linear."""
    if len(site.carried) == 1 and not site.squares:
        return HANDLERS[site.operation.kind](site)  # type: ignore[return-value]
    middle = site.middle()
    if site.squares:
        factor = middle.argument(0)
        target = site.operation.target

        def square(t: Tensor) -> Tensor:
            result: Tensor = target(t, factor) + target(factor, t)
            return result

        return Push(site.carried, torch.vmap(square), fresh=True)
    on_left, on_right = (replace(middle, carriers=frozenset({name})).each() for name in site.carried)
    return Push(site.carried, lambda a, b: on_left(a) + on_right(b), fresh=True)


@differs("div")
def _quotient(site: Site) -> Push | None:
    """``a / b`` is the product of ``a`` and ``1 / b``, whose slope is ``-1 / (b b0)``."""
    if not site.carries(1):
        return HANDLERS["div"](site)
    numerator = torch.as_tensor(site.middle().argument(0))
    b, b0 = site.both(1)
    inverse = (1 / b + 1 / b0) / 2
    slope = -numerator / (b * b0)
    if not site.carries(0):
        return Push(site.carried, torch.vmap(slope.mul), fresh=True)
    if site.squares:  # a value over itself is 1 wherever it is not zero
        return None

    def push(above: Tensor, below: Tensor) -> Tensor:
        return inverse * above + slope * below

    return Push(site.carried, torch.vmap(push), fresh=True)


@differs("where")
def _where(site: Site) -> Push:
    """``c a + (1 - c) b``, which is a product where the condition ``c`` depends on the image."""
    if not site.carries(0):
        return HANDLERS["where"](site)  # type: ignore[return-value]
    condition = site.middle().argument(0).to(site.output)
    a, b = (torch.as_tensor(site.middle().argument(position)).to(site.output) for position in (1, 2))
    carried = [position for position in range(3) if site.carries(position)]
    factors = {0: a - b, 1: condition, 2: 1 - condition}

    def push(*components: Tensor) -> Tensor:
        return reduce(torch.add, (factors[position] * t for position, t in zip(carried, components, strict=True)))

    return Push(tuple(site.operation.args[position].name for position in carried), torch.vmap(push), fresh=True)


@differs("softmax", "_softmax")
def _softmax(site: Site) -> Push:
    dim = site.argument(1)
    logits = tuple(value.double().log_softmax(dim) for value in site.both(0))
    return Push(site.carried, torch.vmap(_softmax_difference(logits, dim, site.output.dtype)), fresh=True)


@differs("log_softmax", "_log_softmax")
def _log_softmax(site: Site) -> Push:
    dim = site.argument(1)
    weights = _logarithmic_mean(*(value.double().log_softmax(dim) for value in site.both(0))).to(site.output)
    weights = weights / weights.sum(dim, keepdim=True)

    def push(t: Tensor) -> Tensor:
        return t - (weights * t).sum(dim, keepdim=True)

    return Push(site.carried, torch.vmap(push), fresh=True)


def _softmax_difference(logits: Pair, dim: int, dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
    """The push of a softmax: ``g (t - <g, t> / sum(g))``, ``g`` the logarithmic mean of both probabilities.

    With ``log p = z - L`` the rescale rule of the exponential is ``p - p0 = g (Dz - DL)``, and ``DL`` follows from
    ``sum(p - p0) = 0``. At equal probabilities it is the derivative.

    Args:
        logits: logarithms of the probabilities.
    """
    weights = _logarithmic_mean(*logits).to(dtype)
    total = weights.sum(dim, keepdim=True)

    def push(t: Tensor) -> Tensor:
        weighted = weights * t
        return weighted - weights * (weighted.sum(dim, keepdim=True) / total)

    return push


def _logarithmic_mean(log_p: Tensor, log_q: Tensor) -> Tensor:
    """``(p - q) / (log p - log q)``, and p where both are equal; 0 where a mask leaves no probability."""
    distance = (log_p - log_q).abs().nan_to_num(nan=0.0)  # of two masked entries, -inf less -inf
    factor = torch.where(distance == 0, 1, -torch.expm1(-distance) / distance.masked_fill(distance == 0, 1))
    return torch.maximum(log_p, log_q).exp() * factor


_ATTENTION = ("query", "key", "value", "attn_mask")
"""The arguments of attention that may have components, by position."""


@differs("scaled_dot_product_attention")
def _attention(site: Site) -> Push:
    """``softmax(scale * q k^T + mask) v``: two products, a sum and a softmax.

    Positions relative to the query, by which it is multiplied, come as a mask that has components.
    """
    query, key, value = (site.middle().argument(position) for position in range(3))
    groups = query.shape[-3] // key.shape[-3] if site.argument(7, name="enable_gqa") else 1
    key, value = (repeated(heads, groups) for heads in (key, value))
    scale = site.argument(6, name="scale") or query.shape[-1] ** -0.5
    weights, weights0 = (
        attention_weights(here, here.argument(0) * scale, repeated(here.argument(1), groups)).double()
        for here in (site, site.at_reference())
    )
    probabilities = ((weights + weights0) / 2).to(site.output)
    softmax = _softmax_difference((weights.log(), weights0.log()), -1, site.output.dtype)
    names = {position: site.carrier(position, _ATTENTION[position]) for position in range(4)}
    carried = {position: name for position, name in names.items() if name is not None}

    def push(*components: Tensor) -> Tensor:
        t = {
            position: repeated(component, groups if position in (1, 2) else 1)
            for position, component in zip(carried, components, strict=True)
        }
        logits = [scale * (t[0] @ key.mT)] if 0 in t else []
        logits += [scale * (query @ t[1].mT)] if 1 in t else []
        logits += [t[3]] if 3 in t else []
        terms = [softmax(reduce(torch.add, logits)) @ value] if logits else []
        terms += [probabilities @ t[2]] if 2 in t else []
        return reduce(torch.add, terms)

    return Push(tuple(carried.values()), push, fresh=True)


@differs("grid_sampler_2d", "grid_sampler_3d", "grid_sampler")
def _sampled(site: Site) -> Push | None:
    """Linear in what is sampled; positions that depend on the image have no exact split."""
    if site.carries(1):
        raise InputError(
            f"module {site.operation.path!r} ({site.operation.module_type}) samples at positions that depend on the "
            "image, which a reference map cannot split: use method 'lrp' or 'shapley'."
        )
    return HANDLERS["grid_sampler_2d"](site)


@differs("zeros_like", "ones_like", "full_like", "new_zeros", "new_ones", "new_full", "empty_like")
def _constant(site: Site) -> None:  # noqa: ARG001
    """Depends on the shape only."""
    return
