"""ADCC and ARCC: harmonic means of three metrics, of which none alone can be trusted.

    ADCC = 3 / (1 / coherency + 1 / (1 - complexity) + 1 / (1 - drop)),
    ARCC = 3 / (1 / coherency + 1 / (1 - complexity) + 1 / clip(2 ROAD, 0, 1)),

each in [0, 1], and 0 where one of the three is. The drop is relative; twice ROAD is LeRF - MoRF, which is at most 1 for
probabilities. Coherency compares a map with that of the image behind its own mask,

    coherency = (1 + corr(map(x), map(x M))) / 2,

and 1/2 where a map has the same value everywhere, which correlates with nothing. A map that does not depend on the
image is coherent by construction.

Source: Poppi et al. 2021 (arXiv:2104.10252) for ADCC; pytorch-grad-cam's ARCC names arXiv:2605.14641.
"""

from __future__ import annotations

import math

from numpy.typing import ArrayLike
from torch import Tensor

from chinspect.errors import InputError
from chinspect.faithfulness.changed import as_map


def coherency(relevance: ArrayLike | Tensor, behind_mask: ArrayLike | Tensor) -> float:
    """Of a map (h, w) and the map of the image behind its mask (h, w), in [0, 1]."""
    first = as_map(relevance).double()
    second = as_map(behind_mask).double()
    if first.shape != second.shape:
        raise InputError(f"coherency is of two maps of one shape, not {tuple(first.shape)} and {tuple(second.shape)}.")
    first = first - first.mean()
    second = second - second.mean()
    norm = math.sqrt(float(first.square().sum() * second.square().sum()))
    correlation = float((first * second).sum()) / norm if norm > 0 else 0.0
    return (1 + correlation) / 2


def adcc(coherency: float, complexity: float, drop: float) -> float:
    """The harmonic mean of coherency, ``1 - complexity`` and ``1 - drop``; nan where one of them is."""
    return _harmonic_mean(coherency, 1 - complexity, 1 - drop)


def arcc(coherency: float, complexity: float, road: float) -> float:
    """The harmonic mean of coherency, ``1 - complexity`` and ``clip(2 ROAD, 0, 1)``; nan where one of them is."""
    return _harmonic_mean(coherency, 1 - complexity, min(max(2 * road, 0.0), 1.0) if road == road else road)


def _harmonic_mean(*values: float) -> float:
    if any(math.isnan(value) for value in values):
        return math.nan
    # rounding may leave 1 - 1 a little below 0
    return 0.0 if min(values) <= 0 else len(values) / sum(1 / value for value in values)
