"""Agreement of a map with Shapley values, corrected for how exactly these are known.

Estimated Shapley values are noisy, and even a perfect map agrees with them only so far. Two estimates from independent
halves of the evaluations tell how far: with r their correlation, their mean has the reliability ``2 r / (1 + r)``
(Spearman 1910, Brown 1910), and the correlation of a map with the true values is estimated by

    corr(map, mean of both) / sqrt(reliability)        (Spearman 1904, doi 10.2307/1412159),

which may exceed 1 by chance. Where the reliability is not above 0, nothing can be said: more evaluations are needed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chinspect.errors import InputError
from chinspect.report import Result

Values = NDArray[np.float64]
_LEVEL = 0.05  # the interval misses with this probability


@dataclass(frozen=True, repr=False)
class Agreement(Result):
    """How a map agrees with Shapley values; see `shapley_agreement`.

    Attributes:
        correlation: of the map with the mean of both estimates, in [-1, 1].
        reliability: of that mean, at most 1.
        corrected: the correlation with the true values; nan where the reliability is not above 0.
        low, high: its 95 % interval.
    """

    stem: ClassVar[str] = "agreement"
    correlation: float
    reliability: float
    corrected: float
    low: float
    high: float

    def document(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return {name: getattr(self, name) for name in ("correlation", "reliability", "corrected", "low", "high")}

    @property
    def sentence(self) -> str:
        """The result in words."""
        if math.isnan(self.corrected):
            return (
                f"The Shapley values are too inexact to compare with (reliability {self.reliability:.2f}): "
                "ask for more evaluations."
            )
        return (
            f"The map correlates with Shapley values at {self.corrected:.2f} (95 % interval {self.low:.2f} to "
            f"{self.high:.2f}), corrected for their reliability of {self.reliability:.2f}."
        )


def shapley_agreement(
    relevance: ArrayLike, first: ArrayLike, second: ArrayLike, *, n_resamples: int = 1000, random_state: int = 0
) -> Agreement:
    """Correlation of a map with Shapley values, corrected for their reliability, with a bootstrap interval.

    Args:
        relevance: of components (P,), or of pairs of components (P, Q).
        first, second: two independent estimates of the Shapley values of the same components, such as maps of different
            ``random_state``.
        n_resamples: of the bootstrap, which draws components (P,), or rows and columns (P, Q), again.
        random_state: decides it.

    Raises:
        InputError: the shapes differ, values are not finite, there are fewer than three components, or a map has the
            same value everywhere.
    """
    maps = [np.asarray(values, dtype=float) for values in (relevance, first, second)]
    shape = maps[0].shape
    if len(shape) not in (1, 2) or min(shape) < 3 or any(values.shape != shape for values in maps):
        raise InputError(f"maps to compare have one shape (P,) or (P, Q), not {[values.shape for values in maps]}.")
    if not all(np.isfinite(values).all() for values in maps):
        raise InputError("maps to compare must be finite.")
    if not all(np.ptp(values) > 0 for values in maps):
        raise InputError("a map that has the same value everywhere correlates with nothing.")
    correlation, reliability, corrected = _corrected(maps, np.ones(shape))
    generator = np.random.default_rng(random_state)
    drawn = [_corrected(maps, _weights(shape, generator))[2] for _ in range(n_resamples)]
    valid = np.array(drawn)[np.isfinite(drawn)]
    low, high = np.quantile(valid, [_LEVEL / 2, 1 - _LEVEL / 2]) if len(valid) else (math.nan, math.nan)
    return Agreement(correlation, reliability, corrected, float(low), float(high))


def _weights(shape: tuple[int, ...], generator: np.random.Generator) -> Values:
    """How often each component, or pair of components, is drawn."""
    counts = [generator.multinomial(size, np.full(size, 1 / size)).astype(float) for size in shape]
    return counts[0] if len(counts) == 1 else np.outer(*counts)


def _corrected(maps: list[Values], weights: Values) -> tuple[float, float, float]:
    """Correlation, reliability and corrected correlation."""
    relevance, first, second = maps
    halves = _correlation(first, second, weights)
    reliability = 2 * halves / (1 + halves) if halves > 0 else halves  # the formula is for halves that agree
    correlation = _correlation(relevance, first + second, weights)
    corrected = correlation / math.sqrt(reliability) if reliability > 0 else math.nan
    return correlation, reliability, corrected


def _correlation(a: Values, b: Values, weights: Values) -> float:
    total = weights.sum()
    a = a - (weights * a).sum() / total
    b = b - (weights * b).sum() / total
    norm = math.sqrt((weights * a * a).sum() * (weights * b * b).sum())
    return float((weights * a * b).sum() / norm) if norm > 0 else math.nan
