"""What the layers of an encoder put out: their shapes, which axis holds the channels, which of them can be edited."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from chinspect.encoders.encoder import Encoder
from chinspect.errors import InputError, did_you_mean
from chinspect.relevance import evaluation_mode

Observer = Callable[[str, nn.Module, tuple[Any, ...], dict[str, Any], Any], None]
Shape = tuple[int, ...]
Shapes = dict[str, list[Shape]]
_PROJECTIONS = ("proj", "out_proj")
_LISTED = 12


@contextmanager
def observing(module: nn.Module, observer: Observer) -> Iterator[None]:
    """Calls the observer with path, module, arguments, keywords and output of each submodule that runs."""
    handles = [
        inner.register_forward_hook(
            lambda inner, args, kwargs, output, path=path: observer(path, inner, args, kwargs, output),
            with_kwargs=True,
        )
        for path, inner in module.named_modules()
        if path
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def output_shapes(encoder: Encoder) -> Shapes:
    """By path the shape of each output in one pass, () for what is no tensor; several where a layer runs again."""
    shapes: Shapes = {}

    def note(path: str, _module: nn.Module, _args: Any, _kwargs: Any, output: Any) -> None:
        if isinstance(output, tuple) and output:  # nn.MultiheadAttention gives its weights beside its tokens
            output = output[0]
        shapes.setdefault(path, []).append(tuple(output.shape) if isinstance(output, Tensor) else ())

    size = encoder.preprocessing.size
    with observing(encoder.module, note), evaluation_mode(encoder.module), torch.no_grad():
        encoder.module(torch.zeros(1, 3, size, size, device=encoder.device))
    return shapes


def output_shape(encoder: Encoder, layer: str) -> Shape:
    """The shape of the output of a layer for one image; `InputError` unless it is one map, of channels, and runs once.

    Args:
        layer: path as in `named_modules`.
    """
    modules = dict(encoder.module.named_modules())
    if not layer or layer not in modules:
        known = ", ".join(candidate_layers(encoder)[:_LISTED])
        raise InputError(
            f"{encoder.name!r} has no layer {layer!r}{did_you_mean(layer, modules)}; some of its layers are {known}."
        )
    shapes = output_shapes(encoder)
    runs = shapes.get(layer, [])
    if len(runs) != 1:
        raise InputError(f"The layer {layer!r} runs {len(runs)} times in a pass, not once: choose the one around it.")
    shape = runs[0]
    if not 2 <= len(shape) <= 4:
        raise InputError(f"The layer {layer!r} puts out no map (N, C, H, W), tokens (N, T, C) or vectors (N, C).")
    if _ambiguous(shape, shapes):
        raise InputError(
            f"Which axis of the output {shape} of the layer {layer!r} holds channels is not known: choose "
            "another layer, as some maps of this network have them last."
        )
    return shape


def channel_axis(shape: Shape) -> int:
    """Which axis of an output holds the channels: 1 of a map (N, C, H, W), else the last."""
    return 1 if len(shape) == 4 and not _channels_last(shape) else len(shape) - 1


def _channels_last(shape: Shape) -> bool:
    """Whether this is a map (N, H, W, C) beyond doubt."""
    return len(shape) == 4 and shape[1] == shape[2] != shape[3]


def _ambiguous(shape: Shape, shapes: Shapes) -> bool:
    """Whether a map has three equal sides in a network where some maps have their channels last."""
    cube = len(shape) == 4 and shape[1] == shape[2] == shape[3]
    return cube and any(_channels_last(other) for runs in shapes.values() for other in runs)


def attention_projection(module: nn.Module) -> tuple[str, int] | None:
    """Name of the linear layer that mixes the heads of an attention module, and their number; None for others."""
    count = getattr(module, "num_heads", None)
    for name in _PROJECTIONS:
        projection = getattr(module, name, None)
        if isinstance(count, int) and isinstance(projection, nn.Linear) and projection.in_features % count == 0:
            return name, count
    return None


def candidate_layers(encoder: Encoder) -> list[str]:
    """Layers to look for an artefact in, in the order of the modules: each runs once and has channels of its own.

    They are the activations (of convolutions, and of the neurons of transformers), the attention modules (for their
    heads), and the blocks that a network repeats (for the channels of their sum, or the tokens).
    """
    shapes = output_shapes(encoder)
    modules = {path: module for path, module in encoder.module.named_modules() if _has_channels(path, shapes)}
    attention = tuple(f"{path}." for path, module in modules.items() if attention_projection(module))
    outside = {path: module for path, module in modules.items() if not path.startswith(attention)}
    return [path for path in outside if _is_candidate(path, outside)]


def _has_channels(path: str, shapes: Shapes) -> bool:
    """Whether a layer ran once, and put out one map or tokens of the one image, with channels that are known."""
    runs = shapes.get(path, [])
    return len(runs) == 1 and len(runs[0]) in (3, 4) and runs[0][0] == 1 and not _ambiguous(runs[0], shapes)


def _is_candidate(path: str, modules: dict[str, nn.Module]) -> bool:
    module = modules[path]
    if attention_projection(module) is not None or _is_activation(module):
        return True
    if not re.search(r"\d$", path) or type(module) is nn.Sequential:  # repeated blocks are numbered
        return False
    inner = [name for name, _ in module.named_children()]
    return bool(inner) and not _is_activation(modules.get(f"{path}.{inner[-1]}"))  # which would be the block's output


def _is_activation(module: nn.Module | None) -> bool:
    return isinstance(module, _ACTIVATIONS) or type(module).__name__ in _NAMED


_ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.GELU, nn.SiLU, nn.Hardswish, nn.LeakyReLU, nn.ELU, nn.Mish)
_NAMED = ("QuickGELU", "GELUTanh", "Swish")
