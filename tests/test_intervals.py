"""Intervals against scipy, against published numbers, and against their definitions in loops."""

import math

import numpy as np
import pytest
from scipy.stats import binomtest, bootstrap, norm

from chinspect.errors import InputError
from chinspect.intervals import draws, interval, mean, mean_interval, paired_difference, wilson


@pytest.mark.parametrize(("count", "n"), [(0, 10), (10, 10), (1, 3), (7, 40), (500, 1000)])
@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
def test_wilson_is_scipys(count, n, confidence):
    expected = binomtest(count, n).proportion_ci(confidence, method="wilson")
    assert wilson(count, n, confidence) == pytest.approx((expected.low, expected.high), abs=1e-12)


def outcomes(both, lost, won, neither):
    """Before and after of cases that were true at both times, at one of them, or never."""
    before = [True] * (both + lost) + [False] * (won + neither)
    after = [True] * both + [False] * lost + [True] * won + [False] * neither
    return before, after


def test_a_paired_difference_is_the_published_one():
    """Approval of a prime minister in two surveys, Agresti, Categorical Data Analysis, table 10.1: -0.059 to -0.021.

    With 1600 cases the half case that is added to each outcome changes the fourth digit only.
    """
    difference, low, high = paired_difference(*outcomes(794, 150, 86, 570))
    assert difference == pytest.approx(-0.04)
    assert (low, high) == pytest.approx((-0.0587, -0.0213), abs=5e-4)


@pytest.mark.parametrize("counts", [(3, 2, 5, 1), (0, 4, 0, 0), (5, 0, 0, 5)])
def test_a_paired_difference_is_walds_of_tables_with_half_a_case_more(counts):
    both, lost, won, neither = (count + 0.5 for count in counts)
    n = both + lost + won + neither
    centre = (won - lost) / n
    half = norm.ppf(0.975) * math.sqrt((lost + won - (won - lost) ** 2 / n) / n**2)
    _, low, high = paired_difference(*outcomes(*counts))
    assert (low, high) == pytest.approx((max(centre - half, -1), min(centre + half, 1)))


@pytest.mark.parametrize(("before", "after"), [([], []), ([True], [True, False]), ([[True]], [[True]])])
def test_a_paired_difference_takes_two_lists_of_one_length(before, after):
    with pytest.raises(InputError, match="two lists of one length"):
        paired_difference(before, after)


def test_the_interval_of_a_mean_is_scipys_bootstrap():
    """Ends of 20,000 resamples scatter by about 1 % of the width each, and a tenth of it is allowed."""
    values = np.random.default_rng(0).exponential(size=50)
    low, high = mean_interval(values, n_resamples=20_000)
    expected = bootstrap((values,), np.mean, n_resamples=20_000, method="percentile").confidence_interval
    assert (low, high) == pytest.approx(tuple(expected), abs=0.1 * (high - low))


def test_fewer_than_two_values_have_no_interval():
    assert all(math.isnan(end) for end in mean_interval(np.array([1.0])))


def test_means_of_pairs_weigh_images_by_how_often_they_are_drawn():
    generator = np.random.default_rng(0)
    pairs = generator.normal(size=(6, 6))
    np.fill_diagonal(pairs, 0)
    assert mean(pairs) == pytest.approx(pairs.sum() / 30)
    counts = draws(6, 200, seed=0)
    assert ((counts > 0).sum(1) > 1).all()
    slow = []
    for row in counts.astype(int):
        drawn = np.repeat(np.arange(6), row)
        different = [(i, j) for i in drawn for j in drawn if i != j]
        slow.append(np.mean([pairs[i, j] for i, j in different]))
    assert interval(pairs, counts, 0.1) == pytest.approx(tuple(np.quantile(slow, [0.05, 0.95])))


def test_chance_enters_by_the_seed_only():
    values = np.arange(20.0)
    assert mean_interval(values, seed=3) == mean_interval(values, seed=3)
    assert mean_interval(values, seed=3) != mean_interval(values, seed=4)


@pytest.mark.parametrize("n", [1, 7, 24, 1000])
def test_wilson_ends_at_zero_and_one(n):
    assert wilson(0, n)[0] == 0
    assert wilson(n, n)[1] == 1
