"""Feature maps in one layout, (N, C, h, w), whichever a network has.

Convolutional networks have their channels first, (N, C, h, w); Swin and its kin have them last, (N, h, w, C); vision
transformers have tokens (N, T, C), of which the last h * w are the patches of the image, row by row, and those before
them the class token and registers. Which it is, is told by the sides: a map has the aspect of the image.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from chinspect.encoders.layers import observing
from chinspect.errors import InputError
from chinspect.relevance import evaluation_mode

_PREFIX = 16  # tokens before those of patches: a class token and registers, of which published networks have 1 to 9


def as_map(output: Tensor, images: Tensor) -> Tensor | None:
    """The output of a layer as a map (N, C, h, w), a view; None for what is none.

    Args:
        images: what went in, (N, C, H, W).
    """
    if output.ndim == 4:
        return output.movedim(3, 1) if _channels_last(output, images) else output
    grid = _token_grid(output.shape[1], images) if output.ndim == 3 and len(output) == len(images) else None
    return None if grid is None else output[:, -grid[0] * grid[1] :].mT.unflatten(2, grid)


def check_layout(output: Tensor, images: Tensor, module: nn.Module, layer: str) -> None:
    """`InputError` for a map with as many channels as rows, in a network where other maps have their channels last."""
    sides = output.shape[1:]
    if output.ndim != 4 or not sides[0] == sides[1] == sides[2] > 1:
        return
    last: list[bool] = []

    def note(_path: str, _module: nn.Module, _args: object, _kwargs: object, other: Any) -> None:
        if isinstance(other, Tensor) and other.ndim == 4:
            last.append(_channels_last(other, images))

    with observing(module, note), evaluation_mode(module), torch.no_grad():
        module(images)
    if any(last):
        raise InputError(
            f"which axis of {layer!r}, {tuple(output.shape)}, holds the channels cannot be told, as other maps of this "
            "network have them last: choose the layer before or behind it."
        )


def _channels_last(output: Tensor, images: Tensor) -> bool:
    return _distortion(output.shape[1:3], images) < _distortion(output.shape[2:], images)


def _distortion(sides: torch.Size, images: Tensor) -> int:
    """How far a map of these sides is from the aspect of the images; 0 where it has that aspect."""
    return abs(sides[0] * images.shape[3] - sides[1] * images.shape[2])


def _token_grid(count: int, images: Tensor) -> tuple[int, int] | None:
    """Rows and columns of the patches among ``count`` tokens, by the aspect of the images."""
    height, width = images.shape[2:]
    for cells in range(count, max(count - _PREFIX - 1, 3), -1):  # a map has at least 2 x 2 cells
        rows = round(math.sqrt(cells * height / width))
        if rows and cells % rows == 0 and rows * width == cells // rows * height:
            return rows, cells // rows
    return None
