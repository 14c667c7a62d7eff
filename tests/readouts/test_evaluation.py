"""What is said of an encoder's readouts follows from what they predict."""

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from chinspect.encoders.edits import Prune, edited
from chinspect.errors import InputError
from chinspect.readouts import evaluate, folder_task, load_classes
from tests.mitigate._planted import CHANNEL, LAYER, MARK, pictures, planted


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number, picture in enumerate(pictures(40)):
        folder = tmp_path / "data" / ("warm" if number % 2 else "cold")
        folder.mkdir(parents=True, exist_ok=True)
        picture.save(folder / f"{number:02}.png")
    return tmp_path / "data"


def test_where_nothing_is_called_falsely_none_is_blamed(root: Path) -> None:
    lines = evaluate(planted(), root).sentence.splitlines()
    assert [line.split(":")[0] for line in lines] == ["logistic, original", "svm, original"]
    worst = "svm, original: the group 'cold' fares worst, with 100.0% of its images right"
    assert lines[1] == f"{worst}; no image is called another class."


def test_the_class_that_others_are_taken_for_is_named(root: Path) -> None:
    scores = evaluate(planted(), root, artefact=MARK)
    shifted = scores.classes[scores.classes["state"] == "shifted"]
    most = shifted.loc[shifted.groupby("readout")["fpr"].idxmax()]
    assert (most["fpr"] > 0).all()
    for row in most.to_dict("records"):
        called = f"the commonest false call is {row['class']!r}, for {row['fpr']:.1%} of the images of other classes."
        assert any(
            line.startswith(f"{row['readout']}, shifted") and line.endswith(called)
            for line in scores.sentence.splitlines()
        )


def test_confusion_against_scikit_learn(root: Path) -> None:
    encoder = planted()
    predicted = folder_task(load_classes(root), MARK).predict(encoder)
    confusion = evaluate(encoder, root, artefact=MARK).confusion
    for (readout, state), rows in predicted.groupby(["readout", "state"]):
        counts = confusion[(confusion["readout"] == readout) & (confusion["state"] == state)]
        table = counts.pivot(index="label", columns="predicted", values="n")
        table = table.reindex(index=["cold", "warm"], columns=["cold", "warm"]).fillna(0)
        np.testing.assert_array_equal(table, confusion_matrix(rows["label"], rows["predicted"]))


def test_a_mitigated_encoder_is_judged_beside_the_one_before(root: Path, tmp_path: Path) -> None:
    encoder = edited(planted(), Prune(LAYER, (CHANNEL,)))
    scores = evaluate(encoder, root, artefact=MARK)
    states = ["original", "shifted", "mitigated, original", "mitigated, shifted"]
    assert scores.rows["state"].unique().tolist() == states
    (title, table), *_ = scores.overview().items()
    assert title == "planted, edited: 28 images to fit on, 12 to judge on"
    assert table.columns.tolist() == ["readout", "group", "n", *states]
    assert table["group"].tolist() == ["all", "cold", "warm"] * 2
    assert json.loads(scores.save(tmp_path)[0].read_text())["test"] == 12
    assert evaluate(encoder, load_classes(root), artefact=MARK).rows.equals(scores.rows)


def test_groups_are_a_file_or_names(root: Path, tmp_path: Path) -> None:
    names = load_classes(root).test.names
    groups = [f"g{number % 3}" for number in range(len(names))]
    rows = [f"{name},{group}" for name, group in zip(names, groups, strict=True)]
    (tmp_path / "groups.csv").write_text("\n".join(["path,group", *rows]))
    scores = evaluate(planted(), root, groups=tmp_path / "groups.csv").rows
    assert sorted(scores["group"].unique()) == ["all", "g0", "g1", "g2"]
    assert scores.equals(evaluate(planted(), root, groups=groups).rows)
    with pytest.raises(InputError, match="no file of groups"):
        evaluate(planted(), root, groups="nowhere.csv")
