"""Architectures end at the embedding that their card names."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from chinspect.encoders.libraries import build
from chinspect.errors import InputError


def shake(module: nn.Module) -> nn.Module:
    """Give every batch norm statistics and weights of its own: freshly built residual branches can be zero."""
    generator = torch.Generator().manual_seed(0)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            for tensor in (part.weight.data, part.bias.data, part.running_mean, part.running_var):
                assert tensor is not None
                tensor.copy_(torch.rand(tensor.shape, generator=generator) * 0.5 + 0.5)
    return module.eval()


def by_hand(state: dict[str, Tensor], images: Tensor) -> Tensor:
    """CLIP's ResNet-50 as Radford et al. 2021 describe it, in plain functions, up to the mean over layer4."""

    def norm(x: Tensor, name: str) -> Tensor:
        mean, var, weight, bias = (
            state[f"{name}.{k}"].view(1, -1, 1, 1) for k in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / torch.sqrt(var + 1e-5) * weight + bias

    def conv(x: Tensor, name: str, **options: int) -> Tensor:
        return functional.conv2d(x, state[f"{name}.weight"], **options)

    def block(x: Tensor, name: str, stride: int) -> Tensor:
        y = torch.relu(norm(conv(x, f"{name}.conv1"), f"{name}.bn1"))
        y = torch.relu(norm(conv(y, f"{name}.conv2", padding=1), f"{name}.bn2"))
        y = norm(conv(functional.avg_pool2d(y, stride), f"{name}.conv3"), f"{name}.bn3")
        if f"{name}.downsample.0.weight" in state:
            x = norm(conv(functional.avg_pool2d(x, stride), f"{name}.downsample.0"), f"{name}.downsample.1")
        return torch.relu(x + y)

    x = images
    for i, stride in ((1, 2), (2, 1), (3, 1)):
        x = torch.relu(norm(conv(x, f"conv{i}", stride=stride, padding=1), f"bn{i}"))
    x = functional.avg_pool2d(x, 2)
    for stage, blocks in ((1, 3), (2, 4), (3, 6), (4, 3)):
        for index in range(blocks):
            x = block(x, f"layer{stage}.{index}", 2 if stage > 1 and index == 0 else 1)
    return x.mean((2, 3))


def test_clip_without_attention_pool_equals_a_hand_computation() -> None:
    trunk = shake(build("clip-rn50-gap", 224).module).double()
    images = torch.randn(1, 3, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        found, expected = trunk(images), by_hand(trunk.state_dict(), images)
    assert found.shape == (1, 2048)
    assert expected.std() > 0
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("name", "pooled", "dimension"), [("resnet18", "avgpool", 512), ("efficientnet_b0", "avgpool", 1280)]
)
def test_torchvision_ends_at_the_input_of_its_classifier(name: str, pooled: str, dimension: int) -> None:
    module = build(f"torchvision:{name}", 224).module.eval()
    seen: list[Tensor] = []
    module.get_submodule(pooled).register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    with torch.no_grad():
        embedding = module(torch.randn(2, 3, 64, 64))
    assert embedding.shape == (2, dimension)
    torch.testing.assert_close(embedding, seen[0].flatten(1))


def test_timm_names_the_head_that_is_cut_off() -> None:
    architecture = build("timm:resnet18", 224)
    assert architecture.heads == ("fc.",)
    assert not any(key.startswith("fc.") for key in architecture.module.state_dict())


def test_convolutions_of_timm_are_built_for_any_size() -> None:
    """They take images of any size, and no option for it."""
    module = build("timm:resnet10t", 96).module.eval()
    assert module(torch.zeros(1, 3, 96, 96)).shape == (1, 512)


def test_vit_is_built_for_the_size_that_is_asked_for() -> None:
    module: Any = build("timm:vit_tiny_patch16_224", 96).module.eval()
    with torch.no_grad():
        assert module(torch.zeros(1, 3, 96, 96)).shape == (1, 192)


def test_building_leaves_the_random_state_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    build("tiny-resnet", 128)
    assert torch.equal(torch.rand(4), expected)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nonsense", "no architecture 'nonsense'"),
        ("timm:", "no architecture 'timm:'"),
        ("keras:x", "no architecture"),
        ("torchvision:fcn_resnet50", "no classifier"),
        ("torchvision:squeezenet1_0", "does not end in a linear layer"),
        ("open_clip:nonsense", "open_clip has no model"),
    ],
)
def test_unknown_architectures(name: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        build(name, 224)
