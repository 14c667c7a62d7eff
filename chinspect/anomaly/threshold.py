"""The score above which an image is called anomalous, from scores of normal images."""

from __future__ import annotations

from math import ceil

import numpy as np
from numpy.typing import NDArray


def threshold_at(scores: NDArray[np.float64], fpr: float) -> float:
    """The threshold that an unseen normal image exceeds at most with probability ``fpr``, averaged over training sets.

    It is the k-th smallest held-out score, k = ceil((N + 1)(1 - fpr)): the conformal quantile, whatever the
    distribution, as far as held-out scores behave like those of unseen images. Where N is too small for the rate
    (k > N) it is the largest score, whose rate is 1 / (N + 1).
    """
    rank = min(int(np.ceil((len(scores) + 1) * (1 - fpr))), len(scores))
    return float(np.sort(scores)[rank - 1])


def guaranteed_rate(count: int, fpr: float) -> float:
    """The probability that `threshold_at` bounds for N scores: ``fpr``, or ``1 / (N + 1)`` where that is more."""
    return max(fpr, 1 / (count + 1))


def images_needed(fpr: float) -> int:
    """The number of scores from which on `threshold_at` keeps to ``fpr``: ``1 / fpr - 1``, rounded up."""
    return ceil(1 / fpr - 1e-9) - 1
