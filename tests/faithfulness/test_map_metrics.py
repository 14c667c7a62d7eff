"""Metrics of maps: slow textbook references, scores whose cause is known, and what a map must never gain by."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from chinspect.errors import InputError
from chinspect.faithfulness import (
    adcc,
    arcc,
    coherency,
    complexity,
    deletion_curve,
    drop,
    entropy,
    gain,
    imputed,
    increase,
    insertion_curve,
    masked_score,
    pointing_game,
    relevance_mass,
    road,
)
from chinspect.faithfulness.changed import as_mask, enlarged, pixel_order

SIDE = 12
CAUSE = np.zeros((SIDE, SIDE), dtype=bool)
CAUSE[2:5, 6:10] = True
"""The pixels that the score of these tests depends on."""
NEIGHBOURS = {(r, c): 1 / 6 if r * c == 0 else 1 / 12 for r in (-1, 0, 1) for c in (-1, 0, 1) if (r, c) != (0, 0)}


@pytest.fixture
def x() -> Tensor:
    return torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) + 1


def score(images: Tensor) -> Tensor:
    """The mean brightness of the cause."""
    return images.mean(1)[:, torch.from_numpy(CAUSE)].mean(1)


def random_map(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((SIDE, SIDE))


@pytest.mark.parametrize("inserts", [True, False])
def test_a_curve_is_that_of_a_loop_over_pixels(x, inserts):
    relevance = random_map()
    x0 = torch.zeros(1, 3, SIDE, SIDE)
    start, end = (x0, x) if inserts else (x, x0)
    image = start.clone()
    scores = [float(score(image)[0])]
    for index in np.argsort(-relevance.ravel()):
        image[0, :, index // SIDE, index % SIDE] = end[0, :, index // SIDE, index % SIDE]
        scores.append(float(score(image)[0]))
    curve = (insertion_curve if inserts else deletion_curve)(score, x, relevance, "grey", steps=SIDE * SIDE)
    np.testing.assert_allclose(curve.scores, scores, rtol=1e-5)
    assert curve.area == pytest.approx(np.mean((np.array(scores)[1:] + scores[:-1]) / 2))


def test_no_map_beats_the_cause_itself(x):
    x[:, :, torch.from_numpy(CAUSE)] += (
        3  # what stands out from its neighbours, since ROAD shows their mean in its place
    )
    perfect = CAUSE.astype(float)
    others = [random_map(seed) for seed in range(20)] + [1 - perfect, np.ones_like(perfect)]
    measures = {
        "insertion": lambda map_: insertion_curve(score, x, map_, "grey", steps=24).area,
        "deletion": lambda map_: -deletion_curve(score, x, map_, "grey", steps=24).area,
        "ROAD": lambda map_: road(score, x, map_).combined,
    }
    for measure in measures.values():
        assert measure(perfect) > max(measure(map_) for map_ in others)


def test_pixels_of_equal_relevance_come_in_random_order():
    order = pixel_order(torch.ones(40, 40), 0)
    assert sorted(order.tolist()) == list(range(1600))
    assert abs(np.corrcoef(order, np.arange(1600))[0, 1]) < 0.1  # four standard errors
    assert torch.equal(order, pixel_order(torch.ones(40, 40), 0))
    assert not torch.equal(order, pixel_order(torch.ones(40, 40), 1))


def test_an_imputed_pixel_is_the_mean_of_its_neighbours(x):
    removed = torch.from_numpy(np.random.default_rng(0).random((3, SIDE, SIDE)) < [[[0.1]], [[0.5]], [[0.95]]])
    filled = imputed(x.double(), removed, noise=0)
    for image, hidden in zip(filled, removed, strict=True):
        assert torch.equal(image[:, ~hidden], x[0].double()[:, ~hidden])
        for row, column in zip(*np.nonzero(hidden.numpy()), strict=True):
            around = {(row + r, column + c): weight for (r, c), weight in NEIGHBOURS.items()}
            inside = {at: weight for at, weight in around.items() if min(at) >= 0 and max(at) < SIDE}
            mean = sum(weight * image[:, r, c] for (r, c), weight in inside.items()) / sum(inside.values())
            torch.testing.assert_close(image[:, row, column], mean)


def test_imputation_keeps_a_constant_and_adds_seeded_noise_to_what_is_removed():
    x = torch.full((1, 3, 30, 20), 0.7)
    removed = torch.zeros(1, 30, 20, dtype=torch.bool)
    removed[0, 3:25, 2:] = True
    torch.testing.assert_close(imputed(x, removed, noise=0), x)
    first, again, other = (imputed(x, removed, noise=0.1, random_state=seed) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(first[:, :, ~removed[0]], x[:, :, ~removed[0]])
    assert float((first - x)[:, :, removed[0]].std()) == pytest.approx(0.1, rel=0.1)


def test_road_is_zero_for_random_orders_in_the_mean_and_repeats(x):
    values = [road(score, x, np.ones((SIDE, SIDE)), random_state=seed).combined for seed in range(40)]
    error = np.std(values, ddof=1) / math.sqrt(40)
    assert abs(np.mean(values)) < 4 * error  # fails with probability 1e-4
    assert (
        road(score, x, random_map(), random_state=3).combined == road(score, x, random_map(), random_state=3).combined
    )


def test_road_turns_its_sign_with_the_map(x):
    assert road(score, x, -random_map(), noise=0).combined == pytest.approx(
        -road(score, x, random_map(), noise=0).combined
    )


def test_drop_increase_and_gain_of_a_mask(x):
    relevance = np.zeros((SIDE, SIDE))
    relevance[2:5, 6:8] = 3.0  # half of the cause
    plain, masked = masked_score(score, x, relevance)
    half = float(x.mean(1)[0, 2:5, 6:8].mean()) / 2
    assert (plain, masked) == (pytest.approx(float(score(x)[0])), pytest.approx(half))
    assert drop(plain, masked, "absolute")[0] == pytest.approx(plain - half)
    assert drop(plain, masked)[0] == pytest.approx((plain - half) / plain)
    np.testing.assert_allclose(drop([0.5, 0.5, 0.0, -1], [0.2, 0.9, 0.3, -2]), [0.6, 0, np.nan, np.nan])
    np.testing.assert_allclose(gain([0.5, 0.5, 1.0], [0.2, 0.9, 1.0]), [0, 0.8, np.nan])
    np.testing.assert_allclose(gain([0.5, 2.0], [0.6, 3.0], "absolute"), [0.1, 1])
    np.testing.assert_array_equal(increase([0.5, 0.5, 0.5], [0.2, 0.5, 0.9]), [0, 0, 1])


def test_a_mask_of_ones_drops_nothing(x):
    plain, masked = masked_score(score, x, np.ones((3, 3)))
    assert plain == pytest.approx(masked)
    assert complexity(np.ones((3, 3))) == 1


def test_extents_and_negative_relevance():
    assert complexity([[4.0, 2.0], [0.0, -8.0]]) == pytest.approx(1.5 / 4)
    assert complexity(np.zeros((2, 2))) == 0
    assert entropy(np.ones((5, 5))) == pytest.approx(math.log(25))
    assert entropy([[0, 1.0], [0, 0]]) == 0
    assert math.isnan(entropy(np.zeros((2, 2))))
    assert as_mask(torch.tensor([[2.0, -1.0]])).tolist() == [[1, 0]]


def test_localisation_on_masks():
    relevance = np.where(CAUSE, 2.0, 1.0)
    assert pointing_game(relevance, CAUSE) == 1
    assert pointing_game(-relevance, CAUSE) == 0
    assert pointing_game(np.ones((SIDE, SIDE)), CAUSE) == pytest.approx(CAUSE.mean())
    assert relevance_mass(np.ones((4, 4)), CAUSE) == pytest.approx(CAUSE.mean())
    assert relevance_mass(relevance, CAUSE) == pytest.approx(24 / (24 + 132))
    assert relevance_mass(np.where(CAUSE, 1.0, -5.0), CAUSE) == 1
    assert math.isnan(relevance_mass(-relevance, CAUSE))


def test_composed_metrics_are_harmonic_means():
    assert adcc(0.8, 0.3, 0.1) == pytest.approx(3 / (1 / 0.8 + 1 / 0.7 + 1 / 0.9))
    assert arcc(0.8, 0.3, 0.2) == pytest.approx(3 / (1 / 0.8 + 1 / 0.7 + 1 / 0.4))
    assert arcc(1, 0, 3) == 1
    assert arcc(0.8, 0.3, -0.2) == adcc(1, 1, 0) == 0
    assert math.isnan(adcc(0.8, 0.3, math.nan))
    assert math.isnan(arcc(0.8, 0.3, math.nan))
    relevance = random_map()
    assert coherency(relevance, 2 * relevance + 1) == pytest.approx(1)
    assert coherency(relevance, -relevance) == pytest.approx(0, abs=1e-7)
    assert coherency(relevance, np.ones_like(relevance)) == 0.5


def test_maps_of_any_resolution_are_enlarged(x):
    assert enlarged(random_map()[:3, :4], (SIDE, SIDE)).shape == (SIDE, SIDE)
    assert enlarged(np.full((40, 30), 0.3), (7, 5)).numpy() == pytest.approx(0.3)
    coarse = np.array([[0.0, 1.0], [0.0, 0.0]])  # the cause lies in the upper right quarter
    assert insertion_curve(score, x, coarse, "grey").area > insertion_curve(score, x, coarse[::-1].copy(), "grey").area


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda x: road(score, x, np.full((3, 3), np.nan)), "finite relevance"),
        (lambda x: road(score, x, np.ones(9)), "finite relevance"),
        (lambda x: road(score, x, np.ones((3, 3)), percentiles=(0, 50)), "lie in"),
        (lambda x: road(score, x, np.ones((3, 3)), percentiles=()), "lie in"),
        (lambda x: road(score, x.repeat(2, 1, 1, 1), np.ones((3, 3))), "one finite image"),
        (lambda x: road(lambda images: images, x, np.ones((3, 3))), "a finite number for each"),
        (lambda x: insertion_curve(score, x * math.nan, np.ones((3, 3))), "one finite image"),
        (lambda x: insertion_curve(score, x, np.ones((3, 3)), steps=0), "at least 1 step"),
        (lambda x: deletion_curve(score, x, np.ones((3, 3)), "blurr"), "unknown reference"),
        (lambda x: masked_score(lambda images: images.mean() * math.nan, x, np.ones((3, 3))), "a finite number"),
        (lambda x: drop([0.1], [0.1], "total"), "'relative' or 'absolute'"),
        (lambda x: drop([0.1], [0.1, 0.2]), "two lists of one length"),
        (lambda x: pointing_game(np.ones((3, 3)), np.zeros((4, 4), bool)), "marks nothing"),
        (lambda x: pointing_game(np.ones((3, 3)), np.ones((4, 4))), "booleans"),
        (lambda x: coherency(np.ones((3, 3)), np.ones((4, 4))), "one shape"),
        (lambda x: imputed(x, torch.ones(1, SIDE, SIDE, dtype=torch.bool)), "without any pixel"),
        (lambda x: imputed(x, torch.zeros(1, 3, 3, dtype=torch.bool)), "are removed by sets"),
    ],
)
def test_refusals_of_metrics(x, call, reason):
    with pytest.raises(InputError, match=reason):
        call(x)
