"""What responds to an artefact in a layer, channels or a direction: the same images with it and without it, compared.

With ``a_nc`` the mean activation of channel c for image n over the rows that the artefact reaches,

    difference_c = | mean_n (a_nc with - a_nc without) |

ranks the channels of one layer (Kauffmann et al. 2025); for the heads of an attention module ``a`` is the vector that
the head hands to the output projection, and ``|.|`` its Euclidean norm. Layers are compared by what a pruning of their
first k channels repairs: with ``f`` the encoder, ``f'`` the pruned one, x plain images and x* those with the artefact,

    repair = 1 - mean ||f'(x*) - f(x)||^2 / mean ||f(x*) - f(x)||^2 ,

1 if the artefact is gone and nothing else, 0 if nothing is gained, negative if the pruning harms more than it helps. No
labels are needed.

The direction of a concept is its pattern: with ``a_n`` (C,), averaged over all positions, and ``t_n``, 1 with the
artefact and 0 without,

    v ~ cov(a, t) / var(t), the difference of the means: where the concept moves activations to.

The weights of a classifier of t from a would also point away from what disturbs its decision, so that they may hardly
lie along the concept's own signal (Haufe et al. 2014; Pahde et al. 2022). The projection ``a - v (<v, a> - level)``
keeps the level of plain images, as P-ClArC does (Anders et al. 2022, section 3.3).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from chinspect.encoders import (
    Edit,
    Encoder,
    Project,
    Prune,
    attention_projection,
    candidate_layers,
    channel_axis,
    edited,
    observing,
    output_shape,
)
from chinspect.errors import InputError
from chinspect.readouts import Pairs

E = TypeVar("E", bound=Edit)
Where = Literal["artefact", "all"]
Rows = tuple[int, int] | None
Values = NDArray[np.float64]


def responsiveness(
    encoder: Encoder, pairs: Pairs, layers: str | Sequence[str] | None = None, *, rows: Where = "artefact"
) -> pd.DataFrame:
    """How much each channel responds.

    Args:
        layers: paths as in `named_modules`; None for all `candidate_layers`.
        rows: ``artefact`` looks at, and prunes, the rows of a map that the artefact reaches, and one row more on each
            side; ``all`` at all of them. Tokens have no rows.

    Returns:
        One row a channel: layer, channel, difference, first and stop (rows of the map, -1 for all of them);
        within a layer the largest difference first.

    Raises `InputError` for images that are the same with the artefact and without it, and for unknown layers.
    """
    names = candidate_layers(encoder) if layers is None else [layers] if isinstance(layers, str) else layers
    changed = pairs.inputs(encoder)[1].any(2).any(0).nonzero()
    reached = int(changed[0]), int(changed[-1]) + 1
    regions = {layer: _region(encoder, layer, reached) for layer in names}
    if rows == "all":
        regions = dict.fromkeys(regions)
    after = activations(encoder, pairs.with_artefact, regions)
    before = activations(encoder, pairs.without, regions)
    tables = []
    for layer, region in regions.items():
        difference = np.linalg.norm((after[layer] - before[layer]).mean(0), axis=1)
        order = np.argsort(-difference, kind="stable")
        first, stop = region or (-1, -1)
        columns = {"layer": layer, "channel": order, "difference": difference[order], "first": first, "stop": stop}
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables)


def rank_edits(encoder: Encoder, edits: Sequence[E], pairs: Pairs) -> list[tuple[E, float]]:
    """Edits and what each repairs, the best first; see the module.

    Raises `InputError` if the artefact changes no embedding.
    """
    plain = encoder.embed(pairs.without)
    damage = (encoder.embed(pairs.with_artefact) - plain).square().sum()
    if not damage > 0:
        raise InputError(f"The artefact changes no embedding of {encoder.name!r}: there is nothing to repair.")
    repairs = []
    for edit in edits:
        after = edited(encoder, edit).embed(pairs.with_artefact)
        repairs.append((edit, float(1 - (after - plain).square().sum() / damage)))
    return sorted(repairs, key=lambda repair: -repair[1])


def top_channels(table: pd.DataFrame, layer: str, k: int) -> Prune:
    """The first k channels of a layer in a table of `responsiveness`, as an edit."""
    rows = table[table["layer"] == layer]
    if not 1 <= k <= len(rows):
        raise InputError(f"The layer {layer!r} has {len(rows)} channels: choose k from 1 to {len(rows)}, not {k}.")
    first = int(rows["first"].iloc[0])
    region = None if first < 0 else (first, int(rows["stop"].iloc[0]))
    return Prune(layer, tuple(rows["channel"].iloc[:k].tolist()), region)


def random_channels(table: pd.DataFrame, edit: Prune, seed: int) -> Prune:
    """As many other channels of the same layer and rows, at random: the control of a pruning."""
    others = np.setdiff1d(table.loc[table["layer"] == edit.layer, "channel"], edit.channels)
    drawn = np.random.default_rng(seed).permutation(others)[: len(edit.channels)]
    return Prune(edit.layer, tuple(sorted(drawn.tolist())), edit.rows)


def concept_direction(encoder: Encoder, layer: str, pairs: Pairs) -> Project:
    """The edit that projects the concept out at a layer; see the module.

    Args:
        layer: path as in `named_modules`; not an attention module, whose channels are heads.

    Raises `InputError` for an unknown layer, or activations that do not differ.
    """
    output_shape(encoder, layer)  # an error where the layer has no single map
    if attention_projection(encoder.module.get_submodule(layer)) is not None:
        raise InputError(f"The layer {layer!r} is an attention module: choose the block around it.")
    after, before = (
        activations(encoder, images, {layer: None})[layer][:, :, 0].mean(0)
        for images in (pairs.with_artefact, pairs.without)
    )
    vector = after - before
    if not np.linalg.norm(vector) > 0:
        raise InputError(f"The layer {layer!r} does not respond to the artefact: there is no direction to project out.")
    vector = vector / np.linalg.norm(vector)
    return Project(layer, torch.from_numpy(vector), float(before @ vector))


@torch.no_grad()
def activations(encoder: Encoder, pictures: Sequence[Image.Image], regions: Mapping[str, Rows]) -> dict[str, Values]:
    """By layer the activations of each picture, averaged over the positions of a region: (N, channels, width).

    The width is 1, for attention modules that of a head.
    """
    values: dict[str, list[Tensor]] = {layer: [] for layer in regions}
    heads = {layer: attention_projection(encoder.module.get_submodule(layer)) for layer in regions}
    projections = {f"{layer}.{head[0]}": (layer, head[1]) for layer, head in heads.items() if head is not None}

    def note(path: str, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        if isinstance(module, nn.MultiheadAttention) and path in regions:
            values[path].append(_heads(_unprojected(module, args, kwargs), module.num_heads))
        elif path in projections:
            layer, count = projections[path]
            values[layer].append(_heads(args[0], count))
        elif path in regions and heads[path] is None:
            maps = output.movedim(channel_axis(tuple(output.shape)), 1)
            rows = regions[path]
            region = maps if rows is None else maps[:, :, slice(*rows)]
            values[path].append(region.reshape(*maps.shape[:2], -1).mean(2, keepdim=True))

    with observing(encoder.module, note):
        encoder.embed(pictures)
    # in double precision, as means of many images are subtracted that differ little
    return {layer: torch.cat(batches).double().cpu().numpy() for layer, batches in values.items()}


def _heads(tokens: Tensor, count: int) -> Tensor:
    return tokens.mean(1).unflatten(-1, (count, -1))


def _unprojected(module: nn.MultiheadAttention, args: Any, kwargs: Any) -> Tensor:
    """What the heads of torch's own attention hand over: its output under the identity as projection."""
    identity = copy.deepcopy(module.out_proj)
    nn.init.eye_(identity.weight)
    if identity.bias is not None:
        nn.init.zeros_(identity.bias)
    bare = copy.copy(module)
    bare._modules = {**module._modules, "out_proj": identity}
    output: Tensor = bare.forward(*args, **kwargs)[0]  # not called, so that nobody observes it
    return output if module.batch_first else output.transpose(0, 1)


def _region(encoder: Encoder, layer: str, reached: tuple[int, int]) -> Rows:
    """The rows of a layer's map that lie over some rows of the input."""
    shape = output_shape(encoder, layer)
    if len(shape) != 4 or attention_projection(encoder.module.get_submodule(layer)) is not None:
        return None
    height = shape[2 if channel_axis(shape) == 1 else 1]
    scale = height / encoder.preprocessing.size
    # one row more on each side, as the layers before spread the artefact a little
    first = max(int(reached[0] * scale) - 1, 0)
    stop = min(int(np.ceil(reached[1] * scale)) + 1, height)
    return None if (first, stop) == (0, height) else (first, stop)
