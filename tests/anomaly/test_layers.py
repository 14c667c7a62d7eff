"""Layers of networks of any kind: those that torch.fx cannot read, channels last, tokens; and a real backbone."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch
from torch import Tensor, nn
from torchvision.ops import Permute

from chinspect.anomaly import PatchCore, explain_anomaly, load_detector, save_detector
from chinspect.anomaly._features import LayerFeatures, usual_layers
from chinspect.errors import InputError


def images(n: int, size: int = 32, seed: int = 0) -> Tensor:
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(seed)) * 0.8 - 0.4


class Deciding(nn.Module):
    """Its code decides by the shape of its input, which torch.fx cannot follow; one map in three layouts."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 8, stride=8, bias=False)
        self.after = nn.ReLU(inplace=True)
        self.last = Permute([0, 2, 3, 1])
        self.tokens = nn.Flatten(1, 2)
        self.blocks = nn.Identity()
        self.never = nn.Identity()
        self.register_parameter("token", nn.Parameter(torch.rand(1, 1, 5)))

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        x = self.after(2 * x if x.shape[2] % 2 == 0 else x)
        tokens = self.tokens(self.last(x))
        return self.blocks(torch.cat([self.token.expand(len(x), -1, -1), tokens], 1)).mean(1)


@pytest.fixture
def deciding() -> nn.Module:
    torch.manual_seed(0)
    return Deciding().eval().requires_grad_(False)


@pytest.mark.parametrize("layer", ["last", "blocks"])
def test_channels_last_and_tokens_are_the_same_map(deciding: nn.Module, layer: str) -> None:
    first, other = LayerFeatures(deciding, ("after", layer))(images(3))
    assert first.shape == (3, 5, 4, 4)
    torch.testing.assert_close(other, first, rtol=0, atol=0)


def test_a_layer_is_explained_the_same_in_every_layout(deciding: nn.Module) -> None:
    maps = []
    for layer in ("after", "last", "blocks"):
        detector = PatchCore(backbone=deciding, layers=(layer,), embedding="anomalib", size=32).fit(images(4))
        explanation = explain_anomaly(detector, images(1, seed=5), components="pixels")
        np.testing.assert_allclose(explanation.conservation, 1, atol=1e-3)
        maps.append(explanation.pixels)
    np.testing.assert_allclose(maps[1], maps[0], atol=1e-6)
    np.testing.assert_allclose(maps[2], maps[0], atol=1e-6)


class Twice(Deciding):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + super().forward(x)


@pytest.mark.parametrize(
    ("network", "layer", "words"),
    [
        (Deciding(), "never", "'never' of the backbone does not run"),
        (Twice(), "after", "'after' of the backbone runs 2 times a pass"),
        (nn.Sequential(nn.Conv2d(3, 4, 8, 8), nn.AdaptiveAvgPool2d(1), nn.Flatten()), "2", r"gives \(1, 4\)"),
        (nn.Sequential(nn.Flatten(), nn.Linear(7, 2)), "1", r"cannot read images \(3, 32, 32\)"),
    ],
)
def test_layers_that_cannot_be_compared(network: nn.Module, layer: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        PatchCore(backbone=network, layers=(layer,), embedding="anomalib", size=32).fit(images(3))


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("tf_efficientnet_lite0", ("blocks.2", "blocks.4")),  # the last before the maps are halved
        ("resnet10t", ("layer2", "layer3")),
        ("convnext_atto", ("stages.1", "stages.2")),
        ("swin_tiny_patch4_window7_224", ("layers.1", "layers.2")),  # channels last
    ],
)
def test_the_usual_layers_end_the_stages_at_an_eighth_and_a_sixteenth(name: str, layers: tuple[str, str]) -> None:
    options = {"img_size": 64, "embed_dim": 24} if "swin" in name else {}
    network = timm.create_model(name, **options).eval()
    assert usual_layers(network, torch.zeros(1, 3, 64, 64), 2) == layers
    first, second = LayerFeatures(network, layers)(images(1, 64))
    assert (first.shape[2:], second.shape[2:]) == ((8, 8), (4, 4))


def test_a_network_of_one_resolution_has_no_usual_layers() -> None:
    vit = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=1, embed_dim=12, num_heads=1)
    with pytest.raises(InputError, match=r"no maps at 1/8 and 1/16 .*\(--layers\)"):
        usual_layers(vit, torch.zeros(1, 3, 32, 32), 2)


def test_a_real_backbone_is_fitted_explained_and_saved(tmp_path) -> None:
    detector = PatchCore(backbone="efficientnet-lite0", embedding="anomalib", size=64).fit(images(4, 64))
    assert detector._backbone.features.layers == ("blocks.2", "blocks.4")
    assert detector.bank_.shape[1] == 40 + 112
    assert detector.map_shape_ == (8, 8)
    odd = images(1, 64, seed=1)
    odd[:, :, 40:52, 8:20] = 1
    explanation = explain_anomaly(detector, odd, components="pixels")
    # its biases and running means, which no pixel carries, hold the rest of the score
    assert 0.3 < explanation.conservation[0] < 1.01
    row, column = np.unravel_index(explanation.pixels[0].argmax(), (64, 64))
    assert 32 <= row < 60  # at the spot, to the reach of a patch
    assert column < 28
    again = load_detector(save_detector(detector, tmp_path / "real.safetensors"))
    np.testing.assert_array_equal(again.decision_function(odd), detector.decision_function(odd))
