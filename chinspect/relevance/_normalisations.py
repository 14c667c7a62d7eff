"""Normalisations and their parts in reference maps: in closed form, where differences would cancel."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from chinspect.relevance._handlers import HANDLERS, channel_wise
from chinspect.relevance._operations import Push, Site, as_list
from chinspect.relevance._registry import Pair, differs


@differs("layer_norm")
def _layer_norm(site: Site) -> Push:
    dims = tuple(range(-len(site.argument(1)), 0))
    mean = partial(torch.mean, dim=dims, keepdim=True)
    normalise = _normalised(site.both(0), mean, site.argument(4, 1e-5))
    return Push(site.carried, normalise, site.argument(2), fresh=True, **channel_wise(site))


@differs("group_norm")
def _group_norm(site: Site) -> Push:
    x, groups, weight = (site.argument(position) for position in range(3))

    def cells(t: Tensor) -> Tensor:  # (..., N, groups, the rest)
        return t.unflatten(1 - x.ndim, (groups, -1)).flatten(1 - x.ndim)

    mean = partial(torch.mean, dim=-1, keepdim=True)
    normalise = _normalised((cells(x), cells(site.both(0)[1])), mean, site.argument(4, 1e-5))
    scale = None if weight is None else weight.view(-1, *[1] * (x.ndim - 2))
    return Push(site.carried, lambda t: normalise(cells(t)).reshape(t.shape), scale, fresh=True)


@differs("instance_norm")
def _instance_norm(site: Site) -> Push:
    """Each channel of each image by its own statistics, or by the stored ones."""
    x, weight = site.argument(0), site.argument(1)
    if not site.argument(5):
        return HANDLERS["instance_norm"](site)  # type: ignore[return-value]
    mean = partial(torch.mean, dim=tuple(range(2 - x.ndim, 0)), keepdim=True)
    scale = None if weight is None else weight.view(-1, *[1] * (x.ndim - 2))
    return Push(site.carried, _normalised(site.both(0), mean, site.argument(7)), scale, fresh=True)


def _normalised(values: Pair, mean: Callable[[Tensor], Tensor], epsilon: float) -> Callable[[Tensor], Tensor]:
    """The push of ``c r``, with ``c = a - mean(a)`` and ``r = (mean(c^2) + epsilon)^(-1/2)``.

    The slope of ``r`` in the variance is ``-(r r0)^2 / (r + r0)``: the difference quotient, written without the
    difference, which cancels.
    """
    centred, centred0 = (value - mean(value) for value in values)
    r, r0 = ((mean(value.square()) + epsilon).rsqrt() for value in (centred, centred0))
    middle = (centred + centred0) / 2
    factor = (r + r0) / 2
    slope = -2 * (r * r0).square() / (r + r0)

    def push(t: Tensor) -> Tensor:
        t = t - mean(t)
        return factor * t + slope * middle * mean(middle * t)

    return push


@differs("linalg_vector_norm")
def _vector_norm(site: Site) -> Push:
    """The Euclidean norm: ``|a| - |a0| = <a - a0, a + a0> / (|a| + |a0|)``."""
    dims = site.argument(2, name="dim")
    keepdim = bool(site.argument(3, False, name="keepdim"))
    total = (site.output + site.reference_output).clamp_min(torch.finfo(site.output.dtype).tiny)
    middle = 2 * site.middle().argument(0)

    def push(t: Tensor) -> Tensor:
        return (t * middle).sum(dims, keepdim=keepdim) / total

    return Push(site.carried, torch.vmap(push), fresh=True)


@differs("var")
def _variance(site: Site) -> Push:
    """``mean((c - c0) (c + c0))`` of the centred values ``c``."""
    change, dims, keepdim = _variance_change(site)

    def push(t: Tensor) -> Tensor:
        return change(t).sum(dims, keepdim=keepdim)

    return Push(site.carried, torch.vmap(push), fresh=True)


@differs("std")
def _deviation(site: Site) -> Push:
    """The root of the variance: ``s - s0 = (v - v0) / (s + s0)``."""
    change, dims, keepdim = _variance_change(site)
    total = (site.output + site.reference_output).clamp_min(torch.finfo(site.output.dtype).tiny)

    def push(t: Tensor) -> Tensor:
        return change(t).sum(dims, keepdim=keepdim) / total

    return Push(site.carried, torch.vmap(push), fresh=True)


@differs("var_mean")
def _variance_and_mean(site: Site) -> Push:
    change, dims, keepdim = _variance_change(site)

    def push(t: Tensor) -> tuple[Tensor, Tensor]:
        return change(t).sum(dims, keepdim=keepdim), t.mean(dims, keepdim=keepdim)

    return Push(site.carried, torch.vmap(push))


def _variance_change(site: Site) -> tuple[Callable[[Tensor], Tensor], list[int], bool]:
    """What each entry adds to the change of the variance; dimensions, and whether they stay."""
    dims = as_list(site.argument(1, name="dim")) or list(range(site.argument(0).ndim))
    correction = site.argument(2, 1, name="correction")
    keepdim = bool(site.argument(3, False, name="keepdim"))
    middle = 2 * site.middle().argument(0)
    middle = middle - middle.mean(dims, keepdim=True)
    count = middle.numel() / middle.mean(dims).numel() - correction
    return lambda t: t * middle / count, dims, keepdim
