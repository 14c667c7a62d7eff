"""Heads that are right for every group, where an average head is not."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression

from chinspect.errors import InputError
from chinspect.groups import AFR, DFR, ERM, JTT, GroupDRO, accuracy_by_group, true_groups
from chinspect.groups.solving import balanced_subset


def embeddings(generator, count, agreement, classes=2):
    """What is true moves an image by less than an attribute that agrees with it most of the time."""
    y = generator.integers(0, classes, count)
    a = np.where(generator.random(count) < agreement, y, (y + generator.integers(1, classes, count)) % classes)
    rows = generator.normal(size=(count, 12))
    rows[np.arange(count), y] += 1.8
    rows[np.arange(count), classes + a] += 4
    return rows, y, a


@pytest.fixture(scope="module")
def data():
    generator = np.random.default_rng(0)
    return embeddings(generator, 1500, 0.95), embeddings(generator, 2000, 0.5)


def worst(head, data):
    (rows, y, a), (other_rows, other_y, other_a) = data
    groups = true_groups(y, a)
    head = clone(head).fit(rows, y, groups.ids)
    return accuracy_by_group(other_y, head.predict(other_rows), true_groups(other_y, other_a))[0]["worst"]


def test_robust_heads_are_right_for_the_worst_group(data):
    base = worst(ERM(), data)
    assert base < 0.75
    for head in (DFR(retrains=5), GroupDRO()):
        assert worst(head, data) > base + 0.15, head
    for head in (JTT(), AFR()):
        assert worst(head, data) > base + 0.05, head


def test_balancing_is_what_helps_dfr(data):
    """Its own ablation: without balanced subsets it is an average head again."""
    balanced = worst(DFR(retrains=5), data)
    assert balanced > worst(DFR(balanced=False), data) + 0.15
    assert worst(DFR(retrains=5, penalty="l2"), data) > worst(ERM(), data) + 0.1


@pytest.mark.parametrize("head", [ERM(), DFR(retrains=2), JTT(), AFR(), GroupDRO()])
def test_three_classes(head):
    generator = np.random.default_rng(1)
    rows, y, a = embeddings(generator, 900, 0.9, classes=3)
    names = np.array(["x", "y", "z"])[y]
    fitted = clone(head).fit(rows, names, true_groups(y, a).ids)
    assert fitted.decision_function(rows).shape == (900, 3)
    assert (fitted.predict(rows) == names).mean() > 0.7


def test_without_groups_the_worst_class_selects(data):
    rows, y, _ = data[0]
    head = JTT(weight=(1.0, 20.0)).fit(rows, y)
    assert head.selected_by_ == "worst class"
    assert set(head.selected_) == {"weight"}
    assert JTT(weight=(5.0,)).fit(rows, y).selected_ == {}
    for needs in (DFR(), GroupDRO()):
        with pytest.raises(InputError, match="give fit the group of each image"):
            clone(needs).fit(rows, y)


def test_erm_is_logistic_regression(data):
    rows, y, _ = data[0]
    scaled = (rows - rows.mean(0)) / rows.std(0)
    head = ERM(C=0.3).fit(rows, y)
    peer = LogisticRegression(C=0.3).fit(scaled, y)
    np.testing.assert_allclose(head.decision_function(rows), peer.decision_function(scaled), atol=1e-2)


def test_jtt_weighs_the_errors_of_the_first_head(data):
    rows, y, _ = data[0]
    first = ERM(C=1e-3).fit(rows, y)
    wrong = first.predict(rows) != y
    head = JTT(weight=(20.0,)).fit(rows, y)
    assert head.n_errors_ == wrong.sum() > 0
    scaled = (rows - rows.mean(0)) / rows.std(0)
    peer = LogisticRegression(max_iter=2000).fit(scaled, y, np.where(wrong, 20.0, 1.0))
    np.testing.assert_allclose(head.coef_, peer.coef_, atol=1e-2)


def test_group_dro_weighs_the_group_with_the_largest_loss(data):
    (rows, y, a), _ = data
    groups = true_groups(y, a)
    even = GroupDRO(eta=0, steps=200).fit(rows, y, groups.ids)  # each group as much as any other
    np.testing.assert_allclose(even.group_weights_, 0.25)
    right = np.bincount(groups.ids, even.predict(rows) == y) / groups.sizes
    head = GroupDRO(eta=0.5, steps=200).fit(rows, y, groups.ids)
    assert head.group_weights_.sum() == pytest.approx(1)
    assert head.group_weights_[right.argmin()] > 0.25
    adjusted = GroupDRO(adjustment=50, steps=200).fit(rows, y, groups.ids)
    assert adjusted.group_weights_[groups.sizes < 100].sum() > 0.9


def test_balanced_subsets_hold_as_many_of_each_group():
    ids = np.repeat([0, 1, 2, 3], [50, 20, 10, 3])
    chosen = balanced_subset(ids, np.random.default_rng(0))
    assert np.bincount(ids[chosen]).tolist() == [10, 10, 10, 3]  # a group of 5 or fewer decides nothing
    few = np.repeat([0, 1], [4, 2])
    assert np.bincount(few[balanced_subset(few, np.random.default_rng(0))]).tolist() == [2, 2]  # all are that small


def test_seeds_decide_and_nothing_else(data):
    (rows, y, a), _ = data
    ids = true_groups(y, a).ids
    first, second = (DFR(retrains=2, random_state=4).fit(rows, y, ids).coef_ for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert (DFR(retrains=2, random_state=5).fit(rows, y, ids).coef_ != first).any()


def test_what_does_not_fit_is_refused(data):
    rows, y, _ = data[0]
    for call, message in (
        (lambda: ERM().fit(rows, y[1:]), "embeddings"),
        (lambda: ERM().fit(rows, np.zeros(len(rows))), "only 0.0"),
        (lambda: ERM().fit(np.full_like(rows, np.inf), y), "must be finite"),
        (lambda: DFR().fit(rows, y, y[1:]), "one group an image"),
    ):
        with pytest.raises(InputError, match=message):
            call()
