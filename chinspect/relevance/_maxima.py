"""Maxima in reference maps: a tournament among the entries, ``max(a, b) = a + relu(b - a)``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

from chinspect.relevance._operations import Push, Site, as_list, pair, window
from chinspect.relevance._registry import Pair, differs


@differs("maximum", "minimum")
def _extremum(site: Site) -> Push:
    """``max(a, b) = a + relu(b - a)``, ``min(a, b) = -max(-a, -b)``."""
    sign = 1 if site.operation.kind in ("maximum", "max") else -1
    pairs = [(sign * a, sign * a0) for a, a0 in map(site.both, range(2))]
    weights = dict(enumerate(_tournament(pairs)))
    carried = [position for position in range(2) if site.carries(position)]

    def push(*components: Tensor) -> Tensor:
        return reduce(torch.add, (weights[position] * t for position, t in zip(carried, components, strict=True)))

    return Push(site.carried, torch.vmap(push), fresh=True)


@differs("amax", "max", "amin", "min")
def _maximum_over(site: Site) -> Push:
    """The largest entry along dimensions, a tournament among them; without dimensions along all."""
    if site.operation.kind in ("max", "min") and isinstance(site.argument(1), Tensor):
        return _extremum(site)
    sign = -1 if site.operation.kind in ("amin", "min") else 1
    a, a0 = (sign * value for value in site.both(0))
    dims = [dim % a.ndim for dim in as_list(site.argument(1))] or list(range(a.ndim))
    several = isinstance(site.output, (tuple, list))
    keepdim = bool(site.argument(2, False))

    def spread(t: Tensor) -> Tensor:  # the competitors first: (n, ...)
        leading = t.ndim - a.ndim
        return t.movedim([dim + leading for dim in dims], list(range(len(dims)))).flatten(0, len(dims) - 1)

    weights = _tournament(list(zip(spread(a), spread(a0), strict=True)))

    def push(t: Tensor) -> object:
        result = (weights * spread(t)).sum(0)
        if keepdim:
            for dim in sorted(dims):
                result = result.unsqueeze(dim)
        return (result, result) if several else result

    return Push(site.carried, torch.vmap(push), fresh=not several)


@differs("max_pool2d_with_indices")
def _max_pool2d_with_indices(site: Site) -> Push:
    """The values are those of a max pool; their indices carry nothing."""
    values = _max_pool2d(replace(site, output=site.output[0], reference_output=site.reference_output[0]))
    return replace(values, function=lambda t: (values(t), t.new_zeros(len(t), 1)), scale=None, fresh=False, window=None)


@differs("adaptive_max_pool2d")
def _adaptive_max_pool2d(site: Site) -> Push:
    """A tournament among the entries of each cell; cells may overlap by a pixel."""
    sides = list(zip(site.argument(0).shape[-2:], site.output[0].shape[-2:], strict=True))
    rows, columns = ([(i * n // k, -(-(i + 1) * n // k)) for i in range(k)] for n, k in sides)
    cells = [(slice(*row), slice(*column)) for row, column in product(rows, columns)]
    both = site.both(0)

    def entries(t: Tensor, cell: tuple[slice, slice]) -> Tensor:  # the competitors first
        return t[(..., *cell)].flatten(-2).movedim(-1, 0)

    weights = [_tournament(list(zip(*(entries(value, cell) for value in both), strict=True))) for cell in cells]

    def push(t: Tensor) -> tuple[Tensor, Tensor]:
        values = [(weight * entries(t, cell)).sum(0) for weight, cell in zip(weights, cells, strict=True)]
        return torch.stack(values, -1).view(site.output[0].shape), t.new_zeros(())

    return Push(site.carried, torch.vmap(push))


@differs("max_pool2d")
def _max_pool2d(site: Site) -> Push:
    """A tournament among the entries of each window; what pads has no components."""
    kernel = pair(site.argument(1))
    stride = pair(site.argument(2) or kernel)  # ATen writes an empty stride where it is the kernel's size
    padding, dilation = (pair(site.argument(position, default)) for position, default in ((3, 0), (4, 1)))
    size = site.output.shape[2:]
    lowest = float(torch.minimum(*site.both(0)).min()) - 1  # loses against every entry, and is finite

    def slices(t: Tensor, fill: float = 0.0) -> list[Tensor]:
        spans = [(n - 1) * s + d * (k - 1) + 1 for n, s, d, k in zip(size, stride, dilation, kernel, strict=True)]
        below, right = (span - n - p for span, n, p in zip(spans, t.shape[-2:], padding, strict=True))
        padded = F.pad(t, (padding[1], right, padding[0], below), value=fill)
        rows, columns = (
            [slice(i * d, i * d + (n - 1) * s + 1, s) for i in range(k)]
            for n, s, d, k in zip(size, stride, dilation, kernel, strict=True)
        )
        return [padded[..., row, column] for row, column in product(rows, columns)]

    pairs = list(zip(*(slices(value, lowest) for value in site.both(0)), strict=True))
    weights = _tournament(pairs)

    def push(t: Tensor) -> Tensor:
        result = torch.zeros_like(slices(t)[0])
        for weight, entry in zip(weights, slices(t), strict=True):
            result.addcmul_(weight.expand_as(entry), entry)
        return result

    return Push(site.carried, push, fresh=True, window=window(kernel, stride, padding, dilation))


def _tournament(entries: Sequence[Pair]) -> Tensor:
    """Weights (n, ...) of the components of n entries in those of their maximum.

    One entry after the other meets the best so far, ``max(a, b) = a + relu(b - a)``. The mean of both orders, so that
    an image and its mirror image are explained alike.
    """
    values, values0 = (torch.stack(side) for side in zip(*entries, strict=True))
    return (_in_turn(values, values0) + _in_turn(values.flip(0), values0.flip(0)).flip(0)) / 2


def _in_turn(values: Tensor, values0: Tensor) -> Tensor:
    """What entry i takes from the best before it, times what all later ones leave of that."""
    lead, lead0 = (side[1:] - side.cummax(0).values[:-1] for side in (values, values0))
    equal = lead == lead0
    slope = (lead.relu() - lead0.relu()) / (lead - lead0).masked_fill(equal, 1)
    slope = torch.where(equal, (lead > 0).to(slope), slope)
    one = torch.ones_like(values[:1])
    left = torch.cat([1 - slope, one]).flip(0).cumprod(0).flip(0)
    return torch.cat([one, slope]) * left
