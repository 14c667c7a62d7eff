"""The study of metrics: its maps have the quality that they are said to have, its numbers follow their definitions."""

import numpy as np
import pytest
from scipy.stats import kendalltau, spearmanr

from chinspect.world import scenes
from experiments.metrics.__main__ import CLASSES, known_maps, rank_correlation, tau
from experiments.tiny.world import EVERYWHERE_LOGO


def test_maps_of_higher_quality_lie_more_on_the_logo():
    scene = scenes(1, seed=3, classes=CLASSES, logo=EVERYWHERE_LOGO)[0]
    maps = known_maps(scene, 0)
    logo = scene.logo
    mass = {name: (quality, map_[logo].sum() / map_.sum()) for name, (quality, map_) in maps.items()}
    moved = [mass[f"logo, moved {steps}/3"][1] for steps in (1, 2, 4)]
    assert moved == pytest.approx([2 / 3, 1 / 3, 0], abs=0.05)
    noisy = [mass[f"logo + {factor} noise"][1] for factor in (1.5, 3, 6)]
    assert mass["logo"][1] == 1 > noisy[0] > noisy[1] > noisy[2]
    assert mass["object"] == (0, 0)
    assert {quality for quality, _ in maps.values()} == {0, 1, 2, 3, 4}


def test_tau_is_kendalls_without_ties_and_leaves_unknown_quality_out():
    rng = np.random.default_rng(0)
    values = rng.random(9)
    quality = rng.permutation(9)
    assert tau(values, quality) == pytest.approx(kendalltau(values, quality).statistic)
    assert tau(np.append(values, 0.5), np.append(quality, -1)) == pytest.approx(tau(values, quality))
    assert tau(quality.astype(float), quality // 3) == 1


def test_a_rank_correlation_is_spearmans():
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 4, (2, 12)).astype(float)
    assert rank_correlation(first, second) == pytest.approx(spearmanr(first, second).statistic)
    assert rank_correlation(first, np.ones(12)) == 0
