"""Coresets: the greedy sequence itself, its radius, and the integer grid."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from chinspect.anomaly import _coreset
from chinspect.anomaly._coreset import greedy_coreset, integer_grid


def sequential(points: torch.Tensor, count: int, first: int) -> list[int]:
    """The textbook loop: one point after the other, in 64-bit integers."""
    grid = points.long()
    taken, distances = [first], (grid - grid[first]).square().sum(1)
    while len(taken) < count and distances.max() > 0:
        taken.append(int(np.argmax(distances.numpy())))  # the lowest index among equals
        distances = torch.minimum(distances, (grid - grid[taken[-1]]).square().sum(1))
    return taken


def coreset(features: torch.Tensor, count: int, seed: int = 0) -> torch.Tensor:
    return greedy_coreset(integer_grid(features, np.random.default_rng(seed)), count, first=0)


def clusters(n: int, d: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(7, d, generator=generator) * 3
    return centres[torch.randint(7, (n,), generator=generator)] + torch.randn(n, d, generator=generator).relu()


@pytest.mark.parametrize("candidates", [1, 8, 64, 5000])
def test_the_sequence_is_that_of_the_plain_loop(monkeypatch, candidates):
    monkeypatch.setattr(_coreset, "_CANDIDATES", candidates)
    points = integer_grid(clusters(1500, 40, 0), np.random.default_rng(0))
    assert greedy_coreset(points, 200, first=3).tolist() == sequential(points, 200, 3)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 60), st.integers(1, 60), st.integers(0, 2**20), st.integers(1, 3))
def test_the_sequence_under_ties_and_duplicates(n, count, seed, spread):
    """Few distinct values: many points are equally far, and some are the same."""
    generator = torch.Generator().manual_seed(seed)
    points = torch.zeros(n, 128)
    points[:, :2] = torch.randint(-spread, spread + 1, (n, 2), generator=generator).float()
    first = seed % n
    before = _coreset._CANDIDATES
    try:
        _coreset._CANDIDATES = 1 + seed % 7
        assert greedy_coreset(points, min(count, n), first=first).tolist() == sequential(points, min(count, n), first)
    finally:
        _coreset._CANDIDATES = before


def test_grid_is_integer_and_all_sums_are_exact():
    grid = integer_grid(clusters(300, 1024, 1), np.random.default_rng(0))
    assert grid.shape == (300, 128)
    assert torch.equal(grid, grid.round())
    assert grid.abs().max() <= 127
    assert grid.abs().max() >= 126
    exact = (grid.long()[:, None] - grid.long()).square().sum(2)
    assert exact.max() < 2**24
    assert torch.equal(_coreset.squared_distances(grid, grid).long(), exact)


def test_grid_does_not_depend_on_the_order_of_summation():
    """Permuting features and signs alike permutes the sums, and must not change one of them."""
    features = clusters(100, 512, 2)
    order = torch.randperm(512, generator=torch.Generator().manual_seed(0))

    class Shuffled:
        def integers(self, low, high, shape):
            return np.random.default_rng(5).integers(low, high, shape)[order.numpy()]

    shuffled = integer_grid(features[:, order], Shuffled())
    assert torch.equal(shuffled, integer_grid(features, np.random.default_rng(5)))


def test_grid_keeps_distances():
    features = clusters(200, 600, 3)
    grid = integer_grid(features, np.random.default_rng(0))
    true, projected = torch.cdist(features, features), torch.cdist(grid, grid)
    ratio = (projected / true)[true > 0.5 * true.mean()]
    assert ratio.std() / ratio.mean() < 0.1


def test_coverage_radius_is_near_that_of_greedy_in_the_full_space():
    generator = torch.Generator().manual_seed(4)
    features = torch.randn(1200, 3, generator=generator) @ torch.randn(3, 64, generator=generator)
    taken = coreset(features, 60)
    exact, distances = [0], (features - features[0]).norm(dim=1)
    while len(exact) < 60:
        exact.append(int(distances.argmax()))
        distances = torch.minimum(distances, (features - features[exact[-1]]).norm(dim=1))
    chance = torch.randperm(1200, generator=torch.Generator().manual_seed(0))[:60]

    def radius(indices: torch.Tensor) -> float:
        return float(torch.cdist(features, features[indices]).amin(1).max())

    assert radius(taken) < 1.15 * radius(torch.tensor(exact))
    assert radius(taken) < 0.7 * radius(chance)


def test_seed_decides():
    features = clusters(400, 32, 5)
    first, again, other = (coreset(features, 40, seed) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert len(set(first.tolist())) == 40


def test_duplicates_end_the_selection():
    features = torch.eye(5).repeat(20, 1)
    assert len(coreset(features, 50)) == 5


def test_constant_features():
    assert coreset(torch.zeros(10, 4), 3).shape == (1,)
