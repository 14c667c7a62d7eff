import numpy as np
import pytest

from chinspect.spray.proposals import kmeans
from chinspect.spray.separability import scatter, tau_anders2019, tau_stabilised
from chinspect.spray.spectral import Spectrum


def spectrum_of(rows, components=None):
    n, q = rows.shape
    parts = np.zeros(n, np.int64) if components is None else components
    return Spectrum(np.linspace(0, 1, q), rows, np.zeros(q), parts)


def slow_scatter(rows, labels, weighted):
    q = rows.shape[1]
    between, within = np.zeros((q, q)), np.zeros((q, q))
    for label in set(labels.tolist()):
        members = [row for row, own in zip(rows, labels, strict=True) if own == label]
        mean = sum(members) / len(members)
        away = (mean - rows.mean(0))[:, None]
        between += away @ away.T * (len(members) if weighted else 1)
        for row in members:
            within += (row - mean)[:, None] @ (row - mean)[None, :]
    return between, within


@pytest.mark.parametrize("weighted", [False, True])
def test_scatter_matrices_are_those_of_the_slow_loop(weighted):
    rng = np.random.default_rng(0)
    rows, labels = rng.normal(size=(40, 4)), rng.integers(0, 5, 40) * 3
    for found, expected in zip(
        scatter(rows, labels, weighted=weighted), slow_scatter(rows, labels, weighted), strict=True
    ):
        np.testing.assert_allclose(found, expected, atol=1e-10)


def test_tau_by_hand():
    """{0, 2} and {10, 12}: S_b = 5^2 + 5^2 = 50, S_w = 4, tau = 12.5."""
    rows = np.array([[0.0], [2.0], [10.0], [12.0]])
    assert tau_anders2019(spectrum_of(rows), sizes=[2]) == pytest.approx(12.5)


def test_tau_is_the_mean_over_partitions_of_the_largest_root():
    rows = np.random.default_rng(1).normal(size=(80, 3))
    expected = []
    for size in range(2, 31):
        between, within = slow_scatter(rows, kmeans(rows, size, 0), False)
        expected.append(np.linalg.eigvals(np.linalg.inv(within) @ between).real.max())
    assert tau_anders2019(spectrum_of(rows)) == pytest.approx(np.mean(expected), rel=1e-6)


def test_the_stabilised_one_by_its_definition():
    rows = np.random.default_rng(2).normal(size=(70, 5))
    kept, expected = rows[:, 1:], []  # one component: its vector is left out
    for size in range(2, 31):
        between, within = slow_scatter(kept, kmeans(kept, size, 0), True)
        ridge = 1e-3 * np.trace(within) / 4 * np.eye(4)
        expected.append(np.log(np.linalg.eigvals(np.linalg.inv(within + ridge) @ between).real.max()))
    assert tau_stabilised(spectrum_of(rows)) == pytest.approx(np.median(expected), rel=1e-6)


def test_collapsed_clusters_have_no_bound_as_published_and_one_when_stabilised():
    rows = np.repeat(np.random.default_rng(3).normal(size=(4, 3)), 15, axis=0)
    assert tau_anders2019(spectrum_of(rows)) > 1e6
    assert np.isfinite(tau_stabilised(spectrum_of(rows)))


def test_better_apart_is_larger():
    rng = np.random.default_rng(4)
    labels = np.repeat([0, 1, 2], 30)
    away = np.zeros((90, 4))
    away[:, 1:] = np.eye(3)[labels]
    noise = rng.normal(size=(90, 4))
    near, far = (spectrum_of(noise + scale * away) for scale in (1, 20))
    assert tau_stabilised(far) > tau_stabilised(near)


def test_without_vectors_beyond_the_components_there_is_none():
    rows = np.random.default_rng(5).normal(size=(30, 3))
    assert np.isnan(tau_stabilised(spectrum_of(rows, components=np.arange(30) % 3)))
