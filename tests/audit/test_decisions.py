"""When a change is a stress: the rule, its level on nulls, and what it sees."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from chinspect.audit.decisions import PLACEBO, holm, judge_changes, mcnemar_p

LEVEL = 0.05


def decisions(n, *turned):
    """All True but those."""
    values = np.ones(n, dtype=bool)
    values[list(turned)] = False
    return values


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
@settings(max_examples=50, deadline=None)
def test_holm_is_the_closure_of_bonferroni(values):
    p_values = {str(i): p for i, p in enumerate(values)}
    for name, adjusted in holm(p_values).items():
        others = [one for one in p_values if one != name]
        slow = max(
            min((len(rest) + 1) * min([p_values[name], *(p_values[one] for one in rest)]), 1.0)
            for size in range(len(others) + 1)
            for rest in combinations(others, size)
        )
        assert adjusted == pytest.approx(slow)


def test_p_value_is_that_of_the_binomial_test():
    rng = np.random.default_rng(0)
    for _ in range(20):
        turned, placebo = rng.random((2, 50)) < 0.3
        more, less = (turned & ~placebo).sum(), (placebo & ~turned).sum()
        assert mcnemar_p(turned, placebo) == pytest.approx(
            binomtest(int(more), int(more + less), alternative="greater").pvalue
        )
    assert mcnemar_p(placebo, placebo) == 1


def test_changes_that_are_no_more_than_the_placebo_are_no_stress():
    # 400 audits of ten changes that move scores as the placebo does. The level is 5 %, so that a right rule fails here
    # once in 10,000 seeds.
    rng = np.random.default_rng(1)
    alarms = 0
    for _ in range(400):
        scores = rng.standard_normal(150)
        moved = scores + 0.2 * rng.standard_normal((11, 150))
        judged = judge_changes(scores > 1, {str(i): row > 1 for i, row in enumerate(moved[:10])}, moved[10] > 1)
        alarms += any(one.status == "stress" for name, one in judged.items() if name != PLACEBO)
    assert binom.sf(alarms - 1, 400, LEVEL) > 1e-4


@pytest.mark.parametrize(
    ("n", "turned", "placebo", "status"),
    [
        (150, range(15), (), "stress"),
        (150, range(15), range(15), "clear"),  # the placebo turns the same ones
        (2000, range(12), (), "clear"),  # beyond chance, and fewer than one in fifty
        (150, range(4), (), "undecided"),  # one in fifty, and chance would do that
        (20, range(3), (), "undecided"),  # more than one in ten may be
        (150, (), (), "clear"),
        (12, (), (), "undecided"),
    ],
)
def test_what_turns_more_decisions_than_the_placebo(n, turned, placebo, status):
    judged = judge_changes(decisions(n), {"change": decisions(n, *turned)}, decisions(n, *placebo))
    one = judged["change"]
    assert (one.status, one.images, one.turned, one.placebo) == (status, n, len(turned), len(placebo))
    assert one.excess == pytest.approx((len(turned) - len(placebo)) / n)
    assert one.low <= one.excess <= one.high


def test_decisions_that_turn_both_ways_count_too():
    before = np.arange(100) % 2 == 0
    after = before ^ (np.arange(100) < 20)
    assert before.mean() == after.mean()
    assert judge_changes(before, {"change": after}, before)["change"].status == "stress"


def test_a_detector_that_half_of_a_grey_level_turns_is_told():
    judged = judge_changes(decisions(100), {}, decisions(100, *range(20)))
    assert judged[PLACEBO].status == "stress"
    assert judge_changes(decisions(100), {}, decisions(100, 0))[PLACEBO].status == "clear"
