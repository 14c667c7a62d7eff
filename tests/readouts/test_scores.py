"""Scores by subgroup against scikit-learn and against definitions written out."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from chinspect.errors import InputError
from chinspect.intervals import wilson
from chinspect.readouts import ALL, each_state, score_classes, score_groups, worst_group

rows = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.sampled_from("xyz")), min_size=1, max_size=40)


@settings(deadline=None)
@given(rows)
def test_groups_against_scikit_learn(drawn: list[tuple[int, int, str]]) -> None:
    labels, predicted, groups = (np.array(column) for column in zip(*drawn, strict=True))
    table = score_groups(labels, predicted, groups.tolist()).set_index("group")
    assert table.index.tolist() == [ALL, *sorted(set(groups.tolist()))]
    for name in table.index:
        some = np.ones(len(labels), bool) if name == ALL else groups == name
        assert table.loc[name, "n"] == some.sum()
        assert table.loc[name, "accuracy"] == pytest.approx(accuracy_score(labels[some], predicted[some]))
        recalls = [np.mean(predicted[some & (labels == c)] == c) for c in np.unique(labels[some])]
        assert table.loc[name, "balanced_accuracy"] == pytest.approx(np.mean(recalls))
        low, high = wilson(int((labels[some] == predicted[some]).sum()), int(some.sum()))
        assert table.loc[name, ["accuracy_low", "accuracy_high"]].tolist() == [low, high]
    assert worst_group(table.reset_index())["accuracy"] == table["accuracy"].drop(ALL).min()


def test_balanced_accuracy_of_all_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    labels, predicted = rng.integers(0, 4, 200), rng.integers(0, 4, 200)
    table = score_groups(labels, predicted)
    assert table["balanced_accuracy"].tolist() == [pytest.approx(balanced_accuracy_score(labels, predicted))]
    assert worst_group(table)["group"] == ALL


def test_rates_of_a_class() -> None:
    labels = ["sick", "sick", "sick", "well", "well", "well", "well", "well"]
    predicted = ["sick", "well", "sick", "sick", "well", "well", "well", "well"]
    groups = ["a", "a", "b", "a", "a", "b", "b", "c"]
    table = score_groups(labels, predicted, groups, positive="sick").set_index("group")
    assert table.loc[ALL, ["fpr", "fnr"]].tolist() == [1 / 5, 1 / 3]
    assert table.loc[ALL, ["fpr_low", "fpr_high"]].tolist() == list(wilson(1, 5))
    assert table.loc["a", ["fpr", "fnr"]].tolist() == [1 / 2, 1 / 2]
    assert table.loc["b", ["fpr", "fnr"]].tolist() == [0, 0]
    assert np.isnan(table.loc["c", "fnr"])
    by_class = score_classes(labels, predicted).set_index("class")
    assert by_class.loc["sick", ["n", "fpr", "fnr"]].tolist() == [3, 1 / 5, 1 / 3]
    assert by_class.loc["well", ["n", "fpr", "fnr"]].tolist() == [5, 1 / 3, 1 / 5]


def test_what_cannot_be_scored() -> None:
    with pytest.raises(InputError, match="lists of one length"):
        score_groups([1, 2], [1])
    with pytest.raises(InputError, match="lists of one length"):
        score_groups([], [])
    with pytest.raises(InputError, match="one group an image, not 1 for 2"):
        score_groups([1, 2], [1, 2], ["a"])
    with pytest.raises(InputError, match="may be called 'all'"):
        score_groups([1, 2], [1, 2], ["all", "b"])


def test_classes_that_no_label_has_still_draw_false_calls() -> None:
    table = score_classes(["a", "a", "b", "b"], ["c", "c", "b", "c"]).set_index("class")
    assert table.loc["c", ["n", "fpr"]].tolist() == [0, 3 / 4]
    assert np.isnan(table.loc["c", "fnr"])
    rates = score_groups(["a", "a"], ["a", "b"], positive="b")
    assert rates[["positive", "fpr"]].to_numpy().tolist() == [["b", 1 / 2]]
    assert rates["fnr"].isna().all()


def test_each_readout_and_state_is_scored_alone() -> None:
    table = pd.DataFrame({"readout": list("ppqq"), "state": list("xyxx"), "value": [1, 2, 3, 5]})
    table = each_state(table, lambda rows: pd.DataFrame({"sum": [rows["value"].sum()]}))
    assert table.to_numpy().tolist() == [["p", "x", 1], ["p", "y", 2], ["q", "x", 8]]
    assert table.columns.tolist() == ["readout", "state", "sum"]
