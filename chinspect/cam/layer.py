"""One layer of a network for some images: its activations, their gradients, and the network from there on.

Feature maps have one layout, (N, K, h, w), whichever a network has (see `chinspect.encoders.as_map`): those of
convolutions, of Swin with its channels last, and the tokens of vision transformers, of which the class token and
registers are left as they are.
"""

from __future__ import annotations

import difflib
import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor, nn

from chinspect.cam.question import Question, Target, ask
from chinspect.encoders import as_map, check_finite, check_layout, observing
from chinspect.errors import InputError
from chinspect.relevance import evaluation_mode

_FLAT = 1e-6  # of the largest value: ten times what single precision rounds to
_CHUNK = 64  # activations a pass: behind most layers there is little network left


@dataclass(frozen=True, eq=False)
class Layer:
    """A layer and what it puts out for the images of a question.

    Attributes:
        name: as in ``module.named_modules()``.
        runs: how often it runs in a pass; the last run is meant.
        question: what is explained.
        output: as the layer gives it.
        total: the sum of what is explained, with its way back to the output.
    """

    name: str
    runs: int
    module: nn.Module
    question: Question
    output: Tensor
    total: Tensor

    @cached_property
    def activations(self) -> Tensor:
        """(N, K, h, w)."""
        return _map_of(self.output.detach(), self.question.x)

    @cached_property
    def gradients(self) -> Tensor:
        """(N, K, h, w): of what is explained of each image, by its activations."""
        (gradient,) = torch.autograd.grad(self.total, self.output)
        return _map_of(gradient, self.question.x)

    def masks(self, i: int) -> Iterator[Tensor]:
        """The activations of image i as masks, enlarged to (n, H, W) and scaled to [0, 1], a few channels at a time."""
        for channels in self.activations[i].split(_CHUNK):
            yield unit_range(enlarged(channels, self.question.x))

    def resumed(self, i: int, activations: Tensor) -> Tensor:
        """(M,): what of image i is explained, where the layer puts out other activations (M, K, h, w) instead.

        What lies in front of the layer runs once a pass and not once for each, where the network allows that: each pass
        also holds the image's own activations, whose score is known.
        """
        known = self.scores[i]
        scores = []
        for chunk in activations.split(_CHUNK):
            together = torch.cat([self.activations[i : i + 1], chunk])
            values = self._continued(i, together, once=True)
            # single precision rounds differently in batches of another size, by far less than this
            if values is None or not torch.allclose(values[0], known, rtol=1e-3, atol=1e-4):
                values = self._continued(i, together, once=False)
            assert values is not None  # as many images went in as came out
            scores.append(values[1:])
        return torch.cat(scores)

    @cached_property
    def scores(self) -> Tensor:
        """(N,): what is explained."""
        return torch.cat([self.question.score(i, self.question.x[i : i + 1]) for i in range(len(self.question))])

    def _continued(self, i: int, activations: Tensor, *, once: bool) -> Tensor | None:
        """The scores (M,), or None where one image in front of the layer does not become M behind it."""
        own = self.question.x[i : i + 1]
        images = own.expand(len(activations), *own.shape[1:])
        output = self.output[i : i + 1].detach().repeat(len(activations), *[1] * (self.output.ndim - 1))
        _map_of(output, images).copy_(activations)
        replacing = _last_of(self.runs, lambda _output: output)
        submodule = dict(self.module.named_modules())[self.name]
        with evaluation_mode(self.module), torch.no_grad(), submodule.register_forward_hook(replacing):
            try:
                outputs = self.module(own if once else images)
            except RuntimeError:  # shapes that were noted in front of the layer
                if not once:
                    raise
                return None
        return self.question.scores[i](outputs) if len(outputs) == len(activations) else None


def open_layer(module: nn.Module, x: Tensor, name: str = "auto", target: Target = None) -> Layer:
    """A layer with its activations for images ``x`` (N, C, H, W), preprocessed.

    Args:
        name: of a submodule, whose output is (N, K, h, w), (N, h, w, K) as in Swin, or the tokens of a vision
            transformer (N, T, K); ``auto`` is the last one with a spatial grid that the output depends on, see
            `last_grid`.

    Raises `InputError` for a layer that does not exist, does not run once, returns no feature maps or maps whose axes
    cannot be told, for targets that do not fit, and for outputs that are not finite.
    """
    if not isinstance(module, nn.Module):
        raise InputError(f"a CAM reads the layers of a torch.nn.Module, not of a {type(module).__name__}: use rise.")
    name, runs = last_grid(module, x, target) if name == "auto" else (name, 1)
    submodule = _submodule(module, name)
    leaves: list[Tensor] = []
    with evaluation_mode(module), torch.enable_grad():
        with submodule.register_forward_hook(_last_of(runs, partial(_cut, x=x, name=name, leaves=leaves))):
            outputs = module(x)
        if len(leaves) != 1:
            raise InputError(f"a CAM needs a layer that runs once a pass, and {name!r} ran {len(leaves)} times.")
        question = ask(module, x, target, outputs)
        total = question.total(outputs)
    check_layout(leaves[0], x, module, name)
    return Layer(name, runs, module, question, leaves[0], total)


def last_grid(module: nn.Module, x: Tensor, target: Target = None) -> tuple[str, int]:
    """The last layer with a spatial grid that what is explained depends on: its name, and how often it runs.

    Of a layer that runs several times, as one activation function that stands in many places, the last run counts.
    Behind the last attention of a vision transformer whose class token is read, the output depends on no patch any
    more: the layer in front of that attention is taken. Of tokens, those count that are as wide as most are, so that
    neither queries nor neurons are taken for the tokens themselves.

    Raises `InputError` where there is none.
    """
    if x.ndim != 4:
        raise InputError(f"a CAM is of preprocessed images (N, C, H, W), not of {tuple(x.shape)}.")
    own = x[:1].detach().clone().requires_grad_()
    outputs: dict[str, Tensor] = {}
    runs: Counter[str] = Counter()

    def note(path: str, _module: nn.Module, _args: object, _kwargs: object, output: object) -> None:
        runs[path] += 1
        if isinstance(output, Tensor) and output.requires_grad and _has_grid(output, own):
            outputs.pop(path, None)
            outputs[path] = output

    with evaluation_mode(module), torch.enable_grad():
        with observing(module, note):
            answer = module(own)
        total = ask(module, own.detach(), _of_first(target), answer).total(answer)
        gradients = torch.autograd.grad(total, list(outputs.values()), allow_unused=True) if outputs else ()
    tokens = Counter(output.shape[2] for output in outputs.values() if output.ndim == 3)
    width = max(tokens, key=tokens.__getitem__, default=0)
    for (path, output), gradient in reversed(list(zip(outputs.items(), gradients, strict=True))):
        if output.ndim == 3 and output.shape[2] != width:
            continue
        if gradient is not None and bool(_map_of(gradient, own).any()):
            return path, runs[path]
    raise InputError(
        f"{type(module).__name__} has no layer with a spatial grid that its output depends on: name a layer."
    )


def enlarged(maps: Tensor, x: Tensor) -> Tensor:
    """Maps (n, h, w) at the resolution of images (N, C, H, W), by bilinear interpolation between centres of cells."""
    # align_corners would move what lies at the border of a map by half a cell
    return nn.functional.interpolate(maps[None], size=x.shape[2:], mode="bilinear", align_corners=False)[0]


def unit_range(maps: Tensor) -> Tensor:
    """Maps (n, H, W), each scaled to [0, 1]; those that have one value everywhere are 0."""
    low, span = ranges(maps)
    return torch.where(span > 0, (maps - low) / torch.where(span > 0, span, 1), 0)


def ranges(maps: Tensor) -> tuple[Tensor, Tensor]:
    """The lowest value of each of the maps (n, H, W), and how far the highest lies above it: (n, 1, 1)."""
    low, high = maps.flatten(1).aminmax(dim=1)
    span = high - low
    # one value everywhere differs in its last digit once it is enlarged, which must not become a mask
    flat = span <= _FLAT * torch.maximum(low.abs(), high.abs())
    return low[:, None, None], span.masked_fill(flat, 0)[:, None, None]


def _last_of(runs: int, change: Callable[[Any], Tensor]) -> Callable[..., Tensor | None]:
    """A hook that changes the output of every last of so many runs of a module."""
    count = itertools.count(1)
    return lambda _module, _inputs, output: change(output) if next(count) % runs == 0 else None


def _cut(output: object, *, x: Tensor, name: str, leaves: list[Tensor]) -> Tensor:
    """Below the layer nothing is computed backward, so operations of any kind may lie there."""
    if not isinstance(output, Tensor) or as_map(output, x) is None:
        shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise InputError(f"a CAM needs a layer of maps (N, K, h, w) or tokens (N, T, K), and {name!r} returns {shape}.")
    check_finite(output.detach(), f"the output of the layer {name!r}")
    leaves.append(output.detach().requires_grad_())
    return leaves[-1].clone()  # a copy, because the next layer may overwrite its input


def _map_of(output: Tensor, x: Tensor) -> Tensor:
    mapped = as_map(output, x)
    assert mapped is not None  # `_cut` and `_has_grid` have seen to it
    return mapped


def _has_grid(output: Tensor, x: Tensor) -> bool:
    """Whether an output of one image is a map of more than one cell, with the aspect of the image up to a cell."""
    if output.ndim not in (3, 4) or len(output) != 1:
        return False
    mapped = as_map(output, x)
    if mapped is None:
        return False
    rows, columns = mapped.shape[2:]
    height, width = x.shape[2:]
    return rows > 1 and columns > 1 and abs(rows * width - columns * height) < max(height, width)


def _of_first(target: Target) -> Target:
    """The target of the first image alone."""
    return target[:1] if isinstance(target, Tensor) else target


def _submodule(module: nn.Module, name: str) -> nn.Module:
    named = dict(module.named_modules())
    named.pop("")  # the module itself
    if name in named:
        return named[name]
    # cutoff: near enough for a misspelled index or a missing prefix of a long path
    close = difflib.get_close_matches(name, named, n=3, cutoff=0.4)
    hint = f" (close: {', '.join(close)})" if close else ""
    raise InputError(f"there is no layer {name!r} in {type(module).__name__}{hint}: see named_modules().")
