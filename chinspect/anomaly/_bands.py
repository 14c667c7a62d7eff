"""Where frequency bands begin: by the order of a DCT coefficient, or by its place on the zigzag path.

Coefficient (u, v) has order ``u + v``. The zigzag path visits the orders one after the other, down one antidiagonal and
up the next, (0, 0), (0, 1), (1, 0), (2, 0), (1, 1), (0, 2), ..., as JPEG does (ITU-T T.81). Order d begins at place
d (d + 1) / 2 as long as antidiagonals grow: the three bands of Kauffmann et al. 2025, places 0-2, 3-189 and from 190
on, are orders 0-1, 2-18 and from 19 on. The 20 bins of their spectra cut through orders.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from chinspect.errors import InputError
from chinspect.relevance import band_edges

PAPER = "kauffmann2025"
PAPER_EDGES = (2, 19)
"""The three bands of Kauffmann et al. 2025: DCT orders 0-1, 2-18 and from 19 on."""
_BINS, _EXPONENT = 20, 3.47  # of their spectra


@dataclass(frozen=True)
class BandEdges:
    """Bands of DCT coefficients.

    Attributes:
        edges: at which a band begins, the first excepted, which begins at 0; rising.
        index: what is counted: the ``order`` of a coefficient, or its place on the ``zigzag`` path.
    """

    edges: tuple[int, ...]
    index: Literal["order", "zigzag"] = "order"

    @property
    def count(self) -> int:
        """Number of bands."""
        return len(self.edges) + 1

    @property
    def names(self) -> list[str]:
        """What each band holds: ``0-1``, ``2-18``, ``19+``."""
        starts = (0, *self.edges)
        closed = [str(a) if b == a + 1 else f"{a}-{b - 1}" for a, b in pairwise(starts)]
        return [*closed, f"{starts[-1]}+"]

    def band(self, shape: Sequence[int]) -> Tensor:
        """The band (H, W) of each coefficient of images (..., H, W)."""
        height, width = shape[-2:]
        order = torch.arange(height)[:, None] + torch.arange(width)
        counted = order if self.index == "order" else zigzag(height, width)
        return torch.bucketize(counted, torch.tensor(self.edges, dtype=torch.long), right=True)


def named_bands(shape: Sequence[int], bands: int | Sequence[int] | str) -> BandEdges:
    """The bands that `chinspect.anomaly.explain_anomaly` is asked for, on images (..., H, W)."""
    height, width = shape[-2:]
    if isinstance(bands, str):
        if bands != PAPER:
            raise InputError(f"the bands {bands!r} are not known: give a number, orders, or {PAPER!r}.")
        return BandEdges(_spectrum_edges(height, width), "zigzag")
    if bands == len(PAPER_EDGES) + 1 and height + width - 1 > PAPER_EDGES[-1]:
        bands = PAPER_EDGES
    return BandEdges(tuple(band_edges(shape, bands)))


@lru_cache(maxsize=32)
def zigzag(height: int, width: int) -> Tensor:
    """The place (height, width) of each coefficient on the zigzag path, from 0."""
    row = torch.arange(height)[:, None].expand(height, width)
    order = row + torch.arange(width)
    within = torch.where(order % 2 == 1, row, height - row)
    path = (order * (height + 1) + within).flatten().argsort()
    places = torch.empty_like(path)
    places[path] = torch.arange(len(path))
    return places.view(height, width)


def _spectrum_edges(height: int, width: int) -> tuple[int, ...]:
    """``(b / 20)^3.47 H W`` for b = 1..19, rounded up: a bin holds the places between two of them."""
    edges = np.ceil(np.linspace(0, (height * width) ** (1 / _EXPONENT), _BINS + 1)[1:-1] ** _EXPONENT).astype(int)
    if (np.diff(edges) < 1).any():
        raise InputError(f"images of {height}x{width} pixels are too small for the 20 bins of {PAPER!r}: use 55x55.")
    return tuple(edges.tolist())
