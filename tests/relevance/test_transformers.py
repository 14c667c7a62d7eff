"""Whole transformers against a second implementation: attention by einsum, each frozen factor by ``detach``.

Under LRP-0 the relevance of such a network is ``x`` times the gradient of the implementation with detached factors.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from _networks import clip_vit, dinov2, image
from open_clip.modified_resnet import AttentionPool2d
from torch import Tensor, nn

from chinspect.relevance import Composite, Row, relevance_map
from chinspect.relevance.rules import Epsilon

LRP_0 = (Row(Epsilon(stabiliser=0.0)),)
FROZEN, ATTNLRP = Composite("lrp-0", LRP_0), Composite("lrp-0", LRP_0, attention="attnlrp")
Weights = dict[str, Tensor]


def normed(x: Tensor, weights: Weights, name: str, epsilon: float) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    deviation = (x.var(-1, correction=0, keepdim=True) + epsilon).sqrt().detach()
    return centred / deviation * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def gelu(x: Tensor) -> Tensor:
    return x * (0.5 * (1 + torch.erf(x / 2**0.5))).detach()


def product(pattern: str, a: Tensor, b: Tensor) -> Tensor:
    """Half of the relevance to each factor."""
    return (torch.einsum(pattern, a.detach(), b) + torch.einsum(pattern, a, b.detach())) / 2


def attention(q: Tensor, k: Tensor, v: Tensor, heads: int, attnlrp: bool) -> Tensor:
    """Of tokens (N, L, C)."""
    q, k, v = (t.unflatten(-1, (heads, -1)) for t in (q, k, v))
    scale = q.shape[-1] ** -0.5
    if attnlrp:
        weights = (product("nihd,njhd->nhij", q, k) * scale).softmax(-1)
        return product("nhij,njhd->nihd", weights, v).flatten(2)
    weights = (torch.einsum("nihd,njhd->nhij", q, k) * scale).softmax(-1).detach()
    return torch.einsum("nhij,njhd->nihd", weights, v).flatten(2)


def clip_twin(weights: Weights, x: Tensor, heads: int, layers: int, attnlrp: bool) -> Tensor:
    kernel = weights["conv1.weight"]
    x = F.conv2d(x, kernel, stride=kernel.shape[-1]).flatten(2).mT
    token = weights["class_embedding"].expand(len(x), 1, -1)
    x = normed(torch.cat([token, x], 1) + weights["positional_embedding"], weights, "ln_pre", 1e-5)
    for layer in range(layers):
        block = f"transformer.resblocks.{layer}"
        a = normed(x, weights, f"{block}.ln_1", 1e-5)
        projected = (a @ weights[f"{block}.attn.in_proj_weight"].T + weights[f"{block}.attn.in_proj_bias"]).chunk(3, -1)
        x = x + linear(attention(*projected, heads, attnlrp), weights, f"{block}.attn.out_proj")
        a = normed(x, weights, f"{block}.ln_2", 1e-5)
        x = x + linear(gelu(linear(a, weights, f"{block}.mlp.c_fc")), weights, f"{block}.mlp.c_proj")
    return normed(x[:, 0], weights, "ln_post", 1e-5) @ weights["proj"]


def dinov2_twin(weights: Weights, x: Tensor, heads: int, layers: int, attnlrp: bool) -> Tensor:
    x = F.conv2d(x, weights["patch_embed.proj.weight"], weights["patch_embed.proj.bias"], stride=14).flatten(2).mT
    x = torch.cat([weights["cls_token"].expand(len(x), -1, -1), x], 1) + weights["pos_embed"]
    for layer in range(layers):
        block = f"blocks.{layer}"
        projected = linear(normed(x, weights, f"{block}.norm1", 1e-6), weights, f"{block}.attn.qkv").chunk(3, -1)
        a = linear(attention(*projected, heads, attnlrp), weights, f"{block}.attn.proj")
        x = x + a * weights[f"{block}.ls1.gamma"]
        a = linear(normed(x, weights, f"{block}.norm2", 1e-6), weights, f"{block}.mlp.fc1")
        x = x + linear(gelu(a), weights, f"{block}.mlp.fc2") * weights[f"{block}.ls2.gamma"]
    return normed(x, weights, "norm", 1e-6)[:, 0]


def pool_twin(weights: Weights, x: Tensor, heads: int, layers: int, attnlrp: bool) -> Tensor:
    x = x.flatten(2).mT
    x = torch.cat([x.mean(1, keepdim=True), x], 1) + weights["positional_embedding"]
    q, k, v = (linear(x, weights, f"{name}_proj") for name in "qkv")
    return linear(attention(q, k, v, heads, attnlrp)[:, 0], weights, "c_proj")


def linear(x: Tensor, weights: Weights, name: str) -> Tensor:
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def small_pool() -> nn.Module:
    torch.manual_seed(4)
    return AttentionPool2d(4, 16, 4, 12)


NETWORKS: dict[str, tuple[Callable[[], nn.Module], Callable[..., Tensor], int, int, tuple[int, ...]]] = {
    "clip's vision transformer": (lambda: clip_vit(32, 8, 32, 3, 4, 12), clip_twin, 4, 3, (2, 3, 32, 32)),
    "dinov2": (lambda: dinov2(embed_dim=24, depth=3, num_heads=3), dinov2_twin, 3, 3, (1, 3, 56, 56)),
    "clip's attention pool": (small_pool, pool_twin, 4, 1, (2, 16, 4, 4)),
}


@pytest.mark.parametrize("composite", [FROZEN, ATTNLRP], ids=["frozen", "attnlrp"])
@pytest.mark.parametrize("name", NETWORKS)
def test_relevance_equals_the_explicit_einsum_implementation(name: str, composite: Composite) -> None:
    build, twin, heads, layers, shape = NETWORKS[name]
    model, x = build().double().eval(), image(*shape, dtype=torch.float64).requires_grad_()
    weights = {key: value.detach() for key, value in model.state_dict().items()}
    mapped = relevance_map(model, x, composite)
    y = twin(weights, x, heads, layers, composite.attention == "attnlrp")
    torch.testing.assert_close(mapped.output, y.detach(), rtol=1e-9, atol=1e-9)
    relevance = image(1, 1, *y.shape, seed=5, dtype=torch.float64)[0, 0]
    (gradient,) = torch.autograd.grad(y, x, relevance / y.detach())
    torch.testing.assert_close(mapped.pull(relevance), x.detach() * gradient, rtol=1e-7, atol=1e-9)
