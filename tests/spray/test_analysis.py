"""The whole analysis: what it finds, what it leaves alone, and what it refuses."""

import sys
from dataclasses import replace

import numpy as np
import pytest
from _maps import blobs, marked
from joblib import parallel_config
from scipy.stats import combine_pvalues
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from chinspect.errors import InputError
from chinspect.spray import SpRAy
from chinspect.spray.candidates import flag
from chinspect.spray.strategy import strategy_scores

CORNER = slice(12, 15), slice(1, 4)
BORDER = slice(0, 16), slice(0, 1)
CENTRE = slice(6, 9), slice(7, 10)


def members_of(n, size, seed):
    return np.sort(np.random.default_rng(seed).choice(n, size, replace=False))


def f1(found, true):
    return 2 * len(np.intersect1d(found, true)) / (len(found) + len(true))


@pytest.fixture(scope="module")
def members():
    return members_of(80, 14, 0)


@pytest.fixture(scope="module")
def maps(members):
    return marked(blobs(80, 0), members, CORNER)


@pytest.fixture(scope="module")
def spray(maps):
    return SpRAy(n_surrogates=19).fit(maps)


@pytest.mark.parametrize(
    ("size", "position", "fraction"), [(8, CORNER, 0.5), (25, BORDER, 0.5), (36, CENTRE, 0.5), (14, CORNER, 0.35)]
)
def test_planted_artefacts_are_found(size, position, fraction):
    members = members_of(80, size, size)
    spray = SpRAy(n_surrogates=19).fit(marked(blobs(80, size), members, position, fraction))
    assert spray.verdict_ == "candidate"
    assert f1(spray.flagged_[0].indices, members) >= 0.9


def test_negative_relevance_is_found_too():
    members = members_of(80, 14, 1)
    spray = SpRAy(n_surrogates=19).fit(-marked(blobs(80, 1), members, CORNER))
    assert f1(spray.flagged_[0].indices, members) >= 0.9
    assert spray.flagged_[0].template.max() <= 0


def test_cosine_finds_it_as_well(maps, members):
    spray = SpRAy(metric="cosine", n_surrogates=19, normalise=False).fit(maps)
    assert f1(spray.flagged_[0].indices, members) >= 0.9


def test_cosine_finds_the_same_sizes_in_maps_of_any_scale():
    maps = blobs(60, 6)
    sizes = {SpRAy(metric="cosine", n_surrogates=19, normalise=n).fit(maps).min_detectable_size_ for n in (True, False)}
    assert sizes == {6}


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("normalise", [True, False])
def test_what_members_have_in_common_is_a_fraction_in_every_unit(metric, normalise):
    carriers = np.arange(14)
    scaled = marked(blobs(80, 0), carriers, CORNER) * np.random.default_rng(1).uniform(5, 6, (80, 1, 1))
    found = SpRAy(metric=metric, normalise=normalise, n_surrogates=0).fit(scaled).candidates_
    assert all(0 <= c.shared <= 1 for c in found)
    planted = max(found, key=lambda c: f1(c.indices, carriers))
    assert planted.shared == pytest.approx(0.5, abs=0.1)


def test_maps_without_a_reason_are_flagged_no_more_often_than_the_level_says():
    """Fisher's combination of the smallest p-values of five data sets: below 5e-4 in at most 1 of 2,000 reseeds.

    The p-values are valid rather than exact: of 60 sets of blobs with other seeds one had a p-value below 0.05.
    """
    rng = np.random.default_rng(5)
    nulls = [blobs(80, seed) for seed in (2, 3, 4)]
    nulls += [rng.normal(size=(60, 12, 12)), rng.random((60, 12, 12)) ** 12]
    smallest = []
    for maps in nulls:
        spray = SpRAy(n_surrogates=19).fit(maps)
        smallest.append(min((c.p_value for c in spray.candidates_), default=1.0))
        assert spray.flagged_ or spray.verdict_.startswith("undetected_above(")
    assert combine_pvalues(smallest).pvalue > 5e-4


def test_the_smallest_artefact_that_is_found_is_small_where_it_is_clear_and_found_indeed():
    maps = blobs(60, 6)
    spray = SpRAy(n_surrogates=19).fit(maps)
    smallest = spray.min_detectable_size_
    assert smallest == 6
    assert spray.verdict_ == "undetected_above(6)"
    planted = SpRAy(n_surrogates=19).fit(marked(maps, np.arange(2 * smallest), CORNER))
    assert f1(planted.flagged_[0].indices, np.arange(2 * smallest)) >= 0.9


def test_without_surrogates_nothing_is_tested_and_nothing_is_said(maps):
    spray = SpRAy(n_surrogates=0).fit(maps)
    assert spray.verdict_ == "untested"
    assert spray.min_detectable_size_ is None
    assert spray.candidates_
    assert np.isnan([(c.p_value, c.q_value) for c in spray.candidates_]).all()
    assert all(not c.flagged and c.verdict == "untested" for c in spray.candidates_)


def test_the_order_of_the_maps_does_not_matter(maps, spray):
    order = np.random.default_rng(7).permutation(len(maps))
    other = SpRAy(n_surrogates=19).fit(maps[order])
    assert {frozenset(c.indices.tolist()) for c in spray.flagged_} == {
        frozenset(order[c.indices].tolist()) for c in other.flagged_
    }
    np.testing.assert_allclose(other.eigenvalues_, spray.eigenvalues_, atol=1e-6)


def test_a_seed_decides_everything_and_the_number_of_processes_nothing(maps, spray):
    with parallel_config(backend="threading"):
        again = SpRAy(n_surrogates=19, n_jobs=2).fit(maps)
    for one, two in zip(spray.candidates_, again.candidates_, strict=True):
        assert one.record() == pytest.approx(two.record(), nan_ok=True)
        np.testing.assert_array_equal(one.indices, two.indices)
    np.testing.assert_array_equal(again.embedding_, spray.embedding_)
    np.testing.assert_array_equal(again.labels_, spray.labels_)


def test_another_seed_draws_other_surrogates(maps, spray):
    other = SpRAy(n_surrogates=19, random_state=1).fit(maps)
    assert not np.array_equal(other._chance.largest, spray._chance.largest)
    np.testing.assert_array_equal(other.flagged_[0].indices, spray.flagged_[0].indices)


def test_a_second_fit_forgets_the_first(maps):
    spray = SpRAy(n_surrogates=5).fit(maps)
    first = spray.min_detectable_size_
    spray.set_params(n_surrogates=0).fit(maps[:60])
    assert first is not None
    assert spray.min_detectable_size_ is None


def test_the_scale_of_each_map_does_not_matter(maps, spray):
    scaled = maps * np.random.default_rng(8).uniform(0.01, 100, (len(maps), 1, 1))
    other = SpRAy(n_surrogates=19).fit(scaled)
    np.testing.assert_array_equal(other.flagged_[0].indices, spray.flagged_[0].indices)


def test_empty_and_broken_maps_are_reported_and_change_nothing_else(maps, members, spray):
    bad = np.concatenate([maps, np.zeros((8, 16, 16), np.float32), np.full((3, 16, 16), np.nan, np.float32)])
    other = SpRAy(n_surrogates=19).fit(bad)
    assert other.zero_.tolist() == list(range(80, 88))
    assert other.invalid_.tolist() == [88, 89, 90]
    assert all((labels[80:] == -1).all() for labels in other.clusterings_.values())
    assert not {*range(80, 91)} & {int(i) for c in other.candidates_ for i in c.indices}
    np.testing.assert_array_equal(other.flagged_[0].indices, spray.flagged_[0].indices)


def test_classes_are_analysed_on_their_own_with_one_correction():
    labels = np.repeat(["cat", "dog", "rare"], [50, 45, 5])
    maps = marked(blobs(100, 9), np.arange(10), CORNER)
    spray = SpRAy(n_surrogates=19).fit(maps, labels)
    (found,) = [c for c in spray.flagged_ if set(range(9)) <= set(c.indices.tolist())]  # of all maps and of the cats
    np.testing.assert_array_equal(found.indices, np.arange(10))
    assert (found.label, found.group) in (("cat", "cat"), ("cat", None))
    assert {c.group for c in spray.candidates_} == {None, "cat", "dog"}
    assert not [c for c in spray.flagged_ if c.group == "dog"]


def test_groups_have_one_correction_and_what_two_of_them_hold_counts_once(spray):
    one = spray.candidates_[0]
    far = replace(one, indices=np.arange(20, 30))
    fewer = replace(one, indices=one.indices[1:])
    groups = {None: [(one, 0.004), (far, 0.5)], "cat": [(fewer, 0.001)], "dog": [(far, 0.02)]}
    given = [[replace(c, p_value=p, group=g) for c, p in pairs] for g, pairs in groups.items()]
    assert [(c.group, pytest.approx(c.q_value)) for c in flag(given)] == [("cat", 0.003), ("dog", 0.02)]
    assert [c.group for c in flag(given[::-1])] == ["cat", "dog"]
    untested = flag([[replace(c, p_value=np.nan) for c in group] for group in given])
    assert [c.flagged for c in untested] == [False, False]
    mixed = flag([[replace(one, p_value=np.nan, indices=np.arange(40, 46))], *given])
    assert [c.compared for c in mixed] == [True, True, False]


def test_a_p_value_of_nought_does_not_flag_what_else_its_group_holds(spray):
    one = spray.candidates_[0]
    far = replace(one, p_value=1.0, indices=np.arange(20, 30))
    for least in (0.0, 5e-324):
        found = flag([[replace(one, p_value=least), far]])
        assert [(c.q_value, c.flagged) for c in found] == [(least, True), (1.0, False)]


def test_classes_of_fewer_than_12_maps_and_a_class_of_all_are_not_analysed_on_their_own():
    labels = np.repeat([3, 5, 8], [40, 40, 7])
    maps = marked(blobs(87, 10), np.arange(40, 49), CORNER)
    spray = SpRAy(n_surrogates=19).fit(maps, labels)
    assert {c.group for c in spray.candidates_} <= {None, 3, 5}
    (found,) = [c for c in spray.flagged_ if set(range(40, 48)) <= set(c.indices.tolist())]
    np.testing.assert_array_equal(found.indices, np.arange(40, 49))
    assert type(found.label) is int
    alone = SpRAy(n_surrogates=0).fit(maps[:40], labels[:40])
    assert {c.group for c in alone.candidates_} == {None}


def test_the_strategy_that_one_map_uses_alone_is_the_first_outlier():
    maps = blobs(60, 11)
    maps[17] = 0
    maps[17, ::4, ::4] = 1
    spray = SpRAy(n_surrogates=0, n_eigenvectors=8).fit(maps)
    table = strategy_scores(spray.maps_, np.zeros(60, np.int64))
    assert table["log_likelihood"].idxmin() == 17
    assert table["outlier"].idxmax() == 17
    whole = spray.strategies()
    assert whole["map"].tolist() == list(range(60))
    assert whole["distance"].median() == pytest.approx(1, abs=0.5)
    others = spray.strategies(np.concatenate([maps[:3], maps[17:18]]))
    np.testing.assert_allclose(others["log_likelihood"], whole["log_likelihood"][[0, 1, 2, 17]], rtol=1e-4)


def test_places_in_the_plane_are_those_of_the_seed(spray):
    plane = spray.project()
    assert plane.shape == (80, 2)
    np.testing.assert_array_equal(plane, spray.project())
    with pytest.raises(InputError, match="'pca' is not known: use tsne or umap"):
        spray.project("pca")


def test_it_is_an_estimator_of_scikit_learn(maps):
    spray = SpRAy(metric="cosine", n_neighbors=7, n_eigenvectors=9, pool=None, n_surrogates=3, n_jobs=2, random_state=4)
    copy = clone(spray)
    assert copy.get_params() == spray.get_params()
    assert set(copy.get_params()) == {
        *("metric", "n_neighbors", "n_eigenvectors", "pool", "normalise", "n_surrogates", "n_jobs", "random_state")
    }
    for ask in (lambda: copy.verdict_, copy.to_frame, copy.project, copy.strategies):
        with pytest.raises(NotFittedError):
            ask()


def test_a_table_of_candidates_has_a_row_each(spray):
    table = spray.to_frame()
    assert len(table) == len(spray.candidates_)
    assert table["q_value"].is_monotonic_increasing
    assert table["size"].tolist() == [len(c.indices) for c in spray.candidates_]


def test_a_table_without_candidates_has_the_same_columns(spray):
    few = SpRAy(n_surrogates=0).fit(blobs(5, 12))
    assert few.candidates_ == []
    assert few.to_frame().columns.tolist() == spray.to_frame().columns.tolist()
    assert {"size", "shared", "q_value", "flagged", "verdict"} < set(few.to_frame())


def test_more_components_than_eigenvectors_are_the_labels():
    y, x = np.mgrid[:20, :20]
    places = [(row, column) for row in range(1, 20, 3) for column in range(1, 20, 3)][:40]
    maps = np.stack([np.exp(-((y - a) ** 2 + (x - b) ** 2) / 0.3) for a, b in np.repeat(places, 15, axis=0)])
    spray = SpRAy(n_surrogates=0).fit(maps + 1e-3 * np.random.default_rng(0).random(maps.shape))
    assert spray.n_components_ == 40
    np.testing.assert_array_equal(spray.labels_, np.repeat(np.arange(40), 15))


@pytest.mark.parametrize("n", [3, 4, 7, 12])
def test_few_maps_are_analysed(n):
    spray = SpRAy(n_surrogates=3).fit(blobs(n, 12))
    assert spray.embedding_.shape == (n, n - 1)
    assert spray.labels_.shape == (n,)
    assert not spray.flagged_


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"metric": "manhattan"}, "metric 'manhattan' is not known: use one of euclidean, cosine, wasserstein"),
        ({"n_neighbors": 0}, "n_neighbors is a whole number of at least 1, not 0"),
        ({"n_neighbors": 2.5}, "n_neighbors is a whole number of at least 1, not 2.5"),
        ({"n_eigenvectors": 1}, "n_eigenvectors is a whole number of at least 2, not 1"),
        ({"n_surrogates": -1}, "n_surrogates is a whole number of at least 0, not -1"),
        ({"n_surrogates": "99"}, "n_surrogates is a whole number of at least 0, not '99'"),
        ({"pool": 1}, "pool is a number of cells of at least 2, or None, not 1"),
        ({"pool": (4, 4)}, "pool is a number of cells of at least 2, or None"),
        ({"n_jobs": 0}, "n_jobs is a number of processes, -1 for all, or None, not 0"),
        ({"n_jobs": "all"}, "n_jobs is a number of processes"),
        ({"random_state": None}, "random_state is a whole number of at least 0, not None"),
        ({"random_state": -3}, "random_state is a whole number of at least 0, not -3"),
    ],
)
def test_parameters_out_of_range_are_refused_by_name(parameters, message):
    with pytest.raises(InputError, match=message):
        SpRAy(**parameters).fit(np.ones((4, 4, 4)))


@pytest.mark.parametrize(
    ("maps", "more", "message"),
    [
        (5, {"y": [1]}, r"maps are numbers \(N, H, W\)"),
        (
            np.ones((5, 4, 4)),
            {},
            "only 1 of 5 maps are left: 4 repeat another, as map 1 repeats map 0 .they",
        ),
        (blobs(5, 0), {"y": [0, 1]}, r"labels are one for each of 5 maps, not of shape \(2,\)"),
        (blobs(5, 0), {"images": ["a.png"]}, "there are 5 maps and 1 images: give one image for each map"),
        (blobs(5, 0), {"images": ["a.png"] * 5}, "a.png"),
    ],
)
def test_maps_labels_and_images_that_do_not_fit_are_refused(maps, more, message):
    with pytest.raises(InputError, match=message):
        SpRAy(n_surrogates=0).fit(maps, **more)


def test_without_umap_the_message_names_the_extra(spray, monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(InputError, match=r"UMAP needs umap-learn: pip install 'chinspect\[spray\]', or use tsne"):
        spray.project("umap")


def test_clusters_come_back_where_scikit_learn_gives_them():
    few = blobs(30, 0)
    spray = SpRAy(n_surrogates=0)
    np.testing.assert_array_equal(spray.fit_predict(few), SpRAy(n_surrogates=0).fit(few).labels_)
