"""Groups from explanations find what was planted, and controls are what they say."""

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from chinspect.errors import InputError
from chinspect.groups import (
    class_groups,
    feature_groups,
    group_quality,
    loss_groups,
    pseudo_groups,
    random_groups,
    true_groups,
)

COUNT = 400


@pytest.fixture(scope="module")
def planted():
    """Maps of three classes whose relevance lies at one of two places; one in ten is at the other place."""
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 3, COUNT)
    places = (generator.random(COUNT) < 0.1).astype(int)
    maps = 0.1 * generator.normal(size=(COUNT, 12, 12))
    for index, place in enumerate(places):
        maps[index, 2:5, 2 + 6 * place : 5 + 6 * place] += 1 + 0.2 * generator.random((3, 3))
    return maps * generator.uniform(0.5, 20, (COUNT, 1, 1)), labels, places


@pytest.mark.parametrize("cluster", ["spectral", "kmeans"])
@pytest.mark.parametrize("scope", ["within_class", "global"])
def test_places_are_found_of_any_number_of_classes(planted, cluster, scope):
    maps, labels, places = planted
    truth = true_groups(labels, places)
    groups = pseudo_groups(maps, labels, cluster=cluster, scope=scope, n_clusters=2)
    quality = group_quality(groups, truth)
    assert quality["adjusted_rand_index"] > 0.9
    assert quality["worst_recall"] > 0.9
    assert quality["n_groups"] == 6
    chance = group_quality(random_groups(groups), truth)
    assert abs(chance["adjusted_rand_index"]) < 0.1
    assert chance["worst_precision"] < 0.3  # a large group holds most of any small one, and much else
    assert quality["worst_precision"] > 0.9


def test_the_number_of_clusters_is_found(planted):
    maps, labels, places = planted
    for cluster in ("spectral", "kmeans"):
        groups = pseudo_groups(maps, labels, cluster=cluster)
        assert group_quality(groups, true_groups(labels, places))["worst_recall"] > 0.9, cluster


def test_channels_tell_colours_apart():
    generator = np.random.default_rng(1)
    colour = generator.integers(0, 2, 200)
    maps = np.zeros((200, 2, 8, 8))
    maps[np.arange(200), colour, 2:6, 2:6] = generator.random((200, 4, 4))
    labels = np.zeros(200, dtype=int)
    assert adjusted_rand_score(colour, pseudo_groups(maps, labels, n_clusters=2).ids) == 1
    assert adjusted_rand_score(colour, pseudo_groups(maps.sum(1), labels, n_clusters=2).ids) < 0.5


def test_groups_are_the_same_for_scaled_maps(planted):
    maps, labels, _ = planted
    first = pseudo_groups(maps, labels, n_clusters=2)
    second = pseudo_groups(maps * 7, labels, n_clusters=2)
    assert adjusted_rand_score(first.ids, second.ids) == 1


def test_features_losses_and_classes(planted):
    _, labels, places = planted
    generator = np.random.default_rng(2)
    features = generator.normal(size=(COUNT, 5)) + 8 * places[:, None]
    truth = true_groups(labels, places)
    assert group_quality(feature_groups(features, labels), truth)["worst_recall"] > 0.9
    by_loss = loss_groups(places + 0.01 * generator.random(COUNT), labels, quantiles=10)
    assert group_quality(by_loss, truth)["worst_precision"] > 0.5
    alone = class_groups(labels)
    assert len(alone.names) == 3
    assert group_quality(alone, truth)["adjusted_rand_index"] == 0


def test_random_groups_have_the_sizes_of_the_others_in_each_class(planted):
    maps, labels, _ = planted
    groups = pseudo_groups(maps, labels, n_clusters=2)
    chance = random_groups(groups, random_state=3)
    assert (chance.sizes == groups.sizes).all()
    assert (chance.ids != groups.ids).any()
    for group in range(len(groups.names)):
        assert len(set(labels[chance.ids == group])) == 1


def test_what_does_not_fit_is_refused(planted):
    maps, labels, _ = planted
    for call, message in (
        (lambda: pseudo_groups(maps, labels[1:]), "one label an image"),
        (lambda: pseudo_groups(maps[0], labels), "maps are"),
        (lambda: pseudo_groups(np.full_like(maps, np.nan), labels), "must be finite"),
        (lambda: pseudo_groups(maps, labels, cluster="dbscan"), "'dbscan' is not known"),
        (lambda: pseudo_groups(maps, labels, n_clusters="silhouette"), "eigengap, not 'silhouette'"),
        (lambda: pseudo_groups(maps, labels, scope="local"), "not 'local'"),
        (lambda: feature_groups(maps, labels), "features are"),
        (lambda: loss_groups(np.ones(COUNT), labels, quantiles=0), "at least 1 quantile"),
    ):
        with pytest.raises(InputError, match=message):
            call()
    assert len(pseudo_groups(maps[:2], labels[:2]).ids) == 2


def test_rare_groups_are_found_beside_common_maps_of_a_small_norm():
    generator = np.random.default_rng(3)
    rare = np.arange(1000) < 20
    maps = np.zeros((1000, 2, 10, 10))
    for index in range(1000):
        spots = generator.permutation(100)[: 40 if rare[index] else generator.choice([4, 40])]
        maps[index, int(rare[index])].flat[spots] = generator.uniform(0.5, 1, len(spots))
    labels = generator.integers(0, 2, 1000)
    truth = true_groups(labels, rare)
    precision = {
        norm: group_quality(pseudo_groups(maps, labels, norm=norm, n_clusters=2), truth)["worst_precision"]
        for norm in ("l2", "max")
    }
    assert precision["l2"] == 1
    assert precision["max"] < 0.8  # as published: rare maps are near to common ones that are small
