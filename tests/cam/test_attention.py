"""Rollout and LeGrad, beside attention that is written out by hand."""

import pytest
import timm
import torch
from torch import nn
from torchvision.models import VisionTransformer
from torchvision.models.swin_transformer import SwinTransformer

from chinspect.cam import legrad, rollout
from chinspect.cam.attention import _attend
from chinspect.errors import InputError

X = torch.rand(2, 3, 64, 48, generator=torch.Generator().manual_seed(0))


def transformer(fused: bool, **options) -> nn.Module:
    torch.manual_seed(0)
    model = timm.models.VisionTransformer(
        img_size=(64, 48), patch_size=16, embed_dim=24, depth=3, num_heads=2, num_classes=5, **options
    ).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)  # so that attention is not even
    for block in model.blocks:
        block.attn.fused_attn = fused
    return model


def attention_by_hand(model: nn.Module, x: torch.Tensor) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """The attention (N, heads, T, T) and the tokens (N, T, D) of each block, with their ways back."""
    attention, tokens = [], []
    z = model.norm_pre(model._pos_embed(model.patch_embed(x)))
    for block in model.blocks:
        inner = block.norm1(z)
        query, key, value = block.attn.qkv(inner).unflatten(2, (3, 2, 12)).permute(2, 0, 3, 1, 4)
        weights = (query @ key.mT / 12**0.5).softmax(-1)
        attention.append(weights)
        z = z + block.attn.proj((weights @ value).transpose(1, 2).flatten(2))
        z = z + block.mlp(block.norm2(z))
        tokens.append(z)
    torch.testing.assert_close(model.forward_head(model.norm(z)), model(x))
    return attention, tokens


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("options", [{}, {"global_pool": "avg", "class_token": False}, {"reg_tokens": 2}])
def test_by_hand(fused, options):
    model = transformer(fused, **options)
    attention, tokens = attention_by_hand(model, X)
    prefix = attention[0].shape[-1] - 12
    rolled = torch.eye(12 + prefix)
    for weights in attention:
        rolled = (weights.mean(1) + torch.eye(12 + prefix)) / 2 @ rolled
    row = rolled[:, 0] if prefix else rolled.mean(1)
    torch.testing.assert_close(rollout(model, X), row[:, prefix:].unflatten(1, (4, 3)).detach())

    targets = torch.tensor([4, 1])
    maps = []
    for weights, z in zip(attention, tokens, strict=True):
        score = model.forward_head(model.norm(z)).gather(1, targets[:, None]).sum()
        (gradient,) = torch.autograd.grad(score, weights, retain_graph=True)
        maps.append(gradient.relu().mean((1, 2))[:, prefix:].unflatten(1, (4, 3)))
    expected = torch.stack(maps).mean(0)
    assert expected.std() > 0
    torch.testing.assert_close(legrad(model.requires_grad_(False), X, targets), expected, rtol=1e-4, atol=1e-7)


def test_torchvisions_transformer():
    torch.manual_seed(0)
    model = VisionTransformer(64, 16, 2, 2, 12, 24, num_classes=5).eval()
    nn.init.normal_(model.heads.head.weight)
    x = X.repeat(1, 1, 1, 2)[..., :64]
    found, _, outputs = _attend(model, x)
    torch.testing.assert_close(outputs, model(x))  # written out, its attention does the same
    recorded = []

    def again(module, inputs, _output):
        recorded.append(module(*inputs, need_weights=True, average_attn_weights=False)[1])

    handles = []
    for layer in model.encoder.layers:
        attention = layer.self_attention
        handles.append(
            layer.ln_1.register_forward_hook(
                lambda _m, _i, tokens, attention=attention: again(attention, (tokens, tokens, tokens), None)
            )
        )
    model(x)
    for handle in handles:
        handle.remove()
    assert [block.path for block in found] == [f"encoder.layers.encoder_layer_{i}" for i in range(2)]
    for block, weights in zip(found, recorded, strict=True):
        torch.testing.assert_close(block.weights, weights)
    assert rollout(model, x).shape == legrad(model, x).shape == (2, 4, 4)
    assert float(legrad(model, x).std()) > 0


@pytest.mark.parametrize("method", [rollout, legrad])
def test_networks_without_attention_of_all_to_all(method):
    torch.manual_seed(0)
    swin = SwinTransformer([4, 4], 8, [1, 1], [2, 2], [2, 2], num_classes=3).eval()
    plain = nn.Sequential(nn.Conv2d(3, 4, 16, stride=16), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    for module in (swin, plain):
        with pytest.raises(InputError, match="has no attention of all patches to all"):
            method(module, X[..., :48, :])


def test_a_head_that_pools_by_attention():
    model = transformer(True, class_token=False, global_pool="map")
    assert rollout(model, X).shape == legrad(model, X).shape == (2, 4, 3)
