"""The level of a proof, over all trials that are made together.

Trials of several candidates, and adding and removing of each, are one *family*: with the probability `level`, at most,
is anything confirmed in it whose effect is that of a placebo. The level is spent in two halves.

1. Each trial gets ``2 / level - 1`` placebos (39 at 5 %). Statistics are standardised over the artefact and its
   placebos, z, in absolute value where both signs count. With the k-th placebos of all trials taken together,

       p_j = (1 + number of k whose largest z_ik over the trials i from j on exceeds or equals z_j) / (1 + K),

   trials in the order of their z, each at least as large as the one before it (step-down max-T: Westfall and Young
   1993; Romano and Wolf 2005). So clear effects need no more placebos where there are more candidates.
2. A trial that leans to reliance and was not confirmed gets more placebos, ``10 / level - 1`` at least, and its own
   rank p-value times the number of all trials (Bonferroni). Which trials go on does not matter: those that do not are
   not confirmed. It ends early where so many placebos do as much that the rest cannot matter.

The p-value of a trial is twice the smaller one of the two. Where it is at most the level, the null is rejected.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from chinspect.proof.experiment import Experiment
from chinspect.proof.trial import ROUNDING, Rule

Values = NDArray[np.float64]
_MORE = 5  # times as many placebos in the second half, at least: enough to tell one in a hundred from one in twenty
_STEP = 20  # placebos between two looks at whether more can change anything; a trial that is stopped is not rejected
_MOST = 10  # trials that placebos of the second half are made for; of more, Bonferroni's factor makes rejection rare


def decide(
    experiments: Sequence[Experiment], rule: Rule, progress: Callable[[int, int], None] | None = None
) -> list[float]:
    """P-values of the trials of a family, whose experiments get as many placebos as that takes."""
    first = math.ceil(2 / rule.level - ROUNDING) - 1
    more = (first + 1) * max(_MORE, 2 * min(len(experiments), _MOST)) - 1
    for done, experiment in enumerate(experiments):
        experiment.measure(first)
        if progress is not None:
            progress(done + 1, len(experiments))
    early = step_down([experiment.standardised for experiment in experiments])
    p_values = []
    for experiment, p in zip(experiments, early, strict=True):
        best = p
        if 2 * p > rule.level + ROUNDING and experiment.trial(rule).leans:
            best = min(p, len(experiments) * _late(experiment, rule, more))
        p_values.append(min(2 * best, 1.0))
    return p_values


def _late(experiment: Experiment, rule: Rule, more: int) -> float:
    """Rank p-value of a trial with so many placebos, or with fewer where those already rule out that it is rejected."""
    allowed = rule.level / (2 * rule.trials) * (1 + more) - 1 + ROUNDING
    count = 0
    while count < more:
        count = min(max(count, len(experiment.statistics) - 1) + _STEP, more)
        experiment.measure(count)
        z = experiment.standardised
        if (z[1:] >= z[0]).sum() > allowed:
            break
    return experiment.rank_p


def step_down(statistics: Sequence[Values]) -> list[float]:
    """Adjusted p-values of m statistics, each (1 + K,) with the tested value in front; see the module."""
    if not statistics:
        return []
    values = np.stack(statistics)
    order = np.argsort(-values[:, 0], kind="stable")
    adjusted = np.empty(len(values))
    largest = 0.0
    for position, j in enumerate(order):
        rivals = values[order[position:], 1:].max(axis=0)
        largest = max(largest, float(1 + (rivals >= values[j, 0]).sum()) / values.shape[1])
        adjusted[j] = largest
    return [float(p) for p in adjusted]
