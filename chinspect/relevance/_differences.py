"""How each operation pushes components of a difference: the rules of reference maps.

Beside the activations ``a`` of an image run those ``a0`` of a reference. Components of ``a - a0`` go through each
operation ``f`` so that they sum to ``f(a) - f(a0)`` again, exactly:

* linear operations take them as they are, and biases cancel;
* an element-wise function multiplies by ``(f(a) - f(a0)) / (a - a0)``, and by ``f'(a)`` where both are equal: the
  rescale rule of DeepLIFT (Shrikumar et al. 2017, arXiv:1704.02685);
* a product is split at the middle, ``a b - a0 b0 = (a - a0) (b + b0) / 2 + (b - b0) (a + a0) / 2``;
* a maximum is ``max(a, b) = a + relu(b - a)``;
* normalisations, softmax and attention follow from these; where the primitives would lose precision, their split is
  written in closed form.

A new operation that is not linear is a function from its `Site` to a `Push`, registered with `differs`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial, reduce
from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from chinspect.errors import InputError
from chinspect.relevance._handlers import (
    HANDLERS,
    LINEAR,
    Handler,
    Registered,
    attention_weights,
    channel_wise,
    repeated,
)
from chinspect.relevance._operations import Push, Site, pair, window

DIFFERENCES: dict[str, Handler] = {}
Pair = tuple[Tensor, Tensor]
"""A value at the image and at the reference."""


def differs(*names: str) -> Callable[[Registered], Registered]:
    """Registers the decorated function as the handler of the named operations in reference maps."""

    def register(handler: Registered) -> Registered:
        DIFFERENCES.update(dict.fromkeys(names, handler))
        return handler

    return register


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


@differs("maximum", "minimum")
def _extremum(site: Site) -> Push:
    """``max(a, b) = a + relu(b - a)``, ``min(a, b) = -max(-a, -b)``."""
    sign = 1 if site.operation.kind in ("maximum", "max") else -1
    pairs = [(sign * a, sign * a0) for a, a0 in map(site.both, range(2))]
    weights = dict(enumerate(_tournament(pairs)))
    carried = [position for position in range(2) if site.carries(position)]

    def push(*components: Tensor) -> Tensor:
        return reduce(torch.add, (weights[position] * t for position, t in zip(carried, components, strict=True)))

    return Push(site.carried, torch.vmap(push), fresh=True)


@differs("amax", "max", "amin", "min")
def _maximum_over(site: Site) -> Push:
    """The largest entry along dimensions, a tournament among them; without dimensions along all."""
    if site.operation.kind in ("max", "min") and isinstance(site.argument(1), Tensor):
        return _extremum(site)
    sign = -1 if site.operation.kind in ("amin", "min") else 1
    a, a0 = (sign * value for value in site.both(0))
    dims = [dim % a.ndim for dim in _as_list(site.argument(1))] or list(range(a.ndim))
    several = isinstance(site.output, (tuple, list))
    keepdim = bool(site.argument(2, False))

    def spread(t: Tensor) -> Tensor:  # the competitors first: (n, ...)
        leading = t.ndim - a.ndim
        return t.movedim([dim + leading for dim in dims], list(range(len(dims)))).flatten(0, len(dims) - 1)

    weights = _tournament(list(zip(spread(a), spread(a0), strict=True)))

    def push(t: Tensor) -> object:
        result = (weights * spread(t)).sum(0)
        if keepdim:
            for dim in sorted(dims):
                result = result.unsqueeze(dim)
        return (result, result) if several else result

    return Push(site.carried, torch.vmap(push), fresh=not several)


def _as_list(dims: int | Sequence[int] | None) -> list[int]:
    if dims is None:
        return []
    return [dims] if isinstance(dims, int) else list(dims)


@differs("max_pool2d_with_indices")
def _max_pool2d_with_indices(site: Site) -> Push:
    """The values are those of a max pool; their indices carry nothing."""
    values = _max_pool2d(replace(site, output=site.output[0], reference_output=site.reference_output[0]))
    return replace(values, function=lambda t: (values(t), t.new_zeros(len(t), 1)), scale=None, fresh=False, window=None)


@differs("adaptive_max_pool2d")
def _adaptive_max_pool2d(site: Site) -> Push:
    """A tournament among the entries of each cell; cells may overlap by a pixel."""
    sides = list(zip(site.argument(0).shape[-2:], site.output[0].shape[-2:], strict=True))
    rows, columns = ([(i * n // k, -(-(i + 1) * n // k)) for i in range(k)] for n, k in sides)
    cells = [(slice(*row), slice(*column)) for row, column in product(rows, columns)]
    both = site.both(0)

    def entries(t: Tensor, cell: tuple[slice, slice]) -> Tensor:  # the competitors first
        return t[(..., *cell)].flatten(-2).movedim(-1, 0)

    weights = [_tournament(list(zip(*(entries(value, cell) for value in both), strict=True))) for cell in cells]

    def push(t: Tensor) -> tuple[Tensor, Tensor]:
        values = [(weight * entries(t, cell)).sum(0) for weight, cell in zip(weights, cells, strict=True)]
        return torch.stack(values, -1).view(site.output[0].shape), t.new_zeros(())

    return Push(site.carried, torch.vmap(push))


@differs("max_pool2d")
def _max_pool2d(site: Site) -> Push:
    """A tournament among the entries of each window; what pads has no components."""
    kernel = pair(site.argument(1))
    stride = pair(site.argument(2) or kernel)  # ATen writes an empty stride where it is the kernel's size
    padding, dilation = (pair(site.argument(position, default)) for position, default in ((3, 0), (4, 1)))
    size = site.output.shape[2:]
    lowest = float(torch.minimum(*site.both(0)).min()) - 1  # loses against every entry, and is finite

    def slices(t: Tensor, fill: float = 0.0) -> list[Tensor]:
        spans = [(n - 1) * s + d * (k - 1) + 1 for n, s, d, k in zip(size, stride, dilation, kernel, strict=True)]
        below, right = (span - n - p for span, n, p in zip(spans, t.shape[-2:], padding, strict=True))
        padded = F.pad(t, (padding[1], right, padding[0], below), value=fill)
        rows, columns = (
            [slice(i * d, i * d + (n - 1) * s + 1, s) for i in range(k)]
            for n, s, d, k in zip(size, stride, dilation, kernel, strict=True)
        )
        return [padded[..., row, column] for row, column in product(rows, columns)]

    pairs = list(zip(*(slices(value, lowest) for value in site.both(0)), strict=True))
    weights = _tournament(pairs)

    def push(t: Tensor) -> Tensor:
        result = torch.zeros_like(slices(t)[0])
        for weight, entry in zip(weights, slices(t), strict=True):
            result.addcmul_(weight.expand_as(entry), entry)
        return result

    return Push(site.carried, push, fresh=True, window=window(kernel, stride, padding, dilation))


def _tournament(entries: Sequence[Pair]) -> Tensor:
    """Weights (n, ...) of the components of n entries in those of their maximum.

    One entry after the other meets the best so far, ``max(a, b) = a + relu(b - a)``. The mean of both orders, so that
    an image and its mirror image are explained alike.
    """
    values, values0 = (torch.stack(side) for side in zip(*entries, strict=True))
    return (_in_turn(values, values0) + _in_turn(values.flip(0), values0.flip(0)).flip(0)) / 2


def _in_turn(values: Tensor, values0: Tensor) -> Tensor:
    """What entry i takes from the best before it, times what all later ones leave of that."""
    lead, lead0 = (side[1:] - side.cummax(0).values[:-1] for side in (values, values0))
    equal = lead == lead0
    slope = (lead.relu() - lead0.relu()) / (lead - lead0).masked_fill(equal, 1)
    slope = torch.where(equal, (lead > 0).to(slope), slope)
    one = torch.ones_like(values[:1])
    left = torch.cat([1 - slope, one]).flip(0).cumprod(0).flip(0)
    return torch.cat([one, slope]) * left


@differs("layer_norm")
def _layer_norm(site: Site) -> Push:
    dims = tuple(range(-len(site.argument(1)), 0))
    mean = partial(torch.mean, dim=dims, keepdim=True)
    normalise = _normalised(site.both(0), mean, site.argument(4, 1e-5))
    return Push(site.carried, normalise, site.argument(2), fresh=True, **channel_wise(site))


@differs("group_norm")
def _group_norm(site: Site) -> Push:
    x, groups, weight = (site.argument(position) for position in range(3))

    def cells(t: Tensor) -> Tensor:  # (..., N, groups, the rest)
        return t.unflatten(1 - x.ndim, (groups, -1)).flatten(1 - x.ndim)

    mean = partial(torch.mean, dim=-1, keepdim=True)
    normalise = _normalised((cells(x), cells(site.both(0)[1])), mean, site.argument(4, 1e-5))
    scale = None if weight is None else weight.view(-1, *[1] * (x.ndim - 2))
    return Push(site.carried, lambda t: normalise(cells(t)).reshape(t.shape), scale, fresh=True)


@differs("instance_norm")
def _instance_norm(site: Site) -> Push:
    """Each channel of each image by its own statistics, or by the stored ones."""
    x, weight = site.argument(0), site.argument(1)
    if not site.argument(5):
        return HANDLERS["instance_norm"](site)  # type: ignore[return-value]
    mean = partial(torch.mean, dim=tuple(range(2 - x.ndim, 0)), keepdim=True)
    scale = None if weight is None else weight.view(-1, *[1] * (x.ndim - 2))
    return Push(site.carried, _normalised(site.both(0), mean, site.argument(7)), scale, fresh=True)


def _normalised(values: Pair, mean: Callable[[Tensor], Tensor], epsilon: float) -> Callable[[Tensor], Tensor]:
    """The push of ``c r``, with ``c = a - mean(a)`` and ``r = (mean(c^2) + epsilon)^(-1/2)``.

    The slope of ``r`` in the variance is ``-(r r0)^2 / (r + r0)``: the difference quotient, written without the
    difference, which cancels.
    """
    centred, centred0 = (value - mean(value) for value in values)
    r, r0 = ((mean(value.square()) + epsilon).rsqrt() for value in (centred, centred0))
    middle = (centred + centred0) / 2
    factor = (r + r0) / 2
    slope = -2 * (r * r0).square() / (r + r0)

    def push(t: Tensor) -> Tensor:
        t = t - mean(t)
        return factor * t + slope * middle * mean(middle * t)

    return push


@differs("linalg_vector_norm")
def _vector_norm(site: Site) -> Push:
    """The Euclidean norm: ``|a| - |a0| = <a - a0, a + a0> / (|a| + |a0|)``."""
    dims = site.argument(2, name="dim")
    keepdim = bool(site.argument(3, False, name="keepdim"))
    total = (site.output + site.reference_output).clamp_min(torch.finfo(site.output.dtype).tiny)
    middle = 2 * site.middle().argument(0)

    def push(t: Tensor) -> Tensor:
        return (t * middle).sum(dims, keepdim=keepdim) / total

    return Push(site.carried, torch.vmap(push), fresh=True)


@differs("var")
def _variance(site: Site) -> Push:
    """``mean((c - c0) (c + c0))`` of the centred values ``c``."""
    change, dims, keepdim = _variance_change(site)

    def push(t: Tensor) -> Tensor:
        return change(t).sum(dims, keepdim=keepdim)

    return Push(site.carried, torch.vmap(push), fresh=True)


@differs("std")
def _deviation(site: Site) -> Push:
    """The root of the variance: ``s - s0 = (v - v0) / (s + s0)``."""
    change, dims, keepdim = _variance_change(site)
    total = (site.output + site.reference_output).clamp_min(torch.finfo(site.output.dtype).tiny)

    def push(t: Tensor) -> Tensor:
        return change(t).sum(dims, keepdim=keepdim) / total

    return Push(site.carried, torch.vmap(push), fresh=True)


@differs("var_mean")
def _variance_and_mean(site: Site) -> Push:
    change, dims, keepdim = _variance_change(site)

    def push(t: Tensor) -> tuple[Tensor, Tensor]:
        return change(t).sum(dims, keepdim=keepdim), t.mean(dims, keepdim=keepdim)

    return Push(site.carried, torch.vmap(push))


def _variance_change(site: Site) -> tuple[Callable[[Tensor], Tensor], list[int], bool]:
    """What each entry adds to the change of the variance; dimensions, and whether they stay."""
    dims = _as_list(site.argument(1, name="dim")) or list(range(site.argument(0).ndim))
    correction = site.argument(2, 1, name="correction")
    keepdim = bool(site.argument(3, False, name="keepdim"))
    middle = 2 * site.middle().argument(0)
    middle = middle - middle.mean(dims, keepdim=True)
    count = middle.numel() / middle.mean(dims).numel() - correction
    return lambda t: t * middle / count, dims, keepdim


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
