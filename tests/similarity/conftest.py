from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from chinspect.encoders import Encoder, read_card
from chinspect.encoders.tiny import TinyResNet
from chinspect.images import Preprocessing

PREPROCESSING = Preprocessing(64, "shortest", "bilinear", (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


@pytest.fixture(scope="session")
def encoder() -> Encoder:
    """A small network with random weights and calibrated batch norms, for 64 pixels."""
    torch.manual_seed(0)
    module = TinyResNet().train()
    with torch.no_grad():
        for _ in range(10):
            module(torch.randn(16, 3, 64, 64))
    card = replace(read_card("supervised-rn50"), preprocessing=PREPROCESSING)
    return Encoder("random", module.eval().requires_grad_(False), PREPROCESSING, card)


@pytest.fixture
def pictures() -> tuple[Image.Image, Image.Image]:
    """Two pictures of noise and edges, of different shape."""
    generator = np.random.default_rng(0)
    return picture(generator, 90, 70), picture(generator, 64, 128)


def picture(generator: np.random.Generator, width: int, height: int) -> Image.Image:
    noise = generator.integers(0, 255, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)
