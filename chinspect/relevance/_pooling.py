"""How pooling pushes components."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from chinspect.relevance._operations import Push, Site, Window, handles


@handles("max_pool2d")
def _max_pool2d(site: Site) -> Push:
    """The component at the maximum's place (the winner takes all)."""
    kernel = pair(site.argument(1))
    stride, padding, dilation = pair(site.argument(2) or kernel), pair(site.argument(3, 0)), pair(site.argument(4, 1))
    _, index = F.max_pool2d(
        site.argument(0), kernel, stride, padding, dilation, bool(site.argument(5, False)), return_indices=True
    )
    places = index.flatten(2)

    def push(t: Tensor) -> Tensor:
        return t.flatten(3).gather(3, places.expand(len(t), *places.shape)).view(len(t), *index.shape)

    return Push(site.carried, push, fresh=True, window=_window(kernel, stride, padding, dilation))


@handles("avg_pool2d")
def _avg_pool2d(site: Site) -> Push:
    rest, target = site.operation.arguments(site.values)[0][1:], site.operation.target
    kernel, stride, padding = pair(site.argument(1)), site.argument(2), site.argument(3, 0)
    window = _window(kernel, pair(stride or kernel), pair(padding), [1, 1])
    return Push(site.carried, _on_images(lambda t: target(t, *rest)), fresh=True, window=window)


@handles("adaptive_avg_pool2d")
def _adaptive_avg_pool2d(site: Site) -> Push:
    size, sizes = site.argument(1), list(zip(site.argument(0).shape[2:], site.output.shape[2:], strict=True))
    kernel = [inside // outside for inside, outside in sizes]
    regular = all(inside % outside == 0 for inside, outside in sizes)
    window = _window(kernel, kernel, [0, 0], [1, 1]) if regular else None
    return Push(site.carried, _on_images(lambda t: F.adaptive_avg_pool2d(t, size)), fresh=True, window=window)


def _on_images(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """A function of images (N, C, H, W), for their components (K, N, C, H, W)."""
    return lambda t: function(t.flatten(0, 1)).unflatten(0, t.shape[:2])


def _window(kernel: list[int], stride: list[int], padding: list[int], dilation: list[int]) -> Window:
    vertical, horizontal = zip(kernel, stride, padding, dilation, strict=True)
    return vertical, horizontal


def pair(value: Any) -> list[int]:
    """A size for both axes: ATen writes ``3``, ``[3]`` or ``[3, 3]``."""
    values = list(value) if isinstance(value, (list, tuple)) else [value]
    return values * 2 if len(values) == 1 else values
