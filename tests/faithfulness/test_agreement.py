"""Agreement with Shapley values: right for planted truth, whatever the noise of the estimates."""

import math

import numpy as np
import pytest

from chinspect.errors import InputError
from chinspect.faithfulness import shapley_agreement

RNG = np.random.default_rng(0)
TRUTH = RNG.normal(size=400)


def estimates(noise: float, seed: int = 1) -> list[np.ndarray]:
    generator = np.random.default_rng(seed)
    return [TRUTH + noise * generator.normal(size=TRUTH.shape) for _ in range(2)]


@pytest.mark.parametrize("noise", [0.0, 0.5, 1.0, 2.0])
def test_the_correction_undoes_the_noise_of_the_estimates(noise):
    relevance = TRUTH + np.random.default_rng(2).normal(size=400)
    true = np.corrcoef(relevance, TRUTH)[0, 1]
    result = shapley_agreement(relevance, *estimates(noise), n_resamples=200)
    # the correlation of 400 values has a standard error of .03, divided by a reliability of at least .33
    assert result.corrected == pytest.approx(true, abs=0.1)
    assert result.low < result.corrected < result.high


def test_reliability_is_that_of_the_mean_of_both():
    result = shapley_agreement(TRUTH, *estimates(1.0), n_resamples=20)
    # variance 1 of the truth, .5 of the noise of the mean
    assert result.reliability == pytest.approx(1 / 1.5, abs=0.06)
    assert result.correlation == pytest.approx(math.sqrt(1 / 1.5), abs=0.05)


def test_an_unrelated_map_agrees_with_nothing():
    # ten nulls; each interval misses 0 with probability .05, four of them or more with one of .001
    misses = 0
    for seed in range(10):
        result = shapley_agreement(
            np.random.default_rng(seed + 10).normal(size=400), *estimates(1.0, seed), n_resamples=300
        )
        misses += not result.low < 0 < result.high
    assert misses < 4


def test_estimates_without_signal_say_so():
    result = shapley_agreement(TRUTH, TRUTH, -TRUTH, n_resamples=10)
    assert math.isnan(result.corrected)
    assert "too inexact" in result.sentence


def test_pair_maps_are_compared_cell_by_cell():
    a = RNG.normal(size=(9, 5))
    b = RNG.normal(size=(7, 5))
    truth = a @ b.T
    result = shapley_agreement(2 * truth + 3, truth, truth, n_resamples=50)
    assert result.corrected == pytest.approx(1)
    assert result.low == pytest.approx(1)
    assert "correlates with Shapley values at 1.00" in result.sentence
    assert result.document()["reliability"] == pytest.approx(1)


@pytest.mark.parametrize(
    ("maps", "reason"),
    [
        ((np.arange(3.0), np.arange(4.0), np.arange(4.0)), "one shape"),
        ((np.arange(2.0),) * 3, "one shape"),
        ((np.ones(4), np.arange(4.0), np.arange(4.0)), "the same value everywhere"),
        ((np.array([0, 1, np.nan]),) * 3, "finite"),
    ],
)
def test_refusals(maps, reason):
    with pytest.raises(InputError, match=reason):
        shapley_agreement(*maps)
