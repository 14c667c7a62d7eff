"""The stress test on a detector of a few lines, and on D2Neighbors."""

import json
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from _nearest import Nearest
from PIL import Image

from chinspect.anomaly import D2Neighbors, score_profile
from chinspect.datasets import MVTecCategory
from chinspect.errors import InputError
from chinspect.images import RESIZERS, load_inputs, open_image, resize, to_input
from chinspect.stress import CHANGES, Condition, Mitigation, best_threshold, chain, score_conditions, stress
from chinspect.stress.changes import change
from chinspect.stress.resizing import step


def test_every_condition_has_a_row_and_the_unchanged_one_comes_first(nearest: Nearest, dataset: MVTecCategory) -> None:
    report = stress(nearest, dataset, deploy=["pillow-bilinear", "opencv-area"])
    table = report.to_frame()
    assert len(table) == 3 + len(CHANGES)
    assert table.loc[0, ["mitigation", "resizer", "change"]].tolist() == ["none", "opencv-nearest", "none"]
    assert (table.shift_normal[0], table.shift_defect[0]) == (0, 0)
    assert (table.threshold == nearest.threshold_).all()
    assert len(report.scores) == len(table) * len(dataset.test)
    assert report.predictions == ()


def test_scores_are_those_of_the_detector_alone(nearest: Nearest, dataset: MVTecCategory) -> None:
    conditions = [Condition("opencv-nearest"), Condition("pillow-bilinear"), Condition("opencv-nearest", "bgr")]
    scores = score_conditions([nearest], dataset.test, conditions)[0]
    for row, resizer in zip(scores, ("opencv-nearest", "pillow-bilinear"), strict=False):
        alone = nearest.decision_function(load_inputs(dataset.test, resizer, 32))
        np.testing.assert_array_equal(row, alone)
    swapped = load_inputs(dataset.test, "opencv-nearest", 32).flip(1)
    np.testing.assert_allclose(scores[2], nearest.decision_function(swapped))


def test_each_image_is_decoded_once(nearest: Nearest, dataset: MVTecCategory, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Path] = []
    monkeypatch.setattr(
        "chinspect.execute.samples.open_image", lambda path: opened.append(Path(path)) or open_image(path)
    )
    conditions = [
        Condition("opencv-nearest"),
        Condition("opencv-area"),
        *(Condition("opencv-nearest", c) for c in CHANGES),
    ]
    score_conditions([nearest, nearest], dataset.test, conditions)
    assert opened == list(dataset.test)


def test_published_protocols_take_the_threshold_from_the_test_scores(nearest: Nearest, dataset: MVTecCategory) -> None:
    report = stress(nearest, dataset, protocol="kauffmann2025-text", changes=[])
    original = nearest.decision_function(load_inputs(dataset.test, "opencv-nearest", 32))
    assert (report.table.threshold == best_threshold(original, dataset.labels)).all()
    cubic = Nearest(load_inputs(dataset.train, "opencv-cubic", 32), resizer="opencv-cubic")
    assert stress(cubic, dataset, protocol="kauffmann2025-code", changes=[]).train_resizer == "opencv-cubic"
    with pytest.raises(InputError, match="kauffmann2025-code trains with opencv-cubic, not with 'opencv-nearest'"):
        stress(nearest, dataset, protocol="kauffmann2025-code")


def test_a_mitigation_gets_the_same_rows(nearest: Nearest, dataset: MVTecCategory) -> None:
    other = Nearest(nearest.bank[:4])
    remedies = [Mitigation("fewer", other), Mitigation("recalibrate", normals=dataset.train[8:], fpr=0.25)]
    table = stress(nearest, dataset, changes=["bgr"], mitigate=remedies).table
    assert table.groupby("mitigation", sort=False).size().tolist() == [3, 3, 3]
    fewer, again = table[table.mitigation == "fewer"], table[table.mitigation == "recalibrate"]
    assert (fewer.threshold == other.threshold_).all()
    assert again.threshold.nunique() == 3
    assert again.auroc.tolist() == table[table.mitigation == "none"].auroc.tolist()


def test_the_steps_of_a_resizer_add_up(nearest: Nearest, dataset: MVTecCategory) -> None:
    report = stress(nearest, dataset, changes=[])
    assert report.steps.step.tolist() == ["phase", "interpolation", "antialiasing"]
    assert report.steps.share_normal.sum() == pytest.approx(1)
    assert report.steps.shift_defect.sum() == pytest.approx(report.table.shift_defect[1])


def test_chains() -> None:
    assert chain("opencv-nearest", "opencv-linear") == ("opencv-nearest", "opencv-nearest-exact", "opencv-linear")
    assert chain("opencv-linear", "pillow-lanczos") == ("opencv-linear", "pillow-lanczos")
    assert chain("opencv-cubic", "pillow-bilinear") == ()
    assert chain("opencv-nearest", "opencv-nearest") == ()


def test_steps_are_called_what_they_are() -> None:
    """All resizers have a name for each step; two that read each pixel the same way make the same image."""
    assert step("opencv-linear", "opencv-nearest") == "phase + interpolation"
    assert step("opencv-linear", "pillow-nearest") == "interpolation"
    assert step("opencv-linear", "torch-bilinear") == "rounding"
    assert step("pillow-bilinear", "opencv-linear") == "antialiasing"
    picture = np.random.default_rng(0).integers(0, 256, (90, 90, 3), dtype=np.uint8)
    for before, after in permutations(RESIZERS, 2):
        images = [resize(picture, 41, resizer).astype(int) for resizer in (before, after)]
        assert (np.abs(images[0] - images[1]).mean() < 1.5) == (step(before, after) == "rounding"), (before, after)


def test_a_report_is_saved_and_drawn(nearest: Nearest, dataset: MVTecCategory, tmp_path: Path) -> None:
    report = stress(nearest, dataset, changes=["jpeg-90"])
    names = {path.name for path in report.save(tmp_path / "run")}
    tables = {f"{name}.{kind}" for name in ("stress", "scores", "steps") for kind in ("csv", "parquet")}
    assert names == tables | {"stress.json", "stress.png", "stress.html"}
    page = report.page()
    histograms = page.sections[1].blocks
    assert [block.threshold for block in histograms] == report.table.threshold.tolist()  # two conditions, both drawn
    counted = sum(len(values) for values in histograms[0].groups.values())
    assert counted == report.table.n_normal[0] + report.table.n_defect[0]
    assert page.sections[0].blocks[0].rows.estimate.tolist() == report.table.fpr.tolist()
    assert page.tone in ("good", "bad")
    document = json.loads((tmp_path / "run/stress.json").read_text())
    assert document["rows"][1]["resizer"] == "pillow-bilinear"
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "run/stress.parquet"), report.table)
    assert report.plot(tmp_path / "stress.svg").read_text().startswith("<?xml")
    with pytest.raises(InputError, match=r"\.png"):
        report.plot(tmp_path / "stress.bmp")


def test_the_figure_shows_every_row_and_step(nearest: Nearest, dataset: MVTecCategory) -> None:
    remedies = [Mitigation("fewer", Nearest(nearest.bank[:4]))]
    report = stress(nearest, dataset, changes=["jpeg-90"], mitigate=remedies)
    scores, errors, steps, prediction = report.figure().axes
    names = [label.get_text() for label in scores.get_yticklabels()]
    conditions = ["opencv-nearest", "pillow-bilinear", "jpeg-90"]
    assert names == [*conditions, *(f"[fewer]  {condition}" for condition in conditions)]
    medians = [line.get_xdata()[0] for line in scores.lines if line.get_marker() in ("o", "s")]
    threshold, first = report.table.threshold[0], report.scores[report.scores.change == "none"][:16]
    normal = first.score[first.label == 0]
    iqr = np.subtract(*np.percentile(normal, [75, 25]))
    assert len(medians) == 2 * len(names)
    assert medians[0] == pytest.approx((normal.median() - threshold) / iqr)
    legend = {text.get_text() for text in errors.get_legend().get_texts()}
    rates = {"normal called anomalous (FPR)", "defects missed (FNR)"}
    assert rates | {"F1, threshold kept", "F1, threshold re-tuned", "F1 of calling all anomalous"} == legend
    assert len(steps.patches) == 2 * len(report.steps)
    assert [bar.get_width() for bar in steps.patches[:3]] == pytest.approx(report.steps.shift_normal.tolist())
    assert "does not explain" in prediction.texts[0].get_text()
    for panel, name in ((scores, "scores"), (errors, "errors"), (steps, "steps")):
        said = " ".join(panel.get_title(loc="left").split())
        assert said.endswith(report.verdicts[name])
        assert report.verdicts[name]


def test_labels_do_not_overlap_with_three_resizers(nearest: Nearest, dataset: MVTecCategory) -> None:
    deploy = ["pillow-bilinear", "torch-bilinear-aa", "opencv-area"]
    report = stress(nearest, dataset, deploy=deploy, changes=["jpeg-90"])
    figure = report.figure()
    figure.draw_without_rendering()
    for axes in figure.axes:
        ticks = [*axes.get_xticklabels(), *axes.get_yticklabels()]
        boxes = [label.get_window_extent() for label in ticks if label.get_text() and label.get_visible()]
        for i, box in enumerate(boxes):
            assert not any(box.overlaps(other) for other in boxes[i + 1 :])


def test_no_table_of_an_earlier_run_stays(nearest: Nearest, dataset: MVTecCategory, tmp_path: Path) -> None:
    stress(nearest, dataset, changes=[]).save(tmp_path)
    assert (tmp_path / "steps.csv").exists()
    (tmp_path / "notes.csv").touch()
    written = {path.name for path in stress(nearest, dataset, deploy=["opencv-nearest"], changes=[]).save(tmp_path)}
    assert {path.name for path in tmp_path.iterdir()} == written | {"notes.csv"}


def test_a_detector_that_explains_itself_predicts_its_shift(grainy: MVTecCategory) -> None:
    detector = D2Neighbors().fit(list(grainy.train))
    report = stress(detector, grainy, deploy=["pillow-bilinear", "torch-bilinear"], changes=[])
    assert [prediction.resizer for prediction in report.predictions] == ["pillow-bilinear", "torch-bilinear"]
    smooth = report.predictions[0]
    assert smooth.gain[-1] < 0.5 < smooth.gain[0] < 2
    assert smooth.predicted.mean() == pytest.approx(smooth.measured.mean(), rel=0.25)
    assert len(report.document()["predictions"]) == 2


def test_shares_of_a_detector_that_explains_itself(grainy: MVTecCategory, tmp_path: Path) -> None:
    """The same as asked for directly; grain is fine and everywhere, a defect is coarse and in its mask."""
    detector = D2Neighbors(size=224).fit(grainy.train)
    report = stress(detector, grainy, changes=[])
    masks = [grainy.mask(i) for i in range(len(grainy.test))]
    expected = score_profile(detector, grainy.test, labels=grainy.labels, masks=masks)
    pd.testing.assert_frame_equal(report.shares, expected.table)
    assert report.shares[["group", "share"]].to_numpy().tolist() == [
        ["normal", "high_frequency"],
        ["defective", "high_frequency"],
        ["defective", "outside"],
    ]
    grain, both, outside = report.shares["mean"]
    assert 0.9 < grain <= 1
    assert both < grain - 0.1
    assert outside < report.shares.uniform[2] - 0.2
    report.save(tmp_path)
    assert report.document()["shares"] == json.loads((tmp_path / "stress.json").read_text())["shares"]
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "shares.parquet"), report.shares)
    without = replace(grainy, masks=(None,) * len(grainy.test))
    assert set(stress(detector, without, changes=[]).shares.share) == {"high_frequency"}


def test_a_mask_that_does_not_fit_is_told_before_any_work(
    nearest: Nearest, dataset: MVTecCategory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("L", (9, 9), 255).save(tmp_path / "small.png")
    monkeypatch.setattr(Nearest, "decision_function", lambda *_: pytest.fail("scored"))
    masks = (*dataset.masks[:-1], tmp_path / "small.png")
    with pytest.raises(InputError, match=r"small\.png.*but its image has"):
        stress(nearest, replace(dataset, masks=masks))


def test_predictions_stay_where_shares_have_none(grainy: MVTecCategory, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise InputError("too few frequencies.")

    monkeypatch.setattr("chinspect.stress.deployment.score_profile", refuse)
    report = stress(D2Neighbors(size=32).fit(grainy.train), grainy, changes=[])
    assert len(report.predictions) == 1
    assert report.shares.empty


SMALL = Nearest(np.stack([np.zeros((3, 8, 8)), np.ones((3, 8, 8))]), size=8)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"protocol": "paper"}, "'paper' is not known"),
        ({"deploy": ["opencv"]}, "'opencv' is not known"),
        ({"mitigate": [Mitigation("twice"), Mitigation("twice")]}, "a name of its own"),
        ({"mitigate": [Mitigation("none")]}, "a name of its own"),
        ({"changes": ["sepia"]}, "'sepia' is not known"),
        ({"mitigate": [Mitigation("small", SMALL)]}, "one size"),
    ],
)
def test_hostile_options_give_one_sentence(
    nearest: Nearest, dataset: MVTecCategory, options: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message) as error:
        stress(nearest, dataset, **options)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


def test_a_damaged_test_image_is_named(nearest: Nearest, dataset: MVTecCategory, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(dataset.test[0].read_bytes()[:200])
    with pytest.raises(InputError, match=r"broken\.jpg"):
        stress(nearest, replace(dataset, test=(broken, *dataset.test[1:])), changes=[])


def test_changes_reach_the_detector_before_the_resizer(nearest: Nearest, dataset: MVTecCategory) -> None:
    changed = [change(np.asarray(open_image(path)), "jpeg-50", seed=7, index=i) for i, path in enumerate(dataset.test)]
    expected = nearest.decision_function(to_input(np.stack([resize(c, 32, "opencv-nearest") for c in changed])))
    scores = score_conditions([nearest], dataset.test, [Condition("opencv-nearest", "jpeg-50")], seed=7)
    np.testing.assert_array_equal(scores[0, 0], expected)


def test_a_rate_needs_enough_held_out_images(dataset: MVTecCategory) -> None:
    with pytest.raises(InputError, match="needs 19 normal images, not 12"):
        Mitigation("recalibrate", normals=dataset.train)
    with pytest.raises(InputError, match="between 0 and 1"):
        Mitigation("recalibrate", normals=dataset.train, fpr=1.0)
