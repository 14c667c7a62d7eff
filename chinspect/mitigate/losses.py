"""The losses of unlearning, as functions of the network, the indices of a batch and random numbers."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from chinspect.artefacts import Artefact
from chinspect.encoders import Encoder, output_shape
from chinspect.errors import InputError
from chinspect.proof.placebos import elsewhere, moved
from chinspect.readouts import painted, pasted

Images = Sequence[Image.Image]
_BATCH = 64  # images in memory at a time, and images by which a layer's direction is known well enough


@dataclass(frozen=True, eq=False)
class Align:
    """Distance of images, as they are and with the artefact, from where the encoder put them free of it."""

    encoder: Encoder
    artefact: Artefact
    images: Images

    @cached_property
    def targets(self) -> Tensor:
        """Embeddings before (N, D) of the images, the artefact's region painted from its surroundings."""
        region = self.artefact.closed()
        view = self.encoder.preprocessing
        batches = (self.images[start : start + _BATCH] for start in range(0, len(self.images), _BATCH))
        return torch.cat([self.encoder.embed([painted(one, region, view) for one in batch]) for batch in batches])

    def __call__(self, module: nn.Module, indices: Sequence[int], rng: np.random.Generator) -> Tensor:
        """The mean over a batch, in units of the targets' variance."""
        pictures = [self.images[index] for index in indices]
        marked = [pasted(picture, _varied(self.artefact, rng), self.encoder.preprocessing) for picture in pictures]
        goal = self.targets[list(indices)]
        # an encoder that puts all images at one point has no variance; the floor keeps its loss finite
        variance = self.targets.var(0, correction=0).sum().clamp(min=1e-12)
        outputs = [module(self.encoder.prepare(*images)) for images in (marked, pictures)]
        return torch.cat([(output - goal).square().sum(1) for output in outputs]).mean() / variance


@dataclass(frozen=True, eq=False)
class Unhans:
    """Cross-entropy of images that all carry the artefact, or of images as they are."""

    encoder: Encoder
    artefact: Artefact | None
    images: Images
    labels: Tensor

    def __call__(self, module: nn.Module, indices: Sequence[int], _rng: np.random.Generator) -> Tensor:
        """The mean over a batch."""
        pictures = [self.images[index] for index in indices]
        if self.artefact is not None:
            pictures = [pasted(picture, self.artefact, self.encoder.preprocessing) for picture in pictures]
        return F.cross_entropy(module(self.encoder.prepare(*pictures)), self.labels[list(indices)])


@dataclass(frozen=True, eq=False)
class WorstGroups:
    """Mean cross-entropies of groups, weighted by what Group DRO makes of them; see `chinspect.mitigate.robust`.

    The weights of groups are the buffer ``group_weights`` of the network, and change with each batch.
    """

    encoder: Encoder
    images: Images
    labels: Tensor
    groups: Tensor
    sizes: Tensor
    eta: float
    adjustment: float

    def __call__(self, module: nn.Module, indices: Sequence[int], _rng: np.random.Generator) -> Tensor:
        """``sum_g q_g L_g`` over the groups in a batch."""
        pictures = [self.images[index] for index in indices]
        device = self.labels.device
        own = self.groups[list(indices)].to(device)
        logits = module(self.encoder.prepare(*pictures))
        losses = F.cross_entropy(logits, self.labels[list(indices)], reduction="none")
        counts = torch.bincount(own, minlength=len(self.sizes))
        means = torch.zeros(len(counts), device=device).index_add(0, own, losses) / counts.clamp(min=1)
        q = module.get_buffer("group_weights")
        with torch.no_grad():
            push = self.eta * (means + self.adjustment / self.sizes.to(device).sqrt())
            q *= torch.where(counts > 0, push, 0).exp()  # a group that is not in the batch told nothing
            q /= q.sum()
        return (q.clone() * means).sum()


@dataclass(frozen=True, eq=False)
class Added:
    """The output of a layer, moved along a direction (shaped like it, length 1) to a level."""

    direction: Tensor
    level: float

    def __call__(self, output: Tensor) -> Tensor:
        """``a - v (<v, a> - z)`` of each image, (N, ...)."""
        short = self.level - (output * self.direction).flatten(1).sum(1)
        return output + torch.einsum("n,...->n...", short, self.direction)


@dataclass(frozen=True, eq=False)
class Clarc:
    """A loss of images, to half of which the artefact is added at a layer."""

    loss: Unhans
    layer: str
    change: Added

    def __call__(self, module: nn.Module, indices: Sequence[int], rng: np.random.Generator) -> Tensor:
        """The mean over a batch."""
        half = torch.from_numpy(rng.random(len(indices)) < 0.5).to(self.loss.labels.device)

        def change(_module: nn.Module, _args: object, output: Tensor) -> Tensor:
            return torch.where(half.view(-1, *[1] * (output.ndim - 1)), self.change(output), output)

        with module.get_submodule(self.layer).register_forward_hook(change):
            return self.loss(module, indices, rng)


def added(encoder: Encoder, layer: str, images: Images, artefact: Artefact) -> Added:
    """What takes a layer's output along the artefact's direction to the level of images that carry it.

    Raises `InputError` where the artefact does not change the output.
    """
    output_shape(encoder, layer)  # one tensor that is computed once, or an error
    plain = images[:_BATCH]
    after = _mean(encoder, layer, [pasted(picture, artefact, encoder.preprocessing) for picture in plain])
    change = after - _mean(encoder, layer, plain)
    if not float(change.norm()) > 0:
        raise InputError(f"The layer {layer!r} does not respond to the artefact: there is nothing to add.")
    direction = change / change.norm()
    return Added(direction, float((direction * after).sum()))


def parameters_before(encoder: Encoder, layer: str) -> list[str]:
    """Names of the parameters that the output of a layer depends on."""
    outputs: list[Tensor] = []
    module = copy.deepcopy(encoder.module).requires_grad_(True)
    with module.get_submodule(layer).register_forward_hook(lambda _m, _args, output: outputs.append(output)):
        module(torch.zeros(1, 3, *[encoder.preprocessing.size] * 2, device=encoder.device))
    outputs[0].sum().backward()  # type: ignore[no-untyped-call]
    return [name for name, parameter in module.named_parameters() if parameter.grad is not None]


def _varied(artefact: Artefact, rng: np.random.Generator) -> Artefact:
    """The artefact where it lies or anywhere else, in its own colours or tinted, as often each."""
    if rng.random() < 0.5:
        artefact = next((moved(artefact, offset) for offset in elsewhere(artefact, 1, rng)), artefact)
    if rng.random() < 0.5:
        artefact = replace(artefact, rgb=artefact.rgb * rng.uniform(size=3).astype(np.float32))
    return artefact


def _mean(encoder: Encoder, layer: str, pictures: Images) -> Tensor:
    """The mean output of a layer over images, without their axis."""
    sums: list[Tensor] = []  # at once, as what comes behind may change an output in place
    with encoder.module.get_submodule(layer).register_forward_hook(lambda _m, _args, out: sums.append(out.sum(0))):
        encoder.embed(pictures)
    return torch.stack(sums).sum(0) / len(pictures)
