"""What is said of an encoder's readouts follows from what they predict."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import confusion_matrix

from chinspect.encoders.edits import Prune, edited
from chinspect.errors import InputError
from chinspect.readouts import ReadoutScores, each_state, evaluate, load_classes, score_groups
from tests.mitigate._planted import CHANNEL, LAYER, MARK, pictures, planted


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number, picture in enumerate(pictures(40)):
        folder = tmp_path / "data" / ("warm" if number % 2 else "cold")
        folder.mkdir(parents=True, exist_ok=True)
        picture.save(folder / f"{number:02}.png")
    return tmp_path / "data"


def of(labels: str, predicted: str) -> ReadoutScores:
    """The scores of one readout in one state."""
    rows = pd.DataFrame({"readout": "svm", "state": "original", "label": list(labels), "predicted": list(predicted)})
    scores = each_state(rows, lambda own: score_groups(own["label"], own["predicted"], own["label"].tolist()))
    return ReadoutScores("tiny", 5, len(labels), scores, rows)


def test_where_nothing_is_called_falsely_none_is_blamed() -> None:
    assert of("aab", "aab").sentence == "svm, original: worst group a, 100.0% right; no false calls"
    said = "svm, original: worst group b, 0.0% right; most false calls a, 100.0% of all others"
    assert of("aab", "aaa").sentence == said


def test_confusion_against_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    labels, predicted = ("".join(rng.choice(list("abc"), 60)) for _ in range(2))
    counts = of(labels, predicted).confusion
    table = counts.pivot(index="label", columns="predicted", values="n")
    np.testing.assert_array_equal(table, confusion_matrix(list(labels), list(predicted)))
    assert of("ab", "ab").confusion["n"].tolist() == [1, 1]


def test_a_mitigated_encoder_is_judged_beside_the_one_before(root: Path, tmp_path: Path) -> None:
    encoder = edited(planted(), Prune(LAYER, (CHANNEL,)))
    scores = evaluate(encoder, root, artefact=MARK)
    states = ["original", "shifted", "mitigated, original", "mitigated, shifted"]
    assert scores.scores["state"].unique().tolist() == states
    (title, table), *_ = scores.overview().items()
    assert title == "planted, edited: 28 images to fit on, 12 to judge on"
    assert table.columns.tolist() == ["readout", "group", "n", *states]
    assert table["group"].tolist() == ["all", "cold", "warm"] * 2
    assert json.loads(scores.save(tmp_path)[0].read_text())["test"] == 12
    assert evaluate(encoder, load_classes(root), artefact=MARK).scores.equals(scores.scores)


def test_groups_are_a_file_or_names(root: Path, tmp_path: Path) -> None:
    names = load_classes(root).test.names
    groups = [f"g{number % 3}" for number in range(len(names))]
    rows = [f"{name},{group}" for name, group in zip(names, groups, strict=True)]
    (tmp_path / "groups.csv").write_text("\n".join(["path,group", *rows]))
    scores = evaluate(planted(), root, groups=tmp_path / "groups.csv").scores
    assert sorted(scores["group"].unique()) == ["all", "g0", "g1", "g2"]
    assert scores.equals(evaluate(planted(), root, groups=groups).scores)
    with pytest.raises(InputError, match="no file of groups"):
        evaluate(planted(), root, groups="nowhere.csv")
