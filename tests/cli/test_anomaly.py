import json
import os
import re

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open

from chinspect.anomaly import D2Neighbors, load_detector
from chinspect.errors import InputError
from chinspect.mitigate import Blur
from chinspect.stress import CHANGES
from tests.cli.test_cli import run  # noqa: F401, a fixture


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Grey squares on grain; defects have a dark spot."""
    root = tmp_path_factory.mktemp("data") / "squares"
    generator = np.random.default_rng(0)
    (root / "ground_truth" / "spot").mkdir(parents=True)
    for folder, count, spot in (("train/good", 24, False), ("test/good", 8, False), ("test/spot", 8, True)):
        (root / folder).mkdir(parents=True)
        for number in range(count):
            image = np.full((120, 120, 3), 100.0)
            image[30:90, 30:90] += 80
            if spot:
                y, x = generator.integers(35, 70, 2)
                image[y : y + 14, x : x + 14] -= 90
                mask = np.zeros((120, 120), np.uint8)
                mask[y : y + 14, x : x + 14] = 255
                Image.fromarray(mask).save(root / "ground_truth" / "spot" / f"{number:02}_mask.png")
            image += generator.normal(0, 8, image.shape)
            Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(root / folder / f"{number:02}.png")
    return root


@pytest.fixture
def detector(run, dataset, tmp_path):  # noqa: F811
    path = tmp_path / "detector.safetensors"
    status, out, err = run("fit", "d2neighbors", str(dataset / "train"), "--out", str(path), "--size", "48")
    assert (status, err) == (0, "")
    assert "fitted d2neighbors on 24 images" in out
    return str(path)


def test_scores_tell_defects(run, detector, dataset, tmp_path):  # noqa: F811
    status, out, _ = run("score", detector, str(dataset / "test"), "--json", "--csv", str(tmp_path / "scores.csv"))
    document = json.loads(out)
    assert status == 0
    flagged = {row["image"]: row["anomalous"] for row in document["images"]}
    assert len(flagged) == 16
    assert all(value for image, value in flagged.items() if "spot" in image)
    assert (tmp_path / "scores.csv").read_text().startswith("image,score,anomalous\n")
    assert document["separation"]["auroc"] > 0.9
    status, out, _ = run("score", detector, str(dataset / "test"))
    assert re.search(r"AUROC \S+ \[.*\] of 8 defects against 8 normal images \(the folder 'good'\): better than", out)
    status, out, _ = run("score", detector, str(dataset / "test" / "good"))
    assert "exceed the threshold" in out
    assert "AUROC" not in out


@pytest.mark.parametrize(
    ("verb", "place", "left"), [("score", "--csv", ".made.resume"), ("stress", "--out", "made/.resume")]
)
def test_an_interrupted_run_goes_on(run, detector, dataset, tmp_path, monkeypatch, verb, place, left):  # noqa: F811
    monkeypatch.setattr("chinspect.anomaly.workflow._BATCH", 4)
    monkeypatch.setattr("chinspect.stress.scoring._BATCH", 4)
    original, done = D2Neighbors._score, []

    def stop(self, x):
        if len(done) == 2:
            raise InputError("no current.")
        done.append(len(x))
        return original(self, x)

    given = str(dataset / "test") if verb == "score" else str(dataset)
    arguments = (verb, detector, given, place, str(tmp_path / "made"))
    monkeypatch.setattr(D2Neighbors, "_score", stop)
    assert run(*arguments)[0] == 2
    assert (tmp_path / left).is_dir()
    assert not (tmp_path / "made").is_file()
    monkeypatch.setattr(D2Neighbors, "_score", original)
    status, _, err = run(*arguments)
    assert (status, err) == (0, "")
    assert not (tmp_path / left).exists()
    assert (tmp_path / "made").exists()


def test_explanations_add_up(run, detector, dataset, tmp_path):  # noqa: F811
    images = [str(dataset / "test" / "spot" / f"{number:02}.png") for number in range(2)]
    status, out, err = run("explain-anomaly", detector, *images, "--json", "--out", "why")
    assert (status, err) == (0, "")
    document = json.loads(out)
    for record in document["images"]:
        shares = [value for key, value in record.items() if key.startswith("band_")]
        assert len(shares) == 3
        assert sum(shares) == pytest.approx(record["score"], rel=1e-4)
        assert record["conservation"] == pytest.approx(1, abs=1e-4)
    assert sorted(path.name for path in (tmp_path / "why").iterdir()) == [
        "anomaly.html",
        "anomaly.json",
        "anomaly.npz",
        "anomaly.png",
    ]
    assert "conserved" in run("explain-anomaly", detector, *images)[1]


def test_any_detector_by_shapley_values(run, detector, dataset):  # noqa: F811
    image = str(dataset / "test" / "spot" / "00.png")
    options = ("--method", "shapley", "--evaluations", "250", "--reference", str(dataset / "train" / "good" / "00.png"))
    status, out, err = run("explain-anomaly", detector, image, *options, "--json")
    assert (status, err) == (0, "")
    document = json.loads(out)
    assert document["images"][0]["conservation"] == pytest.approx(1, abs=1e-4)
    assert document["explained_by"]["method"] == "shapley"
    assert "Without its 10% most relevant patches this image loses" in document["faithfulness"]
    said = run("explain-anomaly", detector, image, "--no-check", "--force")[1]
    assert "most relevant" not in said
    status, _, err = run("explain-anomaly", detector, image, "--method", "rescale", "--force")
    assert (status, err.count("\n")) == (2, 1)
    assert "choose the method auto or shapley" in err


def test_of_many_images_all_are_saved_and_the_highest_scores_drawn(run, detector, dataset, tmp_path):  # noqa: F811
    given = (str(dataset / "train"), str(dataset / "test"))
    status, out, err = run("explain-anomaly", detector, *given, "--json", "--out", "why")
    assert (status, err) == (0, "")
    document = json.loads(out)
    scores = {record["image"]: record["score"] for record in document["images"]}
    assert len(scores) == len(np.load(tmp_path / "why" / "anomaly.npz")["pixels"]) == 40
    assert set(document["drawn"]) == set(sorted(scores, key=scores.__getitem__)[-16:])
    assert (tmp_path / "why" / "anomaly.png").exists()
    assert "anomaly.png shows the 16 images of the highest scores" in run("explain-anomaly", detector, *given)[1]


@pytest.mark.filterwarnings("ignore:.*has the same pixels:chinspect.errors.ImageWarning")
def test_names_of_any_bytes_and_scores_of_zero(run, tmp_path):  # noqa: F811
    folder = tmp_path / "same"
    folder.mkdir()
    for name in (b"[bold]\xff.png", b"2.png", b"3.png"):
        with open(os.fsencode(folder) + b"/" + name, "wb") as file:
            Image.new("RGB", (16, 16), "grey").save(file, "PNG")
    fit = ("fit", "patchcore", str(folder), "--out", "d", "--size", "32", "--coreset", "1")
    fit += ("--backbone", "tiny-supervised")
    status, out, _ = run(*fit)
    assert status == 0
    assert "with probability 25% at most; 5% needs 19 images" in " ".join(out.split())
    assert json.loads(run(*fit, "--json", "--force")[1])["threshold_fpr"] == 1 / 4
    with safe_open(tmp_path / "d", "np") as file:
        assert json.loads(file.metadata()["chinspect"])["threshold"]["false_positive_rate"] == 1 / 4
    status, out, err = run("score", "d", str(folder), "--csv", "scores.csv")
    assert (status, err) == (0, "")
    assert r"[bold]\xff.png" in out
    assert r"[bold]\xff.png" in (tmp_path / "scores.csv").read_text(encoding="utf-8")
    status, out, _ = run("explain-anomaly", "d", str(folder))
    assert status == 0
    (line,) = [line for line in out.splitlines() if r"same/[bold]\xff.png" in line]
    assert line.split()[1:] == ["0", "normal", "-", "-", "-", "1.000"]


def test_stress_writes_the_table_and_the_gate_decides(run, detector, dataset, tmp_path, monkeypatch):  # noqa: F811
    arguments = (
        "stress",
        detector,
        str(dataset),
        "--deploy",
        "pillow-bilinear",
        "--mitigate",
        "blur",
        "--force",
        "--json",
    )
    status, out, err = run(*arguments, "--fail-on", "auroc>1")
    assert (status, err) == (0, "")
    document = json.loads(out)
    assert document["failed"] == []
    assert {row["mitigation"] for row in document["rows"]} == {"none", "blur"}
    assert (tmp_path / "chinspect-out" / "stress.png").exists()
    status, out, _ = run(*arguments, "--fail-on", "auroc<=1")
    assert status == 1
    assert json.loads(out)["failed"][0]["resizer"] == "pillow-bilinear"
    monkeypatch.setenv("COLUMNS", "80")
    status, said, _ = run(*arguments[:-1], "--fail-on", "auroc<=1")
    assert status == 1
    assert {*CHANGES, "pillow-bilinear"} <= set(said.split())
    assert "of the score lies in high frequencies" in said
    assert "Read F1 beside 0.667" in said
    found = r"with pillow-bilinear, auroc of the given detector is \d\.\d{3}, and --fail-on is auroc<=1; exit status 1"
    assert len(re.findall(f"gate failed: {found}", " ".join(said.split()))) == 1


def test_the_gate_judges_the_given_detector_and_the_remedied_one_is_saved(run, detector, dataset):  # noqa: F811
    arguments = ("stress", detector, str(dataset), "--mitigate", "blur", "--force", "--json")
    rows = json.loads(run(*arguments)[1])["rows"]
    given, blurred = (row["threshold_retuned"] for row in rows if row["resizer"] == "pillow-bilinear")
    assert given != blurred
    middle = (given + blurred) / 2
    for comparison, expected in ((">", given > middle), ("<", given < middle)):
        status, out, _ = run(*arguments, "--fail-on", f"threshold_retuned{comparison}{middle}")
        assert (status == 1) == expected == bool(json.loads(out)["failed"])
    (saved,) = [file for file in json.loads(out)["files"] if file.endswith("blur.safetensors")]
    remedied = load_detector(saved)
    assert isinstance(remedied.layer, Blur)
    assert remedied.threshold_ == pytest.approx(rows[-1]["threshold"])


def test_a_gate_that_cannot_be_judged_does_not_pass(run, detector, dataset, monkeypatch):  # noqa: F811
    arguments = ("stress", detector, str(dataset), "--fail-on", "shift_defect>99", "--force")
    status, out, err = run(*arguments, "--deploy", "opencv-nearest")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "--deploy opencv-nearest has no effect" in err
    monkeypatch.setattr("chinspect.stress.metrics.score_shift", lambda *_: float("nan"))
    status, out, _ = run(*arguments, "--json")
    assert status == 1
    assert json.loads(out)["failed"] == [{"resizer": "pillow-bilinear", "shift_defect": None}]
    assert "shift_defect of the given detector is not defined" in " ".join(run(*arguments)[1].split())


def test_parity_counts_flips(run, detector, dataset):  # noqa: F811
    images = str(dataset / "test")
    same = ("--resizer-a", "opencv-nearest", "--resizer-b", "opencv-nearest")
    status, out, err = run("parity", detector, images, *same)
    assert (status, out, "cannot differ" in err) == (2, "", True)
    other = ("--resizer-a", "opencv-nearest", "--resizer-b", "pillow-bilinear")
    status, out, _ = run("parity", detector, images, *other)
    assert status == 0
    assert "decisions flip" in out


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["fit", "nonsense", "TRAIN", "--out", "d"], "nonsense"),
        (["fit", "d2neighbors", "missing", "--out", "d"], "missing"),
        (["fit", "d2neighbors", "TRAIN", "--out", "d", "--resizer", "nonsense"], "nonsense"),
        (["fit", "d2neighbors", "TRAIN", "--out", "d", "--p", "3"], "3"),
        (["fit", "d2neighbors", "TRAIN", "--out", "d", "--blur", "-1"], "-1"),
        (["fit", "d2neighbors", "TRAIN", "--out", "d", "--fpr", "2"], "--fpr"),
        (["fit", "d2neighbors", "TRAIN", "--out", "d", "--fpr", "0"], "--fpr"),
        (["fit", "patchcore", "TRAIN", "--out", "d", "--coreset", "2"], "--coreset"),
        (["fit", "d2neighbors", "missing", "--out", "TRAIN"], "train' is a folder"),
        (["fit", "d2neighbors", "missing", "--out", "no/such/d"], "'no/such/d' does not exist"),
        (["score", "missing", "TRAIN", "--csv", "no/such.csv"], "'no/such.csv' does not exist"),
        (["explain-anomaly", "missing", "TRAIN", "--out", "DETECTOR"], "is a file"),
        (["stress", "missing", "DATA", "--out", "DETECTOR"], "is a file"),
        (["virelay", "missing"], "'missing' holds no finished run of 'chinspect spray'"),
        (["score", "missing.safetensors", "TRAIN"], "missing"),
        (["score", "DETECTOR", "missing.png"], "missing"),
        (["explain-anomaly", "DETECTOR", "TRAIN", "--bands", "0"], "0"),
        (["stress", "DETECTOR", "missing"], "missing"),
        (["stress", "DETECTOR", "DATA", "--deploy", "nonsense"], "nonsense"),
        (["stress", "DETECTOR", "DATA", "--mitigate", "nonsense"], "nonsense"),
        (["stress", "DETECTOR", "DATA", "--protocol", "nonsense"], "nonsense"),
        (["stress", "DETECTOR", "DATA", "--fail-on", "fnr ~ 2"], "fnr ~ 2"),
        (["stress", "DETECTOR", "DATA", "--fail-on", "nonsense>1"], "nonsense"),
        (["parity", "DETECTOR", "DATA", "--resizer-a", "nonsense", "--resizer-b", "opencv-area"], "nonsense"),
    ],
)
def test_bad_usage_is_one_line(run, detector, dataset, tmp_path, arguments, match):  # noqa: F811
    places = {"TRAIN": str(dataset / "train"), "DATA": str(dataset), "DETECTOR": detector}
    status, out, err = run(*(places.get(argument, argument) for argument in arguments))
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert match in err
    assert not (tmp_path / "d").exists()
    assert not (tmp_path / "chinspect-out").exists()
