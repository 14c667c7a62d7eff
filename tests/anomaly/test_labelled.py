"""What folders say of scores: the AUROC, its interval, and whether chance would do as well."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from chinspect.anomaly.labelled import separation
from chinspect.anomaly.workflow import Scores
from chinspect.intervals import auroc_interval


def paths(n_normal: int, n_defect: int, folder: str = "good") -> list[str]:
    return [f"test/{folder}/{i}.png" for i in range(n_normal)] + [f"test/crack/{i}.png" for i in range(n_defect)]


@pytest.mark.parametrize("folder", ["good", "ok", "normal"])
def test_the_auroc_is_that_of_the_labels_that_folders_give(folder: str) -> None:
    scores = np.random.default_rng(0).integers(0, 9, 30).astype(float)  # with ties
    scores[12:] += 3
    found = separation(paths(12, 18, folder), scores)
    assert found is not None
    assert found.auroc == pytest.approx(roc_auc_score([0] * 12 + [1] * 18, scores))
    assert (found.n_normal, found.n_defect, found.folder) == (12, 18, folder)
    assert found.low < found.auroc < found.high
    assert found.better_than_chance
    assert f"{found.auroc:.3f}" in found.sentence
    assert "better than chance" in found.sentence


def test_scores_of_chance_are_called_so() -> None:
    """At a level of .05: at most 9 of 100 sets of random scores are called better (probability .972)."""
    draws = np.random.default_rng(0).normal(size=(100, 25))
    found = [separation(paths(10, 15), scores) for scores in draws]
    assert sum(one.better_than_chance for one in found if one is not None) <= 9
    worst = separation(paths(10, 15), np.arange(25.0)[::-1])
    assert worst is not None
    assert worst.auroc == 0
    assert "no better than chance" in worst.sentence


@pytest.mark.parametrize("names", [paths(5, 0), paths(0, 5), ["a.png", "b/c.png"]])
def test_folders_that_do_not_say_which_is_which(names: list[str]) -> None:
    assert separation(names, np.arange(float(len(names)))) is None


def test_the_result_tells_it() -> None:
    table = pd.DataFrame({"image": paths(4, 4), "score": np.arange(8.0), "anomalous": False})
    told = Scores(9.0, table)
    assert told.sentence.splitlines()[1].startswith("AUROC 1.000 [")
    assert told.document()["separation"]["better_than_chance"]
    assert "separation" not in Scores(9.0, table[:4]).document()


def test_the_interval_of_an_auroc_covers_it() -> None:
    """Of 1,000 sets of 20 against 30 normal scores at least 93 % cover the true AUROC, where 95 % are promised."""
    rng = np.random.default_rng(0)
    truth = 0.8147  # Phi(d / sqrt(2)) of normal scores that lie d apart
    distance = 1.2661
    covered = 0
    for _ in range(1000):
        wins = rng.normal(distance, 1, (20, 1)) > rng.normal(0, 1, (1, 30))
        low, high = auroc_interval(float(wins.mean()), 20, 30)
        covered += low <= truth <= high
    assert covered >= 930
    assert auroc_interval(1.0, 20, 30)[1] == 1
    assert 0.85 < auroc_interval(1.0, 20, 30)[0] < 1
    np.testing.assert_allclose(auroc_interval(0.3, 20, 30), 1 - np.array(auroc_interval(0.7, 20, 30))[::-1])
