"""Bootstrap intervals of means over images, and of means over pairs of images.

Images are drawn again with replacement, so an image drawn k times weighs k. A mean over pairs is then

    sum_ij k_i k_j g_ij / sum_{i != j} k_i k_j,        g_ii = 0,

which keeps that pairs with a common image belong together: drawing pairs would give intervals half as wide.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


def draws(n: int, n_resamples: int, seed: int) -> Values:
    """How often each of n images is drawn, (n_resamples, n); at least two different images each time."""
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(n, np.full(n, 1 / n), size=n_resamples).astype(np.float64)
    return counts[(counts > 0).sum(axis=1) > 1]


def mean(values: Values) -> float:
    """Of images (n,), or of pairs (n, n) of different images."""
    return float(_weighted(values, np.ones((1, len(values))))[0])


def interval(values: Values, counts: Values, level: float) -> tuple[float, float]:
    """Percentile interval of the mean that misses with probability ``level``, half of it on each side."""
    low, high = np.percentile(_weighted(values, counts), [50 * level, 100 - 50 * level])
    return float(low), float(high)


def _weighted(values: Values, counts: Values) -> Values:
    total = counts.sum(axis=1)
    if values.ndim == 1:
        means: Values = counts @ values / total
        return means
    sums = ((counts @ values) * counts).sum(axis=1)
    pairs: Values = sums / (total**2 - np.square(counts).sum(axis=1))
    return pairs
