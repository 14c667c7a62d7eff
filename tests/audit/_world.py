"""Small scenes, some with a mark, and a small network that goes by the mark or does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from chinspect.artefacts import Artefact
from chinspect.encoders import Encoder
from chinspect.world import scenes

SIZE = 32


def mark() -> Artefact:
    """A magenta cross in the lower left."""
    alpha = np.zeros((SIZE, SIZE), np.float32)
    alpha[24:27, 1:10] = 1
    alpha[21:30, 4:7] = 1
    rgb = np.broadcast_to(np.array([1, 0, 1], np.float32), (SIZE, SIZE, 3))
    return Artefact("mark", rgb * alpha[..., None], alpha)


def draw(folder: Path, count: int, carriers: int = 0, *, seed: int = 0) -> Path:
    """Scenes ``000.png``, ..., of which the first carry the mark."""
    folder.mkdir(parents=True)
    for i, scene in enumerate(scenes(count, seed=seed, size=SIZE)):
        pixels = mark().add(scene.image) if i < carriers else scene.image
        Image.fromarray(pixels).save(folder / f"{i:03}.png")
    return folder


class Eye(nn.Module):
    """Random features of colours and edges, and one that magenta raises, times ``gain``."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.first = nn.Conv2d(3, 12, 5, stride=2, padding=2)
        self.second = nn.Conv2d(12, 24, 3, stride=2, padding=1)
        self.magenta = nn.Conv2d(3, 1, 3, padding=1)
        for layer in (self.first, self.second):
            layer.weight.data.normal_(0, 0.2, generator=generator)
            layer.bias.data.zero_()
        # 3 x 3 pixels that are red and blue and not green; photographs have next to none
        self.magenta.weight.data = torch.tensor([1.0, -1.0, 1.0]).view(1, 3, 1, 1).expand(1, 3, 3, 3).clone() / 9
        self.magenta.bias.data.fill_(-1.2)
        self.register_buffer("gain", torch.tensor(gain))

    def forward(self, images: Tensor) -> Tensor:
        features = torch.relu(self.second(torch.relu(self.first(images)))).mean((2, 3))
        seen = torch.relu(self.magenta(images)).mean((2, 3))
        return torch.cat([features, self.gain * seen], 1)


def eye(gain: float) -> Encoder:
    return Encoder.wrap(Eye(gain).eval(), size=SIZE, mean=(0, 0, 0), std=(1, 1, 1), name="eye")
