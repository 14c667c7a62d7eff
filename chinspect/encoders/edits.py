"""Edits of an encoder: channels that are silenced, directions that are projected out, weights that are trained anew.

Each can be undone: the encoder that was given keeps its modules and its weights. A layer with the output ``a`` is made
to return

    Prune:    a_c = 0                          for the channels c, in some rows of the map or in all,
    Project:  a - v (<v, a> - level)           at every position, for a unit vector v over the channels.

`Retrain` puts other weights into the same modules, before layers are edited.

The layer is named as in `named_modules`, and must run exactly once a pass, so that it is known which map is meant. Its
channels are the second axis of a map (N, C, H, W), the last one of tokens (N, T, C) and of maps (N, H, W, C), which
are told by their square sides; for an attention module the channels are its heads, which are silenced where they are
mixed, in a copy of its output projection.

Sources: pruning of responsive filters, Kauffmann et al. 2025; projection, P-ClArC of Anders et al. 2022.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from chinspect.encoders.encoder import Encoder
from chinspect.encoders.layers import attention_projection, channel_axis, output_shape
from chinspect.errors import InputError


@dataclass(frozen=True)
class Prune:
    """Channels (heads of an attention module) to silence; ``rows`` (first, stop) of a map, or all of it."""

    layer: str
    channels: tuple[int, ...]
    rows: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if not self.channels or len(set(self.channels)) < len(self.channels):
            raise InputError(f"The channels to prune are at least one, each given once, not {self.channels!r}.")


@dataclass(frozen=True, eq=False)
class Project:
    """A direction (C,) to project out, scaled to length 1, and the level that stays in its place."""

    layer: str
    direction: Tensor
    level: float = 0.0

    def __post_init__(self) -> None:
        vector = torch.as_tensor(self.direction).detach().double().cpu()
        if vector.ndim != 1 or not bool(vector.isfinite().all()) or not float(vector.norm()) > 0:
            raise InputError(f"A direction is a finite vector (C,) other than zero, not {tuple(vector.shape)}.")
        if not math.isfinite(self.level):
            raise InputError(f"The level of a projection must be finite, not {self.level!r}.")
        object.__setattr__(self, "direction", (vector / vector.norm()).float())


@dataclass(frozen=True, eq=False)
class Retrain:
    """Other values for all parameters and buffers, by their names in `state_dict`."""

    weights: Mapping[str, Tensor]


LayerEdit = Prune | Project
Edit = LayerEdit | Retrain


@dataclass(frozen=True, eq=False)
class EditedEncoder(Encoder):
    """An encoder that differs from its base by edits; the two share their parameters unless these are trained anew."""

    base: Encoder
    edits: tuple[Edit, ...]


def edited(encoder: Encoder, *edits: Edit) -> EditedEncoder:
    """A new encoder with the edits; the given one stays as it is.

    Edits of an edited encoder join those that it has; of several `Retrain` the last one holds.

    Raises `InputError` for a layer that is not there or does not run exactly once, for channels, rows or a direction
    that do not fit its output, and for weights that are not those of the encoder by name and shape.
    """
    base, before = (encoder.base, encoder.edits) if isinstance(encoder, EditedEncoder) else (encoder, ())
    both = (*before, *edits)
    module = _copy(base.module, [edit for edit in both if isinstance(edit, Retrain)])
    _apply(replace(base, module=module), tuple(edit for edit in both if not isinstance(edit, Retrain)))
    return EditedEncoder(f"{base.name}, edited", module, base.preprocessing, base.card, base, both)


@contextmanager
def temporarily(encoder: Encoder, *edits: LayerEdit) -> Iterator[Encoder]:
    """The encoder itself with the edits, for the time of the context: its own modules come back, also after an error.

    Raises `InputError` as `edited` does.
    """
    if isinstance(encoder, EditedEncoder) or any(isinstance(edit, Retrain) for edit in edits):
        raise InputError("Only edits of layers are made in place, and of an encoder without edits: use edited().")
    done = _apply(encoder, edits)
    try:
        yield encoder
    finally:
        for parent, name, original in reversed(done):
            setattr(parent, name, original)


def prune_channels(
    encoder: Encoder, layer: str, channels: tuple[int, ...], *, rows: tuple[int, int] | None = None
) -> EditedEncoder:
    """The encoder with silent channels of a layer; see `Prune` and `edited`."""
    return edited(encoder, Prune(layer, tuple(channels), rows))


def project_out(encoder: Encoder, layer: str, direction: Tensor, *, level: float = 0.0) -> EditedEncoder:
    """The encoder without a direction at a layer; see `Project` and `edited`."""
    return edited(encoder, Project(layer, direction, level))


class Edited(nn.Module):
    """A layer and what is done to its output."""

    def __init__(self, layer: nn.Module, change: nn.Module) -> None:
        super().__init__()
        self.layer, self.change = layer, change
        self.training = layer.training

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.change(self.layer(*args, **kwargs))


class _Keep(nn.Module):
    """Multiplies by 0 and 1."""

    keep: Tensor

    def __init__(self, keep: Tensor) -> None:
        super().__init__()
        self.register_buffer("keep", keep)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.keep


class _Remove(nn.Module):
    """Takes a direction out along the channel axis."""

    direction: Tensor
    level: Tensor

    def __init__(self, direction: Tensor, level: float, axis: int, rank: int) -> None:
        super().__init__()
        self.axis = axis
        self.register_buffer("direction", direction.view(-1, *[1] * (rank - 1 - axis)))
        self.register_buffer("level", torch.tensor(level))

    def forward(self, x: Tensor) -> Tensor:
        share = (x * self.direction).sum(self.axis, keepdim=True) - self.level
        return x - share * self.direction


_Done = list[tuple[nn.Module, str, nn.Module]]


def _copy(module: nn.Module, retrained: Sequence[Retrain]) -> nn.Module:
    """The module with the same parameters, or with those that were trained anew."""
    if not retrained:
        shared = {id(tensor): tensor for tensor in (*module.parameters(), *module.buffers())}
        return copy.deepcopy(module, shared)
    changed = copy.deepcopy(module)
    try:
        changed.load_state_dict(retrained[-1].weights)
    except RuntimeError as error:
        raise InputError(f"The weights are not those of the encoder ({' '.join(str(error).split())[:200]}).") from error
    return changed


def _apply(encoder: Encoder, edits: tuple[LayerEdit, ...]) -> _Done:
    """Replaces modules in place; returns the parents, names and original modules. All edits fit, or none is made."""
    root = encoder.module
    planned = [_planned(encoder, edit) for edit in edits]
    places = [(root.get_submodule(path.rpartition(".")[0]), path.rpartition(".")[2], made) for path, made in planned]
    done: _Done = []
    for parent, name, made in places:
        original = getattr(parent, name)
        done.append((parent, name, original))
        changed = _masked(original, made) if isinstance(made, Tensor) else Edited(original, made)
        setattr(parent, name, changed.to(encoder.device).requires_grad_(False))
    return done


def _planned(encoder: Encoder, edit: LayerEdit) -> tuple[str, nn.Module | Tensor]:
    """The path of the module to replace, and what its output passes, or a mask of its inputs (heads)."""
    shape = output_shape(encoder, edit.layer)
    module = encoder.module.get_submodule(edit.layer)
    heads = attention_projection(module)
    if heads is not None and isinstance(edit, Prune):
        name, count = heads
        width = cast(nn.Linear, module.get_submodule(name)).in_features
        _check(edit, (1, count))
        keep = torch.ones(count, width // count)
        keep[list(edit.channels)] = 0
        return f"{edit.layer}.{name}", keep.flatten()
    axis = channel_axis(shape)
    if isinstance(edit, Prune):
        return edit.layer, _Keep(_keep(edit, shape, axis))
    if len(edit.direction) != shape[axis]:
        raise InputError(f"The layer {edit.layer!r} has {shape[axis]} channels, not {len(edit.direction)}.")
    return edit.layer, _Remove(edit.direction, edit.level, axis, len(shape))


def _keep(edit: Prune, shape: tuple[int, ...], axis: int) -> Tensor:
    _check(edit, (shape[0], shape[axis]))
    keep = torch.ones(shape[1:])
    first, stop = edit.rows or (0, 0)
    if edit.rows is not None and (len(shape) != 4 or not 0 <= first < stop <= (shape[2] if axis == 1 else shape[1])):
        raise InputError(f"The output {shape} of the layer {edit.layer!r} has no rows {first} to {stop}.")
    region = slice(None) if edit.rows is None else slice(first, stop)
    for channel in edit.channels:
        if axis == 1 and len(shape) == 4:
            keep[channel, region] = 0
        elif len(shape) == 4:
            keep[region, :, channel] = 0
        else:
            keep[..., channel] = 0
    return keep


def _check(edit: Prune, shape: tuple[int, int]) -> None:
    outside = [channel for channel in edit.channels if not 0 <= channel < shape[1]]
    if outside:
        raise InputError(f"The layer {edit.layer!r} has the channels 0 to {shape[1] - 1}, and no {outside[0]}.")


def _masked(projection: nn.Module, keep: Tensor) -> nn.Module:
    """A copy of a linear layer that reads nothing from some of its inputs; the bias is shared."""
    weight: Any = projection.weight
    shared = {id(tensor): tensor for tensor in projection.parameters()}
    masked = copy.deepcopy(projection, shared)
    masked.weight = nn.Parameter(weight * keep.to(weight), requires_grad=False)
    return masked
