import numpy as np
import pytest
from _maps import blobs, peer
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from scipy.spatial.distance import cdist

from chinspect.errors import InputError
from chinspect.spray import SpRAy
from chinspect.spray.transport import _bounds, distance, measure, nearest_by_transport

METRICS = ("wasserstein", "gromov_wasserstein")


@pytest.fixture(scope="module", autouse=True)
def ot():
    return peer("ot")


def few_blobs(n, seed, side=6):
    return blobs(n, seed, side=side, each=2)


def moved(map_, down, right):
    out = np.zeros_like(map_)
    out[down:, right:] = map_[: len(map_) - down, : len(map_) - right]
    return out


def test_a_measure_is_the_largest_cells_that_hold_99_percent():
    map_ = np.zeros((5, 5), np.float32)
    map_[0, 1], map_[3, 4], map_[2, 2], map_[4, 4] = 6, 3.96, 0.04, -50
    places, masses = measure(map_)
    assert places.tolist() == [[0, 1], [3, 4]]
    np.testing.assert_allclose(masses, [6 / 9.96, 3.96 / 9.96], rtol=1e-6)
    assert len(measure(np.ones((14, 14), np.float32))[1]) == 100
    assert len(measure(-np.ones((4, 4), np.float32))[1]) == 1


def test_wasserstein_is_the_optimum_of_the_linear_programme():
    measures = [measure(map_) for map_ in few_blobs(6, 0, side=4)]
    for a in measures[:3]:
        for b in measures[3:]:
            n, m = len(a[1]), len(b[1])
            rows = np.kron(np.eye(n), np.ones(m))
            columns = np.kron(np.ones(n), np.eye(m))
            solved = linprog(
                cdist(a[0], b[0]).ravel(), A_eq=np.vstack([rows, columns]), b_eq=np.concatenate([a[1], b[1]])
            )
            assert distance(a, b, "wasserstein") == pytest.approx(solved.fun, abs=1e-6)


def test_one_cell_moves_as_far_as_it_lies_away():
    one, two = np.zeros((9, 9), np.float32), np.zeros((9, 9), np.float32)
    one[1, 1], two[4, 5] = 2, 7
    assert distance(measure(one), measure(two), "wasserstein") == pytest.approx(5)
    assert distance(measure(one), measure(two), "gromov_wasserstein") == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("metric", METRICS)
def test_neighbours_are_those_of_all_pairs(metric, ot):
    maps = few_blobs(14, 1)
    measures = [measure(map_) for map_ in maps]
    if metric == "wasserstein":
        pairs = [[ot.emd2(a[1], b[1], cdist(a[0], b[0])) for b in measures] for a in measures]
    else:
        inner = [cdist(places, places) for places, _ in measures]
        pairs = [
            [
                ot.gromov.gromov_wasserstein2(inner[i], inner[j], a[1], b[1], "square_loss")
                for j, b in enumerate(measures)
            ]
            for i, a in enumerate(measures)
        ]
    expected = np.array(pairs)
    if metric == "gromov_wasserstein":
        expected = np.sqrt(np.maximum(expected, 0))
    np.fill_diagonal(expected, np.inf)
    found = nearest_by_transport(maps, 4, metric)
    np.testing.assert_allclose(found.distances, np.sort(expected, axis=1)[:, :4], atol=1e-5)
    np.testing.assert_allclose(
        np.take_along_axis(expected, found.indices, 1), np.sort(expected, axis=1)[:, :4], atol=1e-5
    )
    assert found.recall == 1.0


def test_the_shortlist_keeps_the_true_neighbours_of_most_maps(ot):
    maps = few_blobs(70, 2, side=5)
    measures = [measure(map_) for map_ in maps]
    expected = np.array([[ot.emd2(a[1], b[1], cdist(a[0], b[0])) for b in measures] for a in measures])
    np.fill_diagonal(expected, np.inf)
    found = nearest_by_transport(maps, 3, "wasserstein")
    assert np.isnan(found.recall)
    true = np.argsort(expected, axis=1)[:, :3]
    assert (
        np.mean([len(set(a) & set(b)) / 3 for a, b in zip(found.indices.tolist(), true.tolist(), strict=True)]) > 0.98
    )


@pytest.mark.parametrize("change", [np.rot90, np.flipud, np.fliplr, np.transpose, lambda m: moved(m, 2, 3)])
def test_gromov_wasserstein_ignores_where_shapes_lie_and_how_they_are_turned(change):
    map_ = np.zeros((10, 10), np.float32)
    map_[1, 1:7], map_[2:5, 1], map_[4, 2] = 2, 1, 5
    other = np.zeros((10, 10), np.float32)
    other[3:6, 3:6] = 1
    same = distance(measure(map_), measure(change(map_)), "gromov_wasserstein")
    assert same < 0.2 * distance(measure(map_), measure(other), "gromov_wasserstein")
    if change is not np.transpose:
        assert distance(measure(map_), measure(change(map_)), "wasserstein") > 0.2


@pytest.mark.parametrize("metric", METRICS)
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**16), sharp=st.integers(1, 12))
def test_bounds_are_below_the_distance(metric, seed, sharp):
    maps = np.random.default_rng(seed).random((2, 4, 4)).astype(np.float32) ** sharp
    one, two = (measure(map_) for map_ in maps)
    lower = np.linalg.norm(np.subtract(*_bounds([one, two], metric)))
    assert lower <= distance(one, two, metric) + 1e-6


def test_a_mark_that_moves_a_little_is_one_cluster_under_transport_only():
    rng = np.random.default_rng(3)
    maps = np.zeros((24, 8, 8), np.float32)
    for map_, (y, x) in zip(maps[:12], rng.integers(0, 3, (12, 2)), strict=True):
        map_[y, x] = 1
    for map_, (y, x) in zip(maps[12:], rng.integers(5, 8, (12, 2)), strict=True):
        map_[y, x] = 1
    maps += 1e-3 * rng.random(maps.shape, dtype=np.float32)
    spray = SpRAy(metric="wasserstein", pool=None, n_neighbors=4, n_surrogates=0).fit(maps)
    labels = spray.clusterings_["components"]
    assert not set(labels[:12]) & set(labels[12:])
    assert spray.verdict_ == "untested"
    assert not spray.flagged_


@pytest.mark.parametrize("metric", METRICS)
def test_large_maps_are_refused(metric):
    with pytest.raises(InputError, match=r"at most 14 x 14 cells, not \(16, 16\): give pool=14"):
        SpRAy(metric=metric).fit(blobs(12, 0))
