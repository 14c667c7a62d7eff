"""How normalisation and attention push components."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from chinspect.relevance._operations import Push, Site, handles


@handles("layer_norm")
def _layer_norm(site: Site) -> Push:
    """Centred, divided by the standard deviation of the activations, which is frozen."""
    x, weight, epsilon = site.argument(0), site.argument(2), site.argument(4, 1e-5)
    dims = tuple(range(-len(site.argument(1)), 0))
    scale = (x.var(dims, correction=0, keepdim=True) + epsilon).rsqrt()
    scale = scale if weight is None else scale * weight
    return Push(site.carried, lambda t: t - t.mean(dims, keepdim=True), scale, fresh=True)


@handles("group_norm")
def _group_norm(site: Site) -> Push:
    x, groups, weight, epsilon = site.argument(0), site.argument(1), site.argument(2), site.argument(4, 1e-5)
    grouped = x.unflatten(1, (groups, -1)).flatten(2)
    deviation = (grouped.var(-1, correction=0) + epsilon).sqrt().repeat_interleave(x.shape[1] // groups, 1)
    scale = deviation.reciprocal() if weight is None else weight / deviation
    scale = scale.view(*deviation.shape, *[1] * (x.ndim - 2))

    def centred(t: Tensor) -> Tensor:
        cells = t.unflatten(2, (groups, -1)).flatten(3)
        return (cells - cells.mean(-1, keepdim=True)).view(t.shape)

    return Push(site.carried, centred, scale, fresh=True)


@handles("softmax", "_softmax")
def _softmax(site: Site) -> Push | None:
    """Frozen; with AttnLRP its Taylor expansion, ``s * (t - <s, t>)``."""
    if site.attention == "frozen":
        return None
    expand = torch.vmap(partial(_softmax_push, site.output, dim=site.argument(1)))
    return Push(site.carried, expand, fresh=True)


def _softmax_push(weights: Tensor, t: Tensor, *, dim: int) -> Tensor:
    return weights * (t - (weights * t).sum(dim, keepdim=True))


@handles("scaled_dot_product_attention")
def _attention(site: Site) -> Push | None:
    """``softmax(scale * q k^T + mask) v``: the values carry, and with AttnLRP the weights as well, half each."""
    if not site.carries(2):
        return None
    query, key, value = (site.argument(position) for position in range(3))
    scale = site.operation.kwargs.get("scale") or query.shape[-1] ** -0.5
    weights = _attention_weights(site, query * scale, key)
    if site.attention == "frozen" or not (site.carries(0) and site.carries(1)):
        return Push((site.operation.args[2].name,), lambda v: weights @ v, fresh=True)

    def push(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        logits = scale * (q @ key.mT + query @ k.mT) / 2
        return (weights @ v + _softmax_push(weights, logits, dim=-1) @ value) / 2

    return Push(tuple(ref.name for ref in site.operation.args[:3]), push, fresh=True)


def _attention_weights(site: Site, query: Tensor, key: Tensor) -> Tensor:
    mask, causal = site.argument(3), site.argument(5, site.operation.kwargs.get("is_causal", False))
    mask = site.operation.kwargs.get("attn_mask", mask) if mask is None else mask
    if causal:
        mask = torch.ones(query.shape[-2], key.shape[-2], dtype=torch.bool, device=query.device).tril()
    logits = query @ key.mT
    if mask is not None:
        logits = logits.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else logits + mask
    return logits.softmax(-1)
