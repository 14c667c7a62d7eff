"""The smallest artefact that an analysis would have found: planted into a surrogate of its own maps."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from chinspect.spray._ensemble import SMALLEST, propose
from chinspect.spray._null import p_values, shifted, subsample, views
from chinspect.spray._shared import Rows
from chinspect.spray.candidates import ALPHA
from chinspect.spray.pooling import Maps

SHARE = 0.5
_SIDE, _MARGIN, _FOUND = 7, 20, 0.9


def min_detectable_size(
    maps: Maps, maxima: NDArray[np.float64], *, to_rows: Callable[[Maps], Rows], k: int, q: int, random_state: int
) -> int | None:
    """The smallest number of ``maps`` (n, h, w) that can carry a mark and be flagged with F1 of at least 0.9.

    ``to_rows`` makes of maps the rows (n, d) that are compared, those that ``maxima`` come from.
    The mark fills 1/7 of the height and width near a corner and holds half of the relevance of the maps that carry it.
    Sizes rise by half from 6 to a fifth of the maps; None where none is found. For more maps than a surrogate has, the
    size is that of the same prevalence.
    """
    rng = np.random.default_rng((random_state, 1))
    moved = shifted(subsample(maps, rng), rng)
    size = SMALLEST
    while size <= len(moved) // 5:
        members = np.sort(rng.choice(len(moved), size, replace=False))
        rows = to_rows(marked(moved, members))
        proposals = propose(rows, views(rows, k, q, random_state), random_state=random_state)
        p = p_values(np.array([proposal.shared.distinctness for proposal in proposals]), maxima)
        if any(v <= ALPHA and _f1(x.shared.members, members) >= _FOUND for x, v in zip(proposals, p, strict=True)):
            return -(-size * len(maps) // len(moved))
        size += size // 2
    return None


def marked(maps: Maps, members: NDArray[np.int64]) -> Rows:
    """Maps (n, h, w) of which ``members`` hold half of their relevance in one place near the lower left corner."""
    out, (_, h, w) = maps.copy(), maps.shape
    mark = np.zeros((h, w), dtype=np.float32)
    bottom, left = h - h // _MARGIN, w // _MARGIN
    mark[bottom - max(h // _SIDE, 1) : bottom, left : left + max(w // _SIDE, 1)] = 1
    mass = np.abs(maps[members]).sum((1, 2), keepdims=True)
    out[members] = (1 - SHARE) * maps[members] + SHARE * mass * mark / mark.sum()
    return out


def _f1(found: NDArray[np.int64], true: NDArray[np.int64]) -> float:
    return 2 * len(np.intersect1d(found, true)) / (len(found) + len(true))
