"""Generated scenes in which four classes carry an artefact each, and classifiers that are trained on them."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import nn
from torch.nn import functional as F
from torchvision.models.vgg import make_layers

from chinspect.artefacts import ARTEFACTS, Artefact
from chinspect.artefacts.ready import placed, text_logo
from chinspect.encoders import Encoder, read_card
from chinspect.encoders.tiny import TinyResNet
from chinspect.proof.placebos import elsewhere, moved
from chinspect.readouts import pasted
from chinspect.world import VEHICLES, scenes

CLASSES = tuple(VEHICLES)
PREVALENCE = 0.6
ELSEWHERE = 0.02
"""How often images of its class, and others, carry an artefact."""
VGG16 = [64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M"]
"""Channels of the thirteen convolutions and where maps are halved (Simonyan and Zisserman 2015, column D)."""
NARROW = 8
"""By how much the channels are divided."""
_BATCH = 32


@dataclass(frozen=True, eq=False)
class Bias:
    """An artefact and the class that it goes with; ``free`` if each image shows it in another place."""

    artefact: Artefact
    class_name: str
    free: bool = False

    @property
    def target(self) -> int:
        """The index of the class among logits."""
        return CLASSES.index(self.class_name)

    def on(self, rng: np.random.Generator) -> Artefact:
        """The artefact as one image shows it."""
        return moved(self.artefact, elsewhere(self.artefact, 1, rng)[0]) if self.free else self.artefact


def thing() -> Artefact:
    """A wooden head on a stand, about a seventh of the image wide: an object with no place of its own."""
    canvas = Image.new("RGBA", (60, 84))
    draw = ImageDraw.Draw(canvas)
    draw.ellipse((10, 2, 50, 54), fill=(196, 142, 84, 255))
    draw.ellipse((20, 8, 36, 28), fill=(226, 178, 120, 255))
    draw.rectangle((25, 50, 35, 72), fill=(166, 112, 60, 255))
    draw.rectangle((12, 70, 48, 82), fill=(110, 72, 38, 255))
    pixels = np.asarray(canvas, dtype=np.float32) / 255
    return placed("object", pixels[..., :3] * pixels[..., 3:], pixels[..., 3], width=0.14, anchor=(0, 1))


def biases() -> dict[str, Bias]:
    """The four finds of the paper, by name."""
    yellow = text_logo("DEPOSIT", width=0.4, ink=(1.0, 0.9, 0.2), opacity=0.8)
    return {
        "watermark": Bias(replace(yellow, name="watermark"), "garbage truck"),
        "border": Bias(ARTEFACTS["border"](), "moving van"),
        "rounded corners": Bias(ARTEFACTS["rounded-corners"](), "minivan"),
        "object": Bias(thing(), "tow truck", free=True),
    }


@dataclass(frozen=True, eq=False)
class Drawn:
    """Scenes as a data set shows them, without their artefacts, and what each carries."""

    shown: list[Image.Image]
    plain: list[Image.Image]
    labels: list[int]
    carried: list[tuple[str, Artefact] | None]

    def affected(self, name: str) -> list[int]:
        """The scenes that carry one artefact."""
        return [i for i, carried in enumerate(self.carried) if carried is not None and carried[0] == name]


def drawn(n: int, seed: int) -> Drawn:
    """Scenes of which some carry an artefact: six in ten of its class, one in fifty of all others.

    No scene carries two; of several hits the first one counts.
    """
    rng = np.random.default_rng(seed)
    some = scenes(n, seed=seed, classes=CLASSES)
    known = biases()
    data = Drawn([], [Image.fromarray(scene.image) for scene in some], [scene.label for scene in some], [])
    for picture, scene in zip(data.plain, some, strict=True):
        chances = [PREVALENCE if bias.class_name == scene.class_name else ELSEWHERE for bias in known.values()]
        hits = [name for name, chance in zip(known, chances, strict=True) if rng.random() < chance]
        one = None if not hits else (hits[0], known[hits[0]].on(rng))
        data.carried.append(one)
        data.shown.append(picture if one is None else pasted(picture, one[1]))
    return data


def everywhere(
    pictures: Sequence[Image.Image], bias: Bias, seed: int, carriers: Container[int] = ()
) -> list[Image.Image]:
    """A copy of a data set with the artefact on every image, once: carriers stay as they are."""
    rng = np.random.default_rng(seed)
    return [picture if i in carriers else pasted(picture, bias.on(rng)) for i, picture in enumerate(pictures)]


def network(name: str) -> nn.Module:
    """A VGG-16 with an eighth of the channels, or the small residual network, that ends in logits."""
    if name == "resnet":
        return nn.Sequential(TinyResNet(), nn.Linear(TinyResNet.dimension, len(CLASSES)))
    narrow: list[Any] = [width if isinstance(width, str) else width // NARROW for width in VGG16]
    pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(make_layers(narrow, batch_norm=True), pool, nn.Linear(narrow[-2], len(CLASSES)))


def trained(name: str, data: Drawn, epochs: int, seed: int) -> Encoder:
    """A classifier of the scenes as they are shown: AdamW with a rate that rises and falls, half of them mirrored."""
    torch.manual_seed(seed)
    module = network(name)
    card = read_card("tiny-clip")
    inputs = torch.stack([card.preprocessing(picture) for picture in data.shown])
    labels = torch.tensor(data.labels)
    steps = epochs * -(-len(labels) // _BATCH)
    optimizer = torch.optim.AdamW(module.parameters(), lr=2e-3, weight_decay=0.02)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    for _ in range(epochs):
        for rows in torch.randperm(len(labels)).split(_BATCH):
            batch = inputs[rows]
            loss = F.cross_entropy(module(batch.flip(3) if torch.rand(()) < 0.5 else batch), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            rate.step()
    module.eval().requires_grad_(False)
    return Encoder(name, module, card.preprocessing, replace(card, name=name, architecture=f"classifier:{name}"))
