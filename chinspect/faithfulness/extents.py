"""How much of an image a map marks: it says nothing of faithfulness, and other metrics cannot be read without it."""

from __future__ import annotations

import math

from numpy.typing import ArrayLike
from torch import Tensor

from chinspect.faithfulness.changed import as_map, as_mask


def complexity(relevance: ArrayLike | Tensor) -> float:
    """The mean of the mask of a map (h, w), in [0, 1]: 1 for a mask of ones.

    Source: Poppi et al. 2021, Revisiting the evaluation of class activation mapping for explainability
    (arXiv:2104.10252): the L1 norm over the number of pixels.
    """
    return float(as_mask(as_map(relevance)).double().mean())


def entropy(relevance: ArrayLike | Tensor) -> float:
    """``- sum p log p`` in nats with ``p = |R| / sum |R|``: log (h w) for a map of equal values, 0 for a single pixel.

    nan for a map of zeros.

    Source: Bhatt, Weller and Moura 2020, Evaluating and aggregating feature-based model explanations
    (arXiv:2005.00631).
    """
    values = as_map(relevance).double().abs().flatten()
    total = float(values.sum())
    if not total > 0:
        return math.nan
    fractions = values[values > 0] / total
    return float(-(fractions * fractions.log()).sum())
