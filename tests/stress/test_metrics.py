"""The honest table, against its definitions and against scikit-learn."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import binomtest
from sklearn.metrics import f1_score, roc_auc_score

from chinspect.errors import InputError
from chinspect.intervals import paired_difference, wilson
from chinspect.stress import best_threshold, evaluate

SCORES = arrays(np.float64, st.integers(4, 30), elements=st.integers(-5, 5).map(float))


def halves(n: int) -> np.ndarray:
    return (np.arange(n) % 2).astype(int)


@settings(max_examples=40, deadline=None)
@given(SCORES, st.floats(-6, 6))
def test_it_agrees_with_scikit_learn(scores: np.ndarray, threshold: float) -> None:
    labels = halves(len(scores))
    row, flagged = evaluate(scores, labels, threshold), scores > threshold
    assert row.f1 == pytest.approx(f1_score(labels, flagged, zero_division=0))
    balanced = np.where(labels == 1, 1 / labels.sum(), 1 / (1 - labels).sum())
    assert row.f1_balanced == pytest.approx(f1_score(labels, flagged, sample_weight=balanced, zero_division=0))
    assert row.f1_all_positive == pytest.approx(f1_score(labels, np.ones_like(labels)))
    assert row.auroc == pytest.approx(roc_auc_score(labels, scores))
    assert row.fpr == pytest.approx(flagged[labels == 0].mean())
    assert row.fnr == pytest.approx((~flagged[labels == 1]).mean())
    assert row.fpr_low <= row.fpr + 1e-12 <= row.fpr_high + 2e-12


@settings(max_examples=40, deadline=None)
@given(SCORES)
def test_the_retuned_threshold_is_the_best_of_all(scores: np.ndarray) -> None:
    labels = halves(len(scores))
    below = np.nextafter(scores.min(), -np.inf)  # calls every image anomalous
    hits = {t: int((scores[labels == 1] > t).sum()) for t in (*scores, below)}
    all_f1 = {t: 2 * hits[t] / (int((scores > t).sum()) + labels.sum()) for t in hits}
    best = best_threshold(scores, labels)
    equal = [t for t, f1 in all_f1.items() if f1 == pytest.approx(max(all_f1.values()))]
    assert best == min(equal if equal == [below] else set(equal) - {below})  # an observed score, if one will do
    assert evaluate(scores, labels, 0.0).f1_retuned == pytest.approx(max(all_f1.values()))


@pytest.mark.parametrize(("count", "n"), [(0, 20), (20, 20), (3, 40), (1, 1)])
def test_intervals_are_wilsons(count: int, n: int) -> None:
    expected = binomtest(count, n).proportion_ci(method="wilson")
    assert wilson(count, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_shifts_are_in_interquartile_ranges_of_the_normals() -> None:
    before = np.array([0.0, 1.0, 2.0, 3.0, 4.0, 10.0, 12.0, 14.0])
    labels = np.array([0] * 5 + [1] * 3)
    after = before + np.where(labels == 1, -6.0, 4.0)
    row = evaluate(after, labels, 5.0, before)
    assert (row.shift_normal, row.shift_defect) == (2.0, -3.0)


def test_threshold_drift_shows_as_a_gap_between_frozen_and_retuned() -> None:
    labels = halves(40)
    before = labels * 10.0 + np.linspace(0, 1, 40)
    row = evaluate(before - 50, labels, best_threshold(before, labels), before)
    assert (row.f1, row.fnr, row.auroc, row.f1_retuned) == (0.0, 1.0, 1.0, 1.0)


def test_normals_that_all_score_the_same_have_no_shift() -> None:
    row = evaluate([1.0, 1.0, 2.0], [0, 0, 1], 1.5)
    assert math.isnan(row.shift_normal)
    assert row.f1 == 1.0


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        ([1.0, np.nan], [0, 1], "1 of 2 scores"),
        ([1.0, 2.0], [0, 0], "0 defects of 2"),
        ([1.0, 2.0], [1, 1], "2 defects of 2"),
        ([1.0, 2.0], [1], "one length"),
    ],
)
def test_what_cannot_be_judged_is_refused(scores: list[float], labels: list[int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        evaluate(scores, labels, 0.0)


def test_paired_differences_by_hand() -> None:
    before = [True] * 40 + [False] * 12 + [True] * 5 + [False] * 43
    after = [True] * 40 + [True] * 12 + [False] * 5 + [False] * 43
    value, low, high = paired_difference(before, after)
    error = math.sqrt(18 - 49 / 102) / 102
    assert (value, low, high) == pytest.approx((0.07, 7 / 102 - 1.959964 * error, 7 / 102 + 1.959964 * error))
    assert paired_difference(after, before) == pytest.approx((-value, -high, -low))
    assert paired_difference([True], [False])[1] >= -1
    with pytest.raises(InputError, match="two lists of one length"):
        paired_difference([True], [True, False])


@pytest.mark.parametrize(("n", "discordant"), [(30, 0.1), (30, 0.5), (200, 0.02), (200, 0.5)])
def test_paired_intervals_hold_the_truth(n: int, discordant: float) -> None:
    """95 % intervals of 800 samples: with a coverage of 94 % or more, the bound fails with probability 2e-4."""
    rng, held = np.random.default_rng(0), 0
    for _ in range(800):
        kind = rng.choice(3, size=n, p=[1 - discordant, discordant * 0.7, discordant * 0.3])
        before = np.where(kind == 0, rng.random(n) < 0.8, kind == 2)
        _, low, high = paired_difference(before, np.where(kind == 0, before, kind == 1))
        held += low <= 0.4 * discordant <= high
    assert held / 800 > 0.91
