"""ImageNet-W: planted truth and a null, controls of the same size, layouts, and the way of the numbers to the user."""

import json
from pathlib import Path

import numpy as np
import pytest

from chinspect.artefacts import imagenet_w
from chinspect.errors import InputError
from chinspect.images import open_image
from chinspect.known import EFFECTS, Measurement, Models, list_effects, load_models, load_photographs, measure
from chinspect.known.controls import ELSEWHERE, LATIN, STROKES, WATERMARK, watermark_controls
from chinspect.known.measuring import measure as measuring
from chinspect.known.relevance import fraction, patches_under
from chinspect.known.together import nearest, neighbours_alike, neighbours_changed, together_rows, unit
from tests.known._photographs import SIZE, reader, save_photographs


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_photographs(tmp_path_factory.mktemp("imagenet") / "val", 12).parent


@pytest.fixture(scope="module")
def measured(photographs: Path) -> Measurement:
    return measure("imagenet-w", Models(*reader(gain=8.0)), photographs)


@pytest.fixture
def without_relevance(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves out the relevance under the mark, which takes longest and is looked at once."""
    monkeypatch.setattr("chinspect.known.imagenet_w.relevance_rows", lambda *_: [])


def value(measurement: Measurement, name: str, condition: str) -> float:
    return float(measurement.rows(name).loc[condition, "estimate"])


def test_a_network_that_reads_the_watermark_is_caught(measured: Measurement) -> None:
    assert value(measured, "accuracy", "plain") > 0.9
    assert value(measured, "accuracy change", WATERMARK) < -0.4
    assert value(measured, "turned to carton", WATERMARK) > 0.4
    assert value(measured, "carton accuracy change", WATERMARK) >= 0
    for control in (STROKES, LATIN, ELSEWHERE):
        assert abs(value(measured, "carton logit change", control)) < 0.6 * value(
            measured, "carton logit change", WATERMARK
        )
    assert value(measured, "similarity gain", WATERMARK) > 0.3
    assert value(measured, "neighbours alike in the mark", WATERMARK) > 0.75
    rows = measured.measured
    assert (rows["low"] <= rows["estimate"] + 1e-9).all()
    assert (rows["estimate"] <= rows["high"] + 1e-9).all()


@pytest.mark.usefixtures("without_relevance")
def test_a_network_that_does_not_see_it_is_not_accused(photographs: Path) -> None:
    measurement = measure("imagenet-w", Models(*reader(gain=0.0)), photographs)
    rows = measurement.measured
    changes = rows[rows["measure"].str.contains("change$|gain$|turned|changed")]
    assert len(changes)
    assert (changes["estimate"].abs() < 1e-9).all()
    alike = measurement.rows("neighbours alike in the mark")["estimate"]
    assert alike.between(0.35, 0.65).all()


@pytest.mark.usefixtures("without_relevance")
def test_without_a_classifier_there_are_no_accuracies_and_it_says_so(photographs: Path) -> None:
    measurement = measure("imagenet-w", reader(gain=8.0)[0], photographs, images=8)
    assert measurement.images == 8
    assert not measurement.measured["measure"].str.contains("accuracy|carton").any()
    assert measurement.lead == "similarity gain"
    assert "No accuracies: reader names no classes" in measurement.sentence


@pytest.mark.usefixtures("without_relevance")
def test_few_cartons_give_no_gap(tmp_path: Path) -> None:
    save_photographs(tmp_path / "few", 3)
    measurement = measure("imagenet-w", Models(*reader(gain=8.0)), tmp_path / "few")
    assert not len(measurement.rows("carton accuracy change"))
    assert "the folder has 3" in measurement.sentence


def test_what_a_user_reads_and_saves(measured: Measurement, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    sentence = measured.sentence
    assert sentence.startswith("reader, imagenet-w: accuracy change -0.")
    assert "(elsewhere); the largest of 5 controls is" in sentence
    assert "-0.254 (ResNet-50)" in sentence
    measured.show()
    assert "reader, measured here" in capsys.readouterr().out
    document = json.loads(measured.save(tmp_path)[0].read_text())
    assert document["effect"] == "imagenet-w"
    assert len(document["measured"]) == len(measured.measured)
    assert {entry["model"] for entry in document["published"]} >= {"ResNet-50", "MAE-H, LLE"}
    assert (tmp_path / "known.png").stat().st_size > 20_000
    assert (tmp_path / "measured.csv").is_file()


def test_controls_are_as_large_as_the_mark() -> None:
    pictures = list(np.random.default_rng(0).integers(60, 200, (4, 224, 224, 3), dtype=np.uint8))
    mark = imagenet_w()
    edits = watermark_controls(mark, pictures)
    assert len(edits) == 7
    ink = {name: float(edit.alpha.sum()) for name, edit in edits.items()}
    assert ink[STROKES] == pytest.approx(ink[WATERMARK])
    assert ink[ELSEWHERE] == pytest.approx(ink[WATERMARK])
    assert ink[LATIN] == pytest.approx(ink[WATERMARK], rel=0.05)
    assert edits[LATIN].alpha.max() == pytest.approx(mark.alpha.max(), rel=0.15)
    assert not (edits[ELSEWHERE].alpha * mark.alpha).any()
    change = {
        name: np.mean([np.linalg.norm(edit.add(picture).astype(float) - picture) for picture in pictures])
        for name, edit in edits.items()
    }
    for name in (STROKES, ELSEWHERE):
        assert change[name] == pytest.approx(change[WATERMARK], rel=0.1)


def test_moving_together_against_a_slow_reference() -> None:
    rng = np.random.default_rng(0)
    before = rng.normal(size=(9, 5)) + 3
    after = before + rng.normal(size=5) + 0.3 * rng.normal(size=(9, 5))
    centre = before.mean(0)

    def cosine(a: np.ndarray, b: np.ndarray) -> float:
        return float((a - centre) @ (b - centre) / np.linalg.norm(a - centre) / np.linalg.norm(b - centre))

    gains = [cosine(after[i], after[j]) - cosine(before[i], before[j]) for i in range(9) for j in range(9) if i != j]
    rows = {row["measure"]: row for row in together_rows("x", before, after)}
    assert rows["similarity gain"]["estimate"] == pytest.approx(np.mean(gains))
    changed = []
    for i in range(9):
        others = [j for j in range(9) if j != i]
        old = sorted(others, key=lambda j: -cosine(before[i], before[j]))[:3]
        new = sorted(others, key=lambda j: -cosine(after[i], before[j]))[:3]
        changed.append(1 - len(set(old) & set(new)) / 3)
    assert rows["neighbours changed"]["estimate"] == pytest.approx(np.mean(changed))


def test_neighbours_of_a_mark_that_decides_all_and_of_none() -> None:
    rng = np.random.default_rng(1)
    plain = unit(rng.normal(size=(60, 20)))
    marked = unit(rng.normal(size=(60, 20)) * 0.01 + np.eye(20)[0])
    assert neighbours_alike(plain, marked).mean() > 0.9
    assert neighbours_alike(plain, plain).mean() == pytest.approx(0.5, abs=0.1)
    assert not neighbours_changed(plain, plain).any()
    assert (nearest(plain @ plain.T) != np.arange(60)[:, None]).all()


def test_relevance_under_the_mark_is_that_of_pairs_of_its_patches() -> None:
    under = patches_under(imagenet_w(), 224).reshape(7, 7)
    assert under[[3, 4]].all()
    assert not under[[0, 1, 2, 5, 6]].any()
    cells = np.ones((49, 49))
    assert fraction(cells, under.reshape(-1)) == pytest.approx((2 / 7) ** 2)
    assert patches_under(imagenet_w(), SIZE).shape == (4,)


def test_layouts_of_imagenet(photographs: Path, tmp_path: Path) -> None:
    listed = load_photographs(photographs)
    assert sorted(set(listed.classes.tolist())) == [0, 478, 998, 999]
    assert load_photographs(photographs / "val").classes.tolist() == listed.classes.tolist()
    (tmp_path / "labels.csv").write_text("file,class_index,name\nb.png,478,carton\na.png,3,shark\n")
    table = load_photographs(tmp_path)
    assert (table.samples.names, table.classes.tolist()) == (("b.png", "a.png"), [478, 3])
    assert table.subset(table.drawn(1, 0)).classes.shape == (1,)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("file,name\na.png,x\n", "needs rows with the columns file and class_index"),
        ("file,class_index\n", "needs rows"),
        ("file,class_index\na.png,1000\n", "is .*1000.*from 0 to 999"),
        ("file,class_index\na.png,cat\n", "is 'cat'"),
        ("", "cannot be read"),
    ],
)
def test_tables_that_cannot_be_used(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(InputError, match=words):
        load_photographs(tmp_path)


def test_what_cannot_be_measured_is_said_before_the_work(tmp_path: Path, photographs: Path) -> None:
    with pytest.raises(InputError, match="'nothing' is not known; use one of imagenet-w"):
        measure("nothing", "tiny-clip", photographs)
    with pytest.raises(InputError, match="do not exist"):
        measure("imagenet-w", "no-such-model", tmp_path / "nowhere")
    with pytest.raises(InputError, match="2 images or more, not on 1"):
        measuring("imagenet-w", "tiny-clip", photographs, images=1)
    encoder, _ = reader(gain=1.0)
    with pytest.raises(InputError, match="logits of 1000 classes, and 'reader' has 3"):
        measure("imagenet-w", Models(encoder, encoder), photographs)


def test_the_list_says_what_is_missing(photographs: Path) -> None:
    rows = list_effects(photographs).effects.set_index("name")
    assert rows.loc["imagenet-w", "here"] == "can be measured"
    assert "--data" in list_effects().effects.set_index("name").loc["imagenet-w", "here"]
    assert list(rows.index) == list(EFFECTS)
    assert rows["source"].str.contains(r"\d{4}").all()


def test_the_real_network_relies_on_it(real_data) -> None:
    models = load_models("efficientnet-lite0")
    photographs = load_photographs(real_data("imagenet_sample"))
    seen = models.encoder.see([open_image(path) for path in photographs.samples.paths[::32]])
    edits = watermark_controls(imagenet_w(), seen)
    plain = models.encoder.respond(seen)
    gains = {}
    for name in (WATERMARK, STROKES, LATIN):
        marked = models.encoder.respond([edits[name].add(picture) for picture in seen])
        gains[name] = together_rows(name, plain, marked)[0]["estimate"]
    assert gains[WATERMARK] > 2 * max(gains[STROKES], gains[LATIN], 0)
