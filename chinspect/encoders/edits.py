"""Edits of an encoder: channels that are silenced, directions that are projected out, weights that are trained anew.

Each can be undone: the encoder that is edited keeps its modules and its weights. A layer with the output ``a`` is made
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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self, cast

import torch
from torch import Tensor, nn

from chinspect.encoders.encoder import Encoder
from chinspect.encoders.layers import attention_projection, channel_axis, output_shape
from chinspect.errors import InputError, one_line
from chinspect.images import Fit


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


@dataclass(frozen=True, eq=False, kw_only=True)
class EditedEncoder(Encoder):
    """An encoder that differs from its base by edits; the two share their parameters unless these are trained anew."""

    base: Encoder
    edits: tuple[Edit, ...]

    def fitted(self, fit: Fit | None) -> Self:
        """As of each encoder; the base, beside which it is judged, sees images in the same way."""
        return replace(super().fitted(fit), base=self.base.fitted(fit))


def edited(encoder: Encoder, *edits: Edit) -> EditedEncoder:
    """A new encoder with the edits; the one that is passed stays as it is.

    Edits of an edited encoder join those that it has; of several `Retrain` the last one holds.

    Raises `InputError` for a layer that is not there or does not run exactly once, for channels, rows or a direction
    that do not fit its output, and for weights that are not those of the encoder by name and shape.
    """
    base = encoder
    if isinstance(encoder, EditedEncoder):
        base = encoder.base
        edits = (*encoder.edits, *edits)
    module = _copy(base.module, [edit for edit in edits if isinstance(edit, Retrain)])
    _apply(replace(base, module=module), [edit for edit in edits if not isinstance(edit, Retrain)])
    return EditedEncoder(f"{base.name}, edited", module, base.preprocessing, base.card, base=base, edits=edits)


class Edited(nn.Module):
    """A layer and what is done to its output."""

    def __init__(self, layer: nn.Module, change: nn.Module) -> None:
        super().__init__()
        self.layer = layer
        self.change = change
        self.train(layer.training)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.change(self.layer(*args, **kwargs))


class _Keep(nn.Module):
    """Multiplies by a mask of 0 and 1. Its name counts in the fingerprints of encoders that were saved."""

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
        excess = (x * self.direction).sum(self.axis, keepdim=True) - self.level
        return x - excess * self.direction


def _copy(module: nn.Module, retrained: Sequence[Retrain]) -> nn.Module:
    """The module with the same parameters, or with those that were trained anew."""
    if not retrained:
        same = {id(tensor): tensor for tensor in (*module.parameters(), *module.buffers())}
        return copy.deepcopy(module, same)
    changed = copy.deepcopy(module)
    try:
        changed.load_state_dict(retrained[-1].weights)
    except RuntimeError as error:
        raise InputError(f"The weights are not those of the encoder ({one_line(error)}).") from error
    return changed


def _apply(encoder: Encoder, edits: Sequence[LayerEdit]) -> None:
    """Replaces modules in place. All edits fit, or none is made."""
    # Parents are looked up before anything is replaced: an edit inside an edited layer still finds its own.
    for parent, name, change in [_planned(encoder, edit) for edit in edits]:
        original = getattr(parent, name)
        changed = _masked(original, change) if isinstance(change, Tensor) else Edited(original, change)
        setattr(parent, name, changed.to(encoder.device).requires_grad_(False))


def _planned(encoder: Encoder, edit: LayerEdit) -> tuple[nn.Module, str, nn.Module | Tensor]:
    """Parent and name of the module to replace, and what its output passes, or a mask of its inputs (heads)."""
    shape = output_shape(encoder, edit.layer)
    module = encoder.module.get_submodule(edit.layer)
    heads = attention_projection(module)
    if heads is not None and isinstance(edit, Prune):
        name, count = heads
        width = cast(nn.Linear, module.get_submodule(name)).in_features
        _check_channels(edit, count)
        mask = torch.ones(count, width // count)
        mask[list(edit.channels)] = 0
        return module, name, mask.flatten()
    path, _, name = edit.layer.rpartition(".")
    parent = encoder.module.get_submodule(path)
    axis = channel_axis(shape)
    if isinstance(edit, Prune):
        return parent, name, _Keep(_mask(edit, shape, axis))
    if len(edit.direction) != shape[axis]:
        raise InputError(f"The layer {edit.layer!r} has {shape[axis]} channels, not {len(edit.direction)}.")
    return parent, name, _Remove(edit.direction, edit.level, axis, len(shape))


def _mask(edit: Prune, shape: tuple[int, ...], axis: int) -> Tensor:
    """Zeros for the channels in their rows and ones elsewhere, of the shape of the output for one image."""
    _check_channels(edit, shape[axis])
    mask = torch.ones(shape[1:])
    channels_first = mask.movedim(axis - 1, 0)  # a view: (C, H, W), (C, T) or (C,)
    if edit.rows is None:
        channels_first[list(edit.channels)] = 0
        return mask
    first, stop = edit.rows
    if len(shape) != 4 or not 0 <= first < stop <= channels_first.shape[1]:
        raise InputError(f"The output {shape} of the layer {edit.layer!r} has no rows {first} to {stop}.")
    channels_first[list(edit.channels), first:stop] = 0
    return mask


def _check_channels(edit: Prune, count: int) -> None:
    outside = [channel for channel in edit.channels if not 0 <= channel < count]
    if outside:
        raise InputError(f"The layer {edit.layer!r} has the channels 0 to {count - 1}, and no {outside[0]}.")


def _masked(projection: nn.Module, mask: Tensor) -> nn.Module:
    """A copy of a linear layer that reads nothing from some of its inputs; the bias is shared."""
    weight: Any = projection.weight
    masked = copy.deepcopy(projection, {id(tensor): tensor for tensor in projection.parameters()})
    masked.weight = nn.Parameter(weight * mask.to(weight), requires_grad=False)
    return masked
