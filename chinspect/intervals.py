"""Intervals: of rates (Wilson), differences of paired rates (Agresti and Min), an AUROC (Newcombe), and means.

Means may be over images, or over pairs of images, and their intervals are by bootstrap: images are drawn again with
replacement, so an image drawn k times weighs k. A mean over pairs is then

    sum_ij k_i k_j g_ij / sum_{i != j} k_i k_j,        g_ii = 0,

which keeps that pairs with a common image belong together: drawing pairs would give intervals half as wide.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import ndtri

from chinspect.errors import InputError

Values = NDArray[np.float64]


def wilson(count: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's interval of a rate ``count / n`` (Wilson 1927): right also for rates of 0 and 1 in small samples."""
    z = float(ndtri(0.5 + confidence / 2))
    rate = count / n
    shrinkage = z * z / n
    centre = (rate + shrinkage / 2) / (1 + shrinkage)
    half = z / (1 + shrinkage) * math.sqrt(rate * (1 - rate) / n + shrinkage / (4 * n))
    # at both ends the formula gives 0 and 1 but for rounding
    return 0.0 if count == 0 else centre - half, 1.0 if count == n else centre + half


def paired_difference(before: ArrayLike, after: ArrayLike, confidence: float = 0.95) -> tuple[float, float, float]:
    """The difference of two rates over the same n cases, and its interval.

    With b the cases that were true (n,) before only and c those that are true after only,

        (c - b) / n,        (c - b) / (n + 2) -+ z sqrt(b + c + 1 - (c - b)^2 / (n + 2)) / (n + 2)

    (Agresti and Min 2005, Statistics in Medicine 24: half a case is added to each of the four outcomes).
    """
    old = np.asarray(before, dtype=bool)
    new = np.asarray(after, dtype=bool)
    if old.ndim != 1 or old.shape != new.shape or not len(old):
        raise InputError(f"A paired difference takes two lists of one length, not {old.shape} and {new.shape}.")
    lost = int((old & ~new).sum())
    won = int((new & ~old).sum())
    n = len(old) + 2
    half = float(ndtri(0.5 + confidence / 2)) * math.sqrt(lost + won + 1 - (won - lost) ** 2 / n) / n
    centre = (won - lost) / n
    return (won - lost) / len(old), max(centre - half, -1.0), min(centre + half, 1.0)


def auroc_interval(auroc: float, m: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Newcombe's interval of an AUROC of m cases against n others, right also for 0 and 1 (2006, method 5).

    Its ends are the two values t at which the AUROC is just z standard errors away, with the variance of Hanley and
    McNeil (1982), ``V(t) = t (1 - t) (1 + N ((1 - t) / (2 - t) + t / (1 + t))) / (m n)`` and ``N = (m + n) / 2 - 1``.

    Source: Statistics in Medicine 25, 559-573.
    """
    z = float(ndtri(0.5 + confidence / 2))

    def excess(t: float) -> float:
        spread = 1 + ((m + n) / 2 - 1) * ((1 - t) / (2 - t) + t / (1 + t))
        return abs(auroc - t) - z * math.sqrt(t * (1 - t) * spread / (m * n))

    edge = 1e-9  # at an AUROC of 0 or 1 the excess is zero as well, beside the end that is looked for
    low = brentq(excess, 0.0, min(auroc, 1 - edge)) if auroc > 0 else 0.0
    high = brentq(excess, max(auroc, edge), 1.0) if auroc < 1 else 1.0
    return float(low), float(high)


def mean_interval(
    values: Values, *, n_resamples: int = 2000, confidence: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """The percentile bootstrap interval of the mean of values (n,) (Efron 1979); nan for fewer than two."""
    if len(values) < 2:
        return float("nan"), float("nan")
    return interval(values, _counts(len(values), n_resamples, seed), 1 - confidence)


def draws(n: int, n_resamples: int, seed: int) -> Values:
    """How often each of n images is drawn, (n_resamples, n); at least two different images each time."""
    counts = _counts(n, n_resamples, seed)
    return counts[(counts > 0).sum(axis=1) > 1]


def mean(values: Values) -> float:
    """Of images (n,), or of pairs (n, n) of different images."""
    return float(_weighted(values, np.ones((1, len(values))))[0])


def interval(values: Values, counts: Values, level: float) -> tuple[float, float]:
    """Percentile interval of the mean that misses with probability ``level``, half of it on each side."""
    low, high = np.quantile(_weighted(values, counts), [level / 2, 1 - level / 2])
    return float(low), float(high)


def _counts(n: int, n_resamples: int, seed: int) -> Values:
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=n_resamples)
    return drawn.astype(np.float64)


def _weighted(values: Values, counts: Values) -> Values:
    total = counts.sum(axis=1)
    if values.ndim == 1:
        means: Values = counts @ values / total
        return means
    sums = ((counts @ values) * counts).sum(axis=1)
    pairs: Values = sums / (total**2 - np.square(counts).sum(axis=1))
    return pairs
