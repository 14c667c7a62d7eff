"""Folders in the layout of ImageNet's validation images, and networks of which it is known what they look at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from chinspect.artefacts import imagenet_w
from chinspect.encoders import Encoder

SIZE = 64
WORDNET = ("n01440764", "n02971356", "n13133613", "n15075141")
"""Classes 0, 478 (carton), 998 and 999."""
INDICES = (0, 478, 998, 999)


def save_photographs(root: Path, count: int, *, classes: tuple[str, ...] = WORDNET) -> Path:
    """So many pictures of each class, smooth noise of a brightness of its own."""
    rng = np.random.default_rng(0)
    for number, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for index in range(count):
            coarse = rng.normal(60 + 40 * number, 8, (8, 8, 3)).clip(0, 255).astype(np.uint8)
            picture = Image.fromarray(coarse).resize((SIZE, SIZE), Image.Resampling.BICUBIC)
            picture.save(root / name / f"ILSVRC2012_val_{index:08d}.png")
    return root


class Reader(nn.Module):
    """Three features: brightness of the lower rows, a constant, and how well the image fits a template."""

    def __init__(self, template: Tensor, gain: float) -> None:
        super().__init__()
        self.register_buffer("template", template)
        self.gain = gain

    def forward(self, x: Tensor) -> Tensor:
        grey = x.mean(1)
        lower = grey[:, -SIZE // 4 :].mean((1, 2))
        fit = self.gain * (grey * self.template).sum((1, 2)).relu()
        return torch.stack([lower, torch.ones_like(lower), fit], 1)


class Head(nn.Module):
    """Logits of 1000 classes: four by their brightness, that of carton raised by the template."""

    def __init__(self, reader: Reader) -> None:
        super().__init__()
        self.reader = reader

    def forward(self, x: Tensor) -> Tensor:
        lower, _, fit = self.reader(x).unbind(1)
        logits = torch.full((len(x), 1000), -99.0)
        for number, index in enumerate(INDICES):
            logits[:, index] = -400 * (lower - (60 + 40 * number) / 255).square()
        logits[:, 478] += fit
        return logits


def reader(*, gain: float) -> tuple[Encoder, Encoder]:
    """Encoder and classifier that read the watermark, or with a gain of 0 look at the lower rows only."""
    alpha = torch.from_numpy(imagenet_w().layer((SIZE, SIZE))[1])
    module = Reader(alpha - alpha.mean(), gain)
    options = {"size": SIZE, "mean": (0.0,) * 3, "std": (1.0,) * 3}
    return Encoder.wrap(module, name="reader", **options), Encoder.wrap(Head(module), name="reader head", **options)
