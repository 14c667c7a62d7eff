"""When is a change of the pipeline a stress? When it turns more decisions than a change that is next to none.

Of each image a detector says "anomalous" or not, at a threshold that was frozen before. A change that should not
matter, another resizer or a lamp that ages, turns some of these decisions; images near the threshold turn under
anything. So each change runs beside a placebo on the same images: half of a grey level, the least that a loader can do
(``16-bit-truncated`` of `chinspect.stress.CHANGES`). With b the images that the change turns and the placebo does not,
and c those of which the reverse is true,

    p = P(Binomial(b + c, 1/2) >= b)

is McNemar's exact test (1947), one-sided: under the null that the change turns no more decisions than the placebo it is
at most the level with at most that probability, whatever the scores are. The placebo itself is tested against turning
more than `TOLERATED` of all decisions. All p-values of an audit are corrected together by Holm's procedure (1979), so
that with a probability of 5 %, at most, is anything called a stress that does no more than the placebo.

A change is ``stress`` where that null is rejected and the excess over the placebo is at least `TOLERATED`, since of
enough images any difference is one; ``undecided`` where the excess is as large and the null stays, or where its
interval still reaches beyond `SEEN`: then the images are too few for an answer; else ``clear``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from chinspect.audit.finding import Status
from chinspect.intervals import paired_difference, wilson

Decisions = NDArray[np.bool_]
PLACEBO = "16-bit-truncated"
TOLERATED = 0.02
"""Of all decisions: one in fifty is less than what operators of a line correct anyway."""
SEEN = 0.1
"""Of all decisions: an audit that could have missed one in ten has not shown that they stay."""


@dataclass(frozen=True)
class Turned:
    """How many decisions a change turns.

    Attributes:
        images: that were decided.
        turned, placebo: how many the change and the placebo turn; of the placebo itself, both are its own.
        excess: by how much larger the fraction is that the change turns, with its 95 % interval from ``low`` to
            ``high`` (Agresti and Min 2005); of the placebo itself the fraction, with Wilson's.
        p_value: corrected for all changes that were judged together.
        status: stress, undecided or clear.
    """

    images: int
    turned: int
    placebo: int
    excess: float
    low: float
    high: float
    p_value: float
    status: Status


def judge_changes(
    before: Decisions, after: Mapping[str, Decisions], placebo: Decisions, *, level: float = 0.05
) -> dict[str, Turned]:
    """What each change does to decisions (n,), beside what the placebo does, which is judged as `PLACEBO`.

    Args:
        before: whether each image is called anomalous without any change.
        after: the same under each change.
        placebo: the same under the placebo.
        level: probability that any change is called a stress that turns no more decisions than the placebo.
    """
    still = before ^ placebo
    turned = {name: before ^ decisions for name, decisions in after.items()}
    p_values = {name: mcnemar_p(one, still) for name, one in turned.items()}
    p_values[PLACEBO] = float(binom.sf(still.sum() - 1, len(still), TOLERATED))
    adjusted = holm(p_values)
    judged = {
        name: _judged(paired_difference(still, one), one, still, adjusted[name], level) for name, one in turned.items()
    }
    own = (float(still.mean()), *wilson(int(still.sum()), len(still)))
    return judged | {PLACEBO: _judged(own, still, still, adjusted[PLACEBO], level)}


def mcnemar_p(turned: Decisions, placebo: Decisions) -> float:
    """One-sided exact p-value that a change turns no more decisions (n,) than its placebo."""
    more = int((turned & ~placebo).sum())
    less = int((placebo & ~turned).sum())
    return float(binom.sf(more - 1, more + less, 0.5))


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """P-values corrected for their number: of m, the k-th smallest times m - k + 1, none below a smaller one's."""
    adjusted: dict[str, float] = {}
    largest = 0.0
    for rank, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        largest = max(largest, min((len(p_values) - rank) * p_values[name], 1.0))
        adjusted[name] = largest
    return adjusted


def _judged(
    excess: tuple[float, float, float], turned: Decisions, placebo: Decisions, p_value: float, level: float
) -> Turned:
    """The rule of the module."""
    estimate, low, high = excess
    status: Status = "clear"
    if p_value <= level and estimate >= TOLERATED:
        status = "stress"
    elif estimate >= TOLERATED or high > SEEN:
        status = "undecided"
    return Turned(len(turned), int(turned.sum()), int(placebo.sum()), estimate, low, high, p_value, status)
