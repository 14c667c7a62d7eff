"""The soft minimum over distances, its weights, and the choice of its stiffness ``gamma``.

    o = -1/gamma * log mean_j exp(-gamma d_j)

runs from the mean of the distances (gamma to 0) to the least of them (gamma to infinity). All in float64.
"""

from __future__ import annotations

from math import exp, log

import torch
from scipy.optimize import brentq
from torch import Tensor

_ENTRIES = 4_000_000  # of a table of distances that are looked at: it is read some fifteen times
_WIDEST = 40.0  # natural logarithms of gamma around 1 / median distance that are searched


def soft_minimum(distances: Tensor, gamma: float) -> Tensor:
    """``o`` (n,) of distances (n, N), at least 0; infinite distances are not counted."""
    finite = torch.isfinite(distances)
    low = distances.amin(1)
    below = torch.where(finite, torch.expm1(-gamma * (distances - low[:, None])), 0.0)  # exact for a small gamma too
    return (low - torch.log1p(below.sum(1) / finite.sum(1)) / gamma).clamp_(min=0)


def soft_minimum_weights(distances: Tensor, gamma: float) -> Tensor:
    """``exp(-gamma d_j) / sum_k exp(-gamma d_k)`` (n, N): the weight of each distance in the soft minimum."""
    return torch.softmax(-gamma * distances, 1)


def fit_gamma(distances: Tensor, perplexity: float) -> float:
    """The gamma at which the mean over rows of ``exp(entropy)`` of the weights is ``perplexity * N``.

    Args:
        distances: (A, N), each row one image against all N; an image against itself is infinite. Of more than 4
            million distances every k-th row is taken.
        perplexity: fraction of the N images, in (0, 1).

    Returns:
        The root (the mean falls as gamma grows; kauffmann2025 finds it by bisection in [1e-9, 1]), whatever the unit of
        the distances. Where none exists, as for few images or many duplicates, the end of the range that is nearest to
        it: then the soft minimum is practically the least distance (the mean distance).
    """
    distances = distances[:: -(-distances.numel() // _ENTRIES)]
    finite = distances[torch.isfinite(distances)]
    positive = finite[finite > 0]
    if not len(positive):
        return 1.0  # nothing but duplicates: every gamma gives the same
    middle = -log(float(positive.median()))
    target = perplexity * distances.shape[1]

    def excess(log_gamma: float) -> float:
        return log(_effective_number(distances, exp(log_gamma)) / target)

    low = middle - _WIDEST
    high = middle + _WIDEST
    if excess(low) <= 0:
        return exp(low)
    if excess(high) >= 0:
        return exp(high)
    return exp(brentq(excess, low, high, xtol=1e-9))


def _effective_number(distances: Tensor, gamma: float) -> float:
    """The mean over rows of exp(entropy) of the weights: how many images a row effectively looks at."""
    gaps = gamma * (distances - distances.amin(1, keepdim=True))
    factors = torch.exp(-gaps)
    total = factors.sum(1)
    entropy = total.log() + torch.where(factors > 0, factors * gaps, 0.0).sum(1) / total
    return float(entropy.exp().mean())
