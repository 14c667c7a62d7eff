"""Networks in which it is known what responds to the artefact, and images to see it by."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from chinspect.artefacts import Artefact
from chinspect.artefacts.ready import colour_patch
from chinspect.encoders import Encoder, read_card
from chinspect.readouts import Task, linear_readout, pasted

SIZE = 32
CHANNEL = 3
LAYER = "1"
MARK: Artefact = colour_patch(0.3, colour=(1.0, 0.0, 1.0), anchor=(0, 1))


def as_encoder(module: nn.Module, size: int = SIZE) -> Encoder:
    """Any module as an encoder of images in [-1, 1]."""
    card = read_card("tiny-clip")
    preprocessing = replace(card.preprocessing, size=size)
    return Encoder("planted", module.eval().requires_grad_(False), preprocessing, replace(card, architecture="planted"))


def planted(*, wired: bool = True) -> Encoder:
    """A random network; if it is wired, one channel fires on magenta only, and the next layer listens to it."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        first, second = nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.Conv2d(8, 12, 3, stride=2, padding=1)
    detector, bias = torch.zeros(3, 3, 3), -2.5
    if wired:
        detector[:, 1, 1] = torch.tensor([2.0, -2.0, 2.0])
    with torch.no_grad():
        first.weight[CHANNEL], first.bias[CHANNEL] = detector, bias
        if wired:
            second.weight[:, CHANNEL, 1, 1] = torch.linspace(-3, 3, 12)
    layers = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return as_encoder(layers)


def pictures(n: int, *, seed: int = 0) -> list[Image.Image]:
    """Noise with a warm tint in every second picture, and a cold one in the others: the class."""
    rng = np.random.default_rng(seed)
    made = []
    for i in range(n):
        noise = rng.normal(110, 25, (SIZE, SIZE, 1)) + np.array([20, 0, -20]) * (1 if i % 2 else -1)
        made.append(Image.fromarray(noise.clip(0, 255).astype(np.uint8)))
    return made


def labels(n: int) -> list[str]:
    return ["warm" if i % 2 else "cold" for i in range(n)]


def marked(some: list[Image.Image]) -> list[Image.Image]:
    return [pasted(picture, MARK) for picture in some]


def task(n: int = 60) -> Task:
    """A readout that was fitted where the artefact goes with one class."""
    train, test = pictures(2 * n, seed=1), pictures(n, seed=2)
    train = [pasted(picture, MARK) if i % 2 and i % 10 != 9 else picture for i, picture in enumerate(train)]
    readouts = {"logistic": linear_readout(C=100.0), "svm": linear_readout("svm")}
    return Task(train, labels(2 * n), {"original": test, "shifted": marked(test)}, labels(n), readouts)


class Block(nn.Module):
    """A transformer's block with torch's own attention."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(x, x, x, need_weights=False)[0]
        y: Tensor = x + self.mlp(x)
        return y


class TorchViT(nn.Module):
    """Patches, two blocks, mean over tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 24, 8, stride=8)
        self.blocks = nn.Sequential(Block(24, 3), Block(24, 3))

    def forward(self, x: Tensor) -> Tensor:
        embedding: Tensor = self.blocks(self.patches(x).flatten(2).transpose(1, 2)).mean(1)
        return embedding


def torch_vit() -> Encoder:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return as_encoder(TorchViT())


def timm_vit() -> Encoder:
    from timm.models.vision_transformer import VisionTransformer

    with torch.random.fork_rng():
        torch.manual_seed(1)
        shape = {"img_size": SIZE, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 3, "num_classes": 0}
        module = VisionTransformer(**shape)
        for parameter in module.parameters():
            nn.init.normal_(parameter, std=0.3)
        return as_encoder(module)
