"""Which channels respond to an artefact: activations of the same images with it and without it, compared.

With ``a_nc`` the mean activation of channel c for image n over the rows that the artefact reaches,

    difference_c = | mean_n (a_nc with - a_nc without) |

ranks the channels of one layer (Kauffmann et al. 2025); for the heads of an attention module ``a`` is the vector that
the head hands to the output projection, and ``|.|`` its Euclidean norm. Layers are compared by what a pruning of their
first k channels repairs: with ``f`` the encoder, ``f'`` the pruned one, x plain images and x* those with the artefact,

    repair = 1 - mean ||f'(x*) - f(x)||^2 / mean ||f(x*) - f(x)||^2 ,

1 if the artefact is gone and nothing else, 0 if nothing is gained, negative if the pruning harms more than it helps. No
labels are needed.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Literal, TypeVar

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from chinspect.encoders import Encoder
from chinspect.encoders.edits import Edit, Prune, edited
from chinspect.encoders.layers import attention_projection, candidate_layers, channel_axis, observing, output_shape
from chinspect.errors import InputError

E = TypeVar("E", bound=Edit)
Where = Literal["artefact", "all"]
Rows = tuple[int, int] | None
Values = NDArray[np.float64]
_BATCH = 32


def select_responsive(
    encoder: Encoder,
    layers: str | Sequence[str] | None,
    with_artefact: Sequence[Image.Image],
    without: Sequence[Image.Image],
    k: int = 5,
    *,
    rows: Where = "artefact",
) -> Prune:
    """The k channels that respond most in that layer where pruning them repairs most, as an edit; see `responsiveness`.

    Raises `InputError` also if no layer has k channels.
    """
    table = responsiveness(encoder, layers, with_artefact, without, rows=rows)
    counts = table.groupby("layer", sort=False).size()
    edits = [top_channels(table, str(layer), k) for layer in counts.index[counts >= k]]
    if not edits:
        raise InputError(f"No layer has {k!r} channels: the largest one has {counts.max()}.")
    return rank_edits(encoder, edits, with_artefact, without)[0][0]


def responsiveness(
    encoder: Encoder,
    layers: str | Sequence[str] | None,
    with_artefact: Sequence[Image.Image],
    without: Sequence[Image.Image],
    *,
    rows: Where = "artefact",
) -> pd.DataFrame:
    """How much each channel responds.

    Args:
        layers: paths as in `named_modules`; None for all `candidate_layers`.
        with_artefact, without: the same images, in the same order.
        rows: ``artefact`` looks at, and prunes, the rows of a map that the artefact reaches, and one row more on each
            side; ``all`` at all of them. Tokens have no rows.

    Returns:
        One row a channel: layer, channel, difference, first and stop (rows of the map, -1 for all of them);
        within a layer the largest difference first.

    Raises `InputError` for images that do not form pairs or are all the same, and for unknown layers.
    """
    if len(with_artefact) != len(without) or len(without) < 2:
        raise InputError(f"Pairs of images are needed, two at least, not {len(with_artefact)} and {len(without)}.")
    chosen = candidate_layers(encoder) if layers is None else [layers] if isinstance(layers, str) else list(layers)
    touched = _touched_rows(encoder, with_artefact, without)
    regions = {layer: _region(encoder, layer, touched) if rows == "artefact" else None for layer in chosen}
    after, before = (activations(encoder, pictures, regions) for pictures in (with_artefact, without))
    return pd.concat([_compared(layer, regions[layer], after[layer], before[layer]) for layer in chosen])


def rank_edits(
    encoder: Encoder, edits: Sequence[E], with_artefact: Sequence[Image.Image], without: Sequence[Image.Image]
) -> list[tuple[E, float]]:
    """Edits and what each repairs, the best first; see the module.

    Raises `InputError` if the artefact changes no embedding.
    """
    plain, before = encoder.embed(without), encoder.embed(with_artefact)
    damage = (before - plain).square().sum()
    if not damage > 0:
        raise InputError(f"The artefact changes no embedding of {encoder.name!r}: there is nothing to repair.")
    repairs = []
    for edit in edits:
        after = edited(encoder, edit).embed(with_artefact)
        repairs.append((edit, float(1 - (after - plain).square().sum() / damage)))
    return sorted(repairs, key=lambda repair: -repair[1])


def top_channels(table: pd.DataFrame, layer: str, k: int) -> Prune:
    """The first k channels of a layer, as an edit."""
    rows = table[table["layer"] == layer]
    if not 1 <= k <= len(rows):
        raise InputError(f"The layer {layer!r} has {len(rows)} channels: choose k from 1 to {len(rows)}, not {k}.")
    first, stop = int(rows["first"].iloc[0]), int(rows["stop"].iloc[0])
    return Prune(layer, tuple(rows["channel"].iloc[:k].tolist()), None if first < 0 else (first, stop))


def random_channels(table: pd.DataFrame, edit: Prune, seed: int) -> Prune:
    """As many other channels of the same layer and rows, at random: the control of a pruning."""
    others = np.setdiff1d(table.loc[table["layer"] == edit.layer, "channel"], edit.channels)
    drawn = np.random.default_rng(seed).permutation(others)[: len(edit.channels)]
    return Prune(edit.layer, tuple(sorted(drawn.tolist())), edit.rows)


@torch.no_grad()
def activations(
    encoder: Encoder, pictures: Sequence[Image.Image], regions: dict[str, Rows]
) -> dict[str, NDArray[np.float64]]:
    """By layer the activations of each picture, averaged over the positions of a region: (N, channels, width).

    The width is 1, for attention modules that of a head.
    """
    found: dict[str, list[Tensor]] = {layer: [] for layer in regions}
    heads = {layer: attention_projection(encoder.module.get_submodule(layer)) for layer in regions}
    inputs = {f"{layer}.{head[0]}": (layer, head[1]) for layer, head in heads.items() if head is not None}

    def note(path: str, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        if isinstance(module, nn.MultiheadAttention) and path in regions:
            found[path].append(_heads(_unprojected(module, args, kwargs), module.num_heads))
        elif path in inputs:
            found[inputs[path][0]].append(_heads(args[0], inputs[path][1]))
        elif path in regions and heads[path] is None:
            found[path].append(_pooled(output, regions[path]))

    with observing(encoder.module, note):
        for start in range(0, len(pictures), _BATCH):
            encoder.embed(pictures[start : start + _BATCH])
    return {layer: torch.cat(parts).double().cpu().numpy() for layer, parts in found.items()}


def _unprojected(module: nn.MultiheadAttention, args: Any, kwargs: Any) -> Tensor:
    """What the heads of torch's own attention hand over: its output under the identity as projection."""
    identity = nn.Linear(module.embed_dim, module.embed_dim, bias=module.out_proj.bias is not None)
    identity = identity.to(module.out_proj.weight).requires_grad_(False)
    nn.init.eye_(identity.weight)
    if identity.bias is not None:
        nn.init.zeros_(identity.bias)
    bare = copy.copy(module)
    bare._modules = dict(module._modules) | {"out_proj": identity}
    output: Tensor = bare.forward(*args, **kwargs)[0]  # not called, so that nobody observes it
    return output if module.batch_first else output.transpose(0, 1)


def _heads(tokens: Tensor, count: int) -> Tensor:
    return tokens.mean(1).unflatten(-1, (count, -1))


def _pooled(output: Tensor, rows: Rows) -> Tensor:
    maps = output.movedim(channel_axis(tuple(output.shape)), 1)
    region = maps if rows is None else maps[:, :, slice(*rows)]
    return region.flatten(2).mean(2, keepdim=True) if maps.ndim > 2 else maps.unsqueeze(2)


def _compared(layer: str, rows: Rows, after: Values, before: Values) -> pd.DataFrame:
    difference = np.linalg.norm((after - before).mean(0), axis=1)
    first, stop = rows or (-1, -1)
    order = np.argsort(-difference, kind="stable")
    columns = {"layer": layer, "channel": order, "difference": difference[order]}
    return pd.DataFrame(columns | {"first": first, "stop": stop})


def _touched_rows(
    encoder: Encoder, with_artefact: Sequence[Image.Image], without: Sequence[Image.Image]
) -> tuple[int, int]:
    """First and stop row of the input in which any pair differs."""
    rows = torch.zeros(encoder.preprocessing.size, dtype=torch.bool)
    for a, b in zip(with_artefact, without, strict=True):
        rows |= (encoder.prepare(a) != encoder.prepare(b)).any(dim=3).any(dim=1)[0].cpu()
    found = rows.nonzero().flatten()
    if not len(found):
        raise InputError("The images with the artefact are the same as those without it.")
    return int(found[0]), int(found[-1]) + 1


def _region(encoder: Encoder, layer: str, touched: tuple[int, int]) -> Rows:
    """The rows of a layer's map that lie over some rows of the input."""
    shape = output_shape(encoder, layer)
    if len(shape) != 4 or attention_projection(encoder.module.get_submodule(layer)) is not None:
        return None
    height = shape[2 if channel_axis(shape) == 1 else 1]
    scale = height / encoder.preprocessing.size
    first, stop = max(int(touched[0] * scale) - 1, 0), min(int(np.ceil(touched[1] * scale)) + 1, height)
    return None if (first, stop) == (0, height) else (first, stop)
