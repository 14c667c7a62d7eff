"""Handlers of operations that select: the component at the position of what wins, and of nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from chinspect.relevance._operations import Push, Site
from chinspect.relevance._registry import handles


def gathered(index: Tensor, dim: int, *, keep: bool = True) -> Callable[[Tensor], Tensor]:
    """Entries of components at ``index`` along a dimension of the value, which goes where ``keep`` is false."""

    def push(t: Tensor) -> Tensor:
        along = dim % index.ndim + 1
        result = t.gather(along, index.expand(len(t), *index.shape))
        return result if keep else result.squeeze(along)

    return push


def _with_indices(push: Callable[[Tensor], Tensor]) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """For operations that return values and their indices; those carry nothing."""
    return lambda t: (push(t), t.new_zeros(len(t), 1))


@handles("amax", "amin")
def _extreme(site: Site) -> Push:
    """Over several dimensions: of equal entries the first takes all."""
    x = site.argument(0)
    dims = site.argument(1, name="dim")
    dims = [dim % x.ndim for dim in (dims if isinstance(dims, (list, tuple)) else [dims])] or list(range(x.ndim))
    kept = [dim for dim in range(x.ndim) if dim not in dims]
    order = [*kept, *dims]
    flat = x.permute(order).flatten(len(kept))
    index = flat.argmax(-1) if site.operation.kind == "amax" else flat.argmin(-1)

    def push(t: Tensor) -> Tensor:
        cells = t.permute(0, *(dim + 1 for dim in order)).flatten(len(kept) + 1)
        return cells.gather(-1, index.expand(len(t), *index.shape)[..., None]).view(len(t), *site.output.shape)

    return Push(site.carried, push, fresh=True)


@handles("max", "min")
def _maximum_of_all_or_along(site: Site) -> Push:
    """Of all entries, along a dimension (then with indices), or of two values."""
    x = site.argument(0)
    if len(site.operation.args) == 1:
        index = x.argmax() if site.operation.kind == "max" else x.argmin()
        return Push(site.carried, lambda t: t.flatten(1)[:, index], fresh=True)
    if isinstance(site.argument(1), Tensor):
        return _larger(site)
    keep = bool(site.argument(2, default=False, name="keepdim"))
    index = site.output[1] if keep else site.output[1].unsqueeze(site.argument(1))
    return Push(site.carried, _with_indices(gathered(index, site.argument(1), keep=keep)))


@handles("topk", "sort")
def _ordered(site: Site) -> Push:
    position = {"topk": 2, "sort": 1}[site.operation.kind]
    dim = site.argument(position, default=-1, name="dim")
    return Push(site.carried, _with_indices(gathered(site.output[1], dim)))


@handles("maximum", "minimum")
def _larger(site: Site) -> Push:
    """Of two values; of equal ones the first takes all, and a constant that wins is a bias."""
    a, b = (torch.as_tensor(site.argument(position)) for position in (0, 1))
    first = (a >= b if site.operation.kind in ("maximum", "max") else a <= b).to(site.output)
    masks = [mask for position, mask in enumerate((first, 1 - first)) if site.carries(position)]
    if site.squares:
        return site.scaled()

    def push(*components: Tensor) -> Tensor:
        rank = site.output.ndim + 1
        aligned = (t.view(len(t), *[1] * (rank - t.ndim), *t.shape[1:]) for t in components)
        total = sum(t * mask for t, mask in zip(aligned, masks, strict=True))
        assert isinstance(total, Tensor)
        return total

    return Push(site.carried, push, fresh=True, window=site.same_window())


def by_index(index: Tensor, dimensions: int) -> Callable[[Tensor], Tensor]:
    """Entries of components (K, N, C, *sides) at positions ``index`` (N, C, ...) of the flattened sides."""
    positions = index.flatten(-dimensions)

    def push(t: Tensor) -> Tensor:
        return t.flatten(-dimensions).gather(-1, positions.expand(len(t), *positions.shape)).view(len(t), *index.shape)

    return push


@handles("max_pool2d_with_indices", "max_pool3d_with_indices", "adaptive_max_pool2d", "adaptive_max_pool3d")
def _pool_with_indices(site: Site) -> Push:
    index = site.output[1]
    return Push(site.carried, _with_indices(by_index(index, 3 if "3d" in site.operation.kind else 2)))


@handles("max_pool3d")
def _max_pool3d(site: Site) -> Push:
    kernel = site.argument(1)
    options = (site.argument(2) or kernel, site.argument(3, 0), site.argument(4, 1))
    _, index = F.max_pool3d(site.argument(0), kernel, *options, ceil_mode=site.argument(5, False), return_indices=True)
    return Push(site.carried, by_index(index, 3), fresh=True)


@handles("grid_sampler_2d", "grid_sampler_3d", "grid_sampler", linear=True)
def _sampled(site: Site) -> Push | None:
    """Linear in what is sampled; where it is sampled is frozen."""
    if not site.carries(0):
        return None
    sampled = replace(site, carriers=frozenset({site.operation.args[0].name}))
    return Push(sampled.carried, sampled.each(), fresh=True)
