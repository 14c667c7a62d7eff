"""How each operation pushes components, its activations being known.

An operation that reads components either carries them on (a `Push`), or *freezes*: its value is taken as it is, and
what it multiplies keeps all the relevance. Convolutions and linear layers are not here: they have rules.

A new operation is a function from its `Site` to a `Push` (or None to freeze), registered under its ATen name:

    @handles("my_op")
    def _my_op(site): return Push(site.carried, scale=...)

An operation that is ``linear`` in what carries serves reference maps as well; for the others see
`chinspect.relevance._differences`.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from chinspect.relevance import _selections  # noqa: F401, its handlers
from chinspect.relevance._operations import Push, Site, images, window
from chinspect.relevance._registry import HANDLERS, LINEAR, Handler, Registered, handles

__all__ = ["HANDLERS", "LINEAR", "Handler", "Registered", "handles"]


@handles(
    "clone", "contiguous", "alias", "detach", "dropout", "feature_dropout", "lift_fresh_copy", "identity", linear=True
)
def _identity(site: Site) -> Push:
    return site.scaled()


@handles(
    "permute",
    "transpose",
    "t",
    "movedim",
    "flatten",
    "unflatten",
    "squeeze",
    "unsqueeze",
    "expand",
    "repeat",
    linear=True,
)
@handles(
    "select",
    "slice",
    "index",
    "index_select",
    "gather",
    "where",
    "roll",
    "flip",
    "stack",
    "_to_copy",
    "to",
    linear=True,
)
@handles(
    "split", "split_with_sizes", "chunk", "unbind", "unfold", "im2col", "pixel_shuffle", "pixel_unshuffle", linear=True
)
@handles("getitem", "mean", "sum", "avg_pool1d", "adaptive_avg_pool1d", linear=True)
@handles("upsample_nearest1d", "upsample_linear1d", "_upsample_nearest_exact1d", linear=True)
@handles("upsample_nearest2d", "upsample_bilinear2d", "upsample_bicubic2d", "_upsample_nearest_exact2d", linear=True)
@handles("_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa", "upsample_nearest3d", "upsample_trilinear3d", linear=True)
@handles("col2im", "repeat_interleave", "slice_scatter", "index_put", "scatter", linear=True)
@handles("avg_pool3d", "adaptive_avg_pool3d", "diagonal", "tril", "triu", linear=True)
def _linear(site: Site) -> Push:
    """Linear without parameters: as it is, with zeros for numbers that carry nothing."""
    fixed = {
        name: torch.zeros_like(value) if isinstance(value, Tensor) and value.is_floating_point() else value
        for name, value in site.values.items()
    }
    return Push(site.carried, replace(site, values=fixed).each(), moves=True, permutation=_permutation(site))


def _permutation(site: Site) -> tuple[int, ...] | None:
    """Where the operation moves the dimensions of an image (N, ...) to, if that is all that it does."""
    if site.operation.kind not in ("permute", "transpose", "movedim") or site.output.ndim != 4:
        return None
    sizes = (2, 3, 5, 7)  # any, as long as they can be told apart
    args, kwargs = site.operation.arguments(site.values | {site.carried[0]: torch.empty(sizes, device="meta")})
    order = tuple(map(sizes.index, site.operation.target(*args, **kwargs).shape))
    return order if order[0] == 0 else None


@handles("view", "_unsafe_view", "reshape", linear=True)
def _view(site: Site) -> Push:
    return Push(site.carried, lambda t: t.reshape(len(t), *site.output.shape), moves=True)


@handles("copy", linear=True)
def _copy(site: Site) -> Push | None:
    """The second argument in the place of the first."""
    if not site.carries(1):
        return None
    name = site.operation.args[1].name
    shape = site.output.shape
    return Push((name,), lambda t: t.view(len(t), *[1] * (len(shape) + 1 - t.ndim), *t.shape[1:]).expand(-1, *shape))


@handles("cat", linear=True)
def _cat(site: Site) -> Push:
    along_channels = site.output.ndim == 4 and site.argument(1, 0) % 4 == 1
    return replace(_linear(site), fresh=True, window=site.same_window() if along_channels else None)


@handles("pad", "constant_pad_nd", linear=True)
def _pad(site: Site) -> Push:
    if site.argument(2, name="mode") in ("reflect", "replicate", "circular"):
        return _linear(site)
    widths = site.argument(1)
    if site.output.ndim != 4:
        return Push(site.carried, lambda t: F.pad(t, widths), fresh=True, moves=True)
    left, _, top, _ = (*widths, 0, 0, 0, 0)[:4]
    # an output sees one pixel; where channels are padded as well, there are none to see
    reach = ((1, 1, top, 1), (1, 1, left, 1))
    return Push(site.carried, images(lambda t: F.pad(t, widths)), fresh=True, moves=True, window=reach)


@handles("masked_fill", linear=True)
def _masked_fill(site: Site) -> Push:
    return Push(site.carried, scale=(~site.argument(1)).to(site.output))


@handles("neg", linear=True)
def _neg(site: Site) -> Push:
    return site.scaled(torch.full_like(site.output[:1], -1))


@handles("add", "sub", linear=True)
def _add(site: Site) -> Push:
    """A sum of components; a constant summand is a bias, and absorbs its fraction of the relevance."""
    alpha = site.operation.kwargs.get("alpha", 1) * (-1 if site.operation.kind == "sub" else 1)
    if site.broadcasts:
        return _linear(site)
    if len(site.carried) == 2:
        return Push(site.carried, lambda a, b: torch.add(a, b, alpha=alpha), fresh=True, window=site.same_window())
    if site.squares:
        alpha = 1 + alpha
    elif site.carries(0):
        alpha = 1
    return site.scaled(torch.full_like(site.output[:1], alpha) if alpha != 1 else None)


@handles("mul")
def _mul(site: Site) -> Push:
    """A product with something frozen scales; of a product of two carriers each carries half."""
    if len(site.carried) == 2 or site.broadcasts:
        return _product(site)
    factor = site.argument(0 if site.carries(1) else 1)
    return site.scaled(torch.as_tensor(factor).to(site.output))


@handles("div")
def _div(site: Site) -> Push | None:
    """The numerator carries; a denominator is frozen."""
    if not site.carries(0) or "rounding_mode" in site.operation.kwargs:
        return None
    numerator = replace(site, carriers=frozenset({site.operation.args[0].name}))
    factor = 1 / torch.as_tensor(site.argument(1)).to(site.output)
    if numerator.broadcasts:
        return Push(numerator.carried, torch.vmap(factor.mul), fresh=True)
    return numerator.scaled(factor)


@handles("matmul", "mm", "bmm")
def _product(site: Site) -> Push:
    """Bilinear: with one carrier linear in it, of two carriers each carries half of the relevance."""
    if site.squares:
        x = site.argument(0)
        product = site.operation.target

        def square(t: Tensor) -> Tensor:
            return (product(t, x) + product(x, t)) / 2

        return Push(site.carried, torch.vmap(square), fresh=True)
    if len(site.carried) == 1:
        return Push(site.carried, site.each(), fresh=True)
    on_left, on_right = (replace(site, carriers=frozenset({name})).each() for name in site.carried)
    return Push(site.carried, lambda a, b: (on_left(a) + on_right(b)) / 2, fresh=True)


@handles("relu", "relu6", "gelu", "silu", "hardswish", "leaky_relu", "elu", "celu", "selu", "mish", "tanh", "hardtanh")
@handles("square", "pow", "clamp", "clamp_min", "clamp_max", "abs", "erf", "sin", "nan_to_num", "elementwise", "log1p")
@handles("expm1", "threshold")
def _activation(site: Site) -> Push | None:
    """Element by element, and zero at zero: the component's fraction of the input is its fraction of the output."""
    if not site.carries(0):  # an exponent
        return None
    x = site.argument(0)
    return site.scaled(torch.where(x == 0, 0, site.output / x))


@handles("softplus", "log_sigmoid_forward")
def _offset_activation(site: Site) -> Push:
    """Element by element: what the function is at zero is a bias, and the rest carries."""
    x = site.argument(0)
    at_zero = site.call(torch.zeros_like(x[:1]))
    slope = (site.output - at_zero) / x
    return site.scaled(torch.where(x == 0, 0, slope))


@handles(
    "sigmoid", "hardsigmoid", "exp", "log", "rsqrt", "sqrt", "reciprocal", "linalg_vector_norm", "cos", "var", "std"
)
@handles(
    "eq", "ne", "gt", "lt", "ge", "le", "logical_not", "logical_and", "logical_or", "logical_xor", "isnan", "isinf"
)
@handles("argmax", "argmin", "argsort", "sign", "floor", "ceil", "round", "trunc", "any", "all", "bitwise_not")
@handles(
    "bitwise_and", "bitwise_or", "floor_divide", "remainder", "erfc", "log2", "tan", "atan", "atan2", "scalar_tensor"
)
@handles("zeros_like", "ones_like", "full_like", "new_zeros", "new_ones", "new_full", "empty_like", "rand_like")
def _frozen(site: Site) -> None:  # noqa: ARG001
    """Gates, norms, and what depends on the input's shape only."""
    return


@handles("var_mean")
def _var_mean(site: Site) -> Push:
    """Variance and mean: the mean carries."""
    each = site.each()
    return Push(site.carried, lambda t: (torch.zeros_like(each(t)[0]), each(t)[1]))


@handles("affine", linear=True)
def _affine(site: Site) -> Push:
    """A scale and a shift that no layer took up: the shift is a bias."""
    scale = site.argument(1)
    return site.scaled(None if bool((scale == 1).all()) else scale)


@handles("max_pool2d")
def _max_pool2d(site: Site) -> Push:
    """The component at the position of the maximum: the winner takes all."""
    kernel = site.argument(1)
    stride = site.argument(2) or kernel  # ATen writes an empty stride where it is the kernel's size
    padding, dilation, ceiled = (site.argument(position, default) for position, default in ((3, 0), (4, 1), (5, False)))
    _, index = F.max_pool2d(site.argument(0), kernel, stride, padding, dilation, ceil_mode=ceiled, return_indices=True)
    positions = index.flatten(2).mT.contiguous()

    def push(t: Tensor) -> Tensor:
        # channels last, as components are
        pixels = t.flatten(3).mT.gather(2, positions.expand(len(t), *positions.shape))
        return pixels.mT.unflatten(3, index.shape[2:])

    return Push(site.carried, push, fresh=True, window=window(kernel, stride, padding, dilation))


@handles("avg_pool2d", linear=True)
def _avg_pool2d(site: Site) -> Push:
    kernel = site.argument(1)
    reach = window(kernel, site.argument(2) or kernel, site.argument(3, 0))
    return Push(site.carried, images(site.call), fresh=True, window=reach)


@handles("adaptive_avg_pool2d", linear=True)
def _adaptive_avg_pool2d(site: Site) -> Push:
    sides = list(zip(site.argument(0).shape[2:], site.output.shape[2:], strict=True))
    cell = [inside // outside for inside, outside in sides]
    regular = all(inside % outside == 0 for inside, outside in sides)
    return Push(site.carried, images(site.call), fresh=True, window=window(cell, cell) if regular else None)


def channel_wise(site: Site) -> dict[str, Any]:
    """The reach of a layer norm over the last of four dimensions: a pixel, where these are channels."""
    alone = site.output.ndim == 4 and len(site.argument(1)) == 1
    return {"window": window(1), "mixes": (3,)} if alone else {}


@handles("layer_norm")
def _layer_norm(site: Site) -> Push:
    """Centred, divided by the standard deviation of the activations, which is frozen."""
    dims = tuple(range(-len(site.argument(1)), 0))
    weight = site.argument(2)
    variance = site.argument(0).var(dims, correction=0, keepdim=True)
    scale = (variance + site.argument(4, 1e-5)).rsqrt()  # 1e-5 is the default of ATen
    scale = scale if weight is None else scale * weight
    return Push(site.carried, lambda t: t - t.mean(dims, keepdim=True), scale, fresh=True, **channel_wise(site))


@handles("group_norm")
def _group_norm(site: Site) -> Push:
    x, groups, weight = (site.argument(position) for position in range(3))
    variance = x.unflatten(1, (groups, -1)).flatten(2).var(-1, correction=0)
    deviation = (variance + site.argument(4, 1e-5)).sqrt().repeat_interleave(x.shape[1] // groups, 1)
    scale = deviation.reciprocal() if weight is None else weight / deviation

    def centred(t: Tensor) -> Tensor:
        cells = t.unflatten(2, (groups, -1)).flatten(3)
        return (cells - cells.mean(-1, keepdim=True)).view(t.shape)

    return Push(site.carried, centred, scale.view(*deviation.shape, *[1] * (x.ndim - 2)), fresh=True)


@handles("instance_norm")
def _instance_norm(site: Site) -> Push:
    """Each channel of each image centred, and divided by its own deviation, which is frozen."""
    x, weight = site.argument(0), site.argument(1)
    by_channel = (-1, *[1] * (x.ndim - 2))
    own = site.argument(5)  # else by stored statistics
    dims = tuple(range(-x.ndim + 2, 0))
    variance = x.var(dims, correction=0, keepdim=True) if own else site.argument(4).view(by_channel)
    scale = (variance + site.argument(7)).rsqrt()
    scale = scale if weight is None else scale * weight.view(by_channel)
    return Push(site.carried, lambda t: t - t.mean(dims, keepdim=True) if own else t.clone(), scale, fresh=True)


@handles("softmax", "_softmax")
def _softmax(site: Site) -> Push | None:
    """Frozen; with AttnLRP its Taylor expansion, ``s * (t - <s, t>)``."""
    if site.attention == "frozen":
        return None
    expand = torch.vmap(partial(_expanded_softmax, site.output, dim=site.argument(1)))
    return Push(site.carried, expand, fresh=True)


def _expanded_softmax(weights: Tensor, t: Tensor, *, dim: int) -> Tensor:
    return weights * (t - (weights * t).sum(dim, keepdim=True))


@handles("scaled_dot_product_attention")
def _attention(site: Site) -> Push | None:
    """``softmax(scale * q k^T + mask) v``: the values carry, and with AttnLRP the weights as well, half each."""
    if not site.carries(2):
        return None
    query, key, value = (site.argument(position) for position in range(3))
    groups = query.shape[-3] // key.shape[-3] if site.argument(7, name="enable_gqa") else 1
    key, value = (repeated(heads, groups) for heads in (key, value))
    scale = site.argument(6, name="scale") or query.shape[-1] ** -0.5
    weights = attention_weights(site, query * scale, key)
    names = tuple(ref.name for ref in site.operation.args[:3])
    if site.attention == "frozen" or not (site.carries(0) and site.carries(1)):
        return Push(names[2:], lambda v: weights @ repeated(v, groups), fresh=True)
    mask = site.carrier(3, "attn_mask")

    def push(q: Tensor, k: Tensor, v: Tensor, *masks: Tensor) -> Tensor:
        k, v = (repeated(heads, groups) for heads in (k, v))
        logits = sum(masks, scale * (q @ key.mT + query @ k.mT) / 2)
        return (weights @ v + _expanded_softmax(weights, logits, dim=-1) @ value) / 2

    return Push(names if mask is None else (*names, mask), push, fresh=True)


def repeated(heads: Tensor, groups: int) -> Tensor:
    """Keys or values (..., heads, L, C), each for as many heads of queries as share it."""
    return heads if groups == 1 else heads.repeat_interleave(groups, -3)


def attention_weights(site: Site, query: Tensor, key: Tensor) -> Tensor:
    mask = site.argument(3, name="attn_mask")
    if site.argument(5, name="is_causal"):
        mask = torch.ones(query.shape[-2], key.shape[-2], dtype=torch.bool, device=query.device).tril()
    logits = query @ key.mT
    if mask is not None:
        logits = logits.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else logits + mask
    return logits.softmax(-1)
