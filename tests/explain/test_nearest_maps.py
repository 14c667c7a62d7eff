import sys
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.neighbors import NearestNeighbors

from chinspect.errors import InputError
from chinspect.explain import binary_affinity, nearest
from tests.spray._maps import peer


def test_neighbours_are_those_of_all_distances():
    rows = np.random.default_rng(0).random((80, 7)).astype(np.float32)
    found = nearest(rows, 6)
    distances = cdist(rows, rows)
    np.fill_diagonal(distances, np.inf)
    np.testing.assert_array_equal(found.indices, np.argsort(distances, axis=1)[:, :6])
    np.testing.assert_allclose(found.distances, np.sort(distances, axis=1)[:, :6], atol=1e-3)
    assert found.recall == 1.0


@pytest.mark.parametrize("copies", [2, 9, 30])
def test_a_row_is_never_its_own_neighbour_whatever_is_equal_to_it(copies):
    rows = np.random.default_rng(1).random((40, 5)).astype(np.float32)
    rows[:copies] = rows[0]
    found = nearest(rows, 8)
    assert not (found.indices == np.arange(40)[:, None]).any()
    assert all(len(set(row)) == 8 for row in found.indices.tolist())
    np.testing.assert_allclose(found.distances[:copies, : min(copies - 1, 8)], 0, atol=1e-3)


def test_the_approximate_search_measures_its_recall_and_leaves_each_row_out():
    peer("pynndescent")
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(1_200, 12)).astype(np.float32)
    rows[:15] = rows[0]
    found, exact = nearest(rows, 6, exact_up_to=0), nearest(rows, 6)
    same = [
        len(set(a) & set(b)) / 6 for a, b in zip(found.indices[15:].tolist(), exact.indices[15:].tolist(), strict=True)
    ]
    assert np.mean(same) > 0.98
    assert found.recall > 0.95
    assert not (found.indices == np.arange(1_200)[:, None]).any()
    assert (np.diff(found.distances, axis=1) >= -1e-5).all()


@pytest.mark.parametrize("count", [300, 1_200])
def test_neighbours_that_the_search_misses_are_counted(monkeypatch, count):
    """A search that finds the row itself somewhere, and every third neighbour not at all."""

    class Careless:
        def __init__(self, rows, metric, n_neighbors, random_state):
            found = NearestNeighbors(n_neighbors=2 * n_neighbors).fit(rows).kneighbors(rows)
            kept = np.flatnonzero(np.arange(2 * n_neighbors) % 3 != 1)[:n_neighbors]
            self.neighbor_graph = found[1][:, kept], found[0][:, kept]

    monkeypatch.setitem(sys.modules, "pynndescent", SimpleNamespace(NNDescent=Careless))
    rows = np.random.default_rng(4).random((count, 3)).astype(np.float32)
    found = nearest(rows, 6, exact_up_to=0)
    assert found.recall == pytest.approx(4 / 6, abs=0.01)
    assert not (found.indices == np.arange(count)[:, None]).any()


def test_without_the_library_the_message_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynndescent", None)
    with pytest.raises(InputError, match=r"among 30 maps need pynndescent: pip install 'chinspect\[spray\]'"):
        nearest(np.random.default_rng(5).random((30, 3)).astype(np.float32), 3, exact_up_to=0)


def test_affinity_is_the_mean_of_the_graph_and_its_transpose():
    rows = np.random.default_rng(3).random((30, 4)).astype(np.float32)
    indices = nearest(rows, 5).indices
    graph = np.zeros((30, 30))
    for i, row in enumerate(indices):
        for j in row:
            graph[i, j] = 1
    found = binary_affinity(indices).toarray()
    np.testing.assert_array_equal(found, (graph + graph.T) / 2)
    assert set(np.unique(found)) == {0.0, 0.5, 1.0}


@pytest.mark.parametrize("k", [0, -1, 10, 11])
def test_more_neighbours_than_there_are_others_are_refused(k):
    with pytest.raises(InputError, match=f"between 1 and the number of maps less one .9., not at {k}"):
        nearest(np.random.default_rng(0).random((10, 3)).astype(np.float32), k)
