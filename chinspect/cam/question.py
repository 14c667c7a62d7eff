"""What a class activation map is of: one number an image, made of the outputs of a network.

It is a logit, the similarity to another image, an anomaly score, or any function of the outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from chinspect.encoders import check_finite
from chinspect.errors import InputError
from chinspect.relevance import evaluation_mode

Respond = Callable[[Tensor], Tensor]
"""Any function from images (n, C, H, W) to outputs (n, ...)."""
Target = int | Tensor | Callable[[Tensor], Tensor] | None
"""What is explained: one output of all images; (N,) integers, one of each image; (N, D) weights of all outputs, so that
the embedding of another image explains the similarity to it; a function from outputs (n, ...) to numbers (n,), such as
an anomaly score; None is the largest output of each image, or where outputs are numbers (N,), these."""
_Score = Callable[[Tensor], Tensor]
_CHUNK = 16  # images a pass: twice as many take half as long again on a CPU, whose caches they leave


@dataclass(frozen=True, eq=False)
class Question:
    """A network, images, and what of its outputs is explained.

    Attributes:
        respond: from images (n, C, H, W) to outputs; a module answers in evaluation mode and is left as it was.
        x: the images (N, C, H, W), preprocessed.
        scores: one an image, from outputs (n, ...) to numbers (n,).
    """

    respond: Respond
    x: Tensor
    scores: tuple[_Score, ...]

    def __len__(self) -> int:
        return len(self.x)

    def total(self, outputs: Tensor) -> Tensor:
        """The sum over images of what is explained of each: no image's activations touch another's score."""
        return torch.stack([score(outputs[i : i + 1])[0] for i, score in enumerate(self.scores)]).sum()

    def score(self, i: int, images: Tensor) -> Tensor:
        """(n,): what of image i is explained, of other images (n, C, H, W) in its place."""
        with evaluation_mode(self.respond), torch.no_grad():
            return torch.cat([self.scores[i](self.respond(chunk)) for chunk in images.split(_CHUNK)])

    def masked(self, i: int, masks: Tensor) -> Tensor:
        """(n,): the same of image i times masks (n, H, W); what is masked has the value 0 that the network reads."""
        with evaluation_mode(self.respond), torch.no_grad():
            chunks = (self.x[i] * chunk[:, None] for chunk in masks.split(_CHUNK))
            return torch.cat([self.scores[i](self.respond(chunk)) for chunk in chunks])


def ask(respond: Respond, x: Tensor, target: Target, outputs: Tensor | None = None) -> Question:
    """The question about images ``x`` (N, C, H, W).

    Args:
        outputs: of the network for these images, where they are known.

    Raises `InputError` for images of another shape, outputs that are not finite, and targets that do not fit.
    """
    if not isinstance(x, Tensor) or x.ndim != 4 or len(x) == 0 or not x.is_floating_point():
        shape = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
        raise InputError(f"a CAM is of preprocessed images (N, C, H, W), floating-point numbers, not of {shape}.")
    if outputs is None:
        with evaluation_mode(respond), torch.no_grad():
            outputs = torch.cat([respond(chunk) for chunk in x.split(_CHUNK)])
    module = respond if isinstance(respond, nn.Module) else None
    check_finite(outputs.detach(), "the output of the network", module)
    if len(outputs) != len(x):
        raise InputError(f"a CAM needs one output for each of {len(x)} images, not {tuple(outputs.shape)}.")
    if callable(target):
        return Question(respond, x, (partial(_applied, function=target),) * len(x))
    weights = _weights(target, outputs.detach())
    return Question(respond, x, tuple(partial(_weighted, weights=row) for row in weights))


def _weights(target: int | Tensor | None, outputs: Tensor) -> Tensor:
    """Weights (N, D) of the outputs; (N, 1) where an output is one number."""
    if outputs.ndim == 1:
        outputs = outputs[:, None]
    if outputs.ndim != 2:
        raise InputError(
            f"a CAM explains outputs (N, D), not {tuple(outputs.shape)}: pool them, or make the target a function."
        )
    if target is None:
        target = outputs.argmax(1)
    if isinstance(target, int):
        target = torch.full((len(outputs),), target)
    if target.is_floating_point() and target.shape == outputs.shape:
        return target.to(outputs)
    indices = not target.is_floating_point() and target.shape == outputs.shape[:1]
    if not indices or bool(((target < 0) | (target >= outputs.shape[1])).any()):
        shown = target.tolist() if target.numel() <= 4 else f"{target.dtype} {tuple(target.shape)}"
        raise InputError(
            f"a target is one index of {outputs.shape[1]} outputs for each of {len(outputs)} images, or weights "
            f"{tuple(outputs.shape)}, not {shown}."
        )
    return nn.functional.one_hot(target.to(outputs.device).long(), outputs.shape[1]).to(outputs)


def _weighted(outputs: Tensor, weights: Tensor) -> Tensor:
    return outputs.reshape(len(outputs), -1) @ weights


def _applied(outputs: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    numbers = function(outputs)
    if not isinstance(numbers, Tensor) or numbers.shape != (len(outputs),):
        shape = tuple(numbers.shape) if isinstance(numbers, Tensor) else type(numbers).__name__
        raise InputError(f"a target gives one number for each of {len(outputs)} outputs, and this one gives {shape}.")
    return numbers
