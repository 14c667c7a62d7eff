import json
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from chinspect.artefacts import text_logo
from chinspect.encoders import load_encoder
from chinspect.encoders.edits import Prune, edited
from chinspect.mitigate import save_encoder
from chinspect.world import Logo, scenes
from tests.cli.test_cli import TRUCKS, run  # noqa: F401, a fixture

CLASSES = ("garbage truck", "tow truck")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Trucks, of which those of the city carry its logo in the training images."""
    root = tmp_path_factory.mktemp("data")
    logo = Logo(classes={"garbage truck": 0.8}, elsewhere=0.0)
    for part, count, seed, shown in (("train", 64, 1, logo), ("test", 12, 2, None)):
        for number, scene in enumerate(scenes(count, seed=seed, classes=CLASSES, logo=shown)):
            folder = root / part / scene.class_name
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(scene.image).save(folder / f"{number:02}.png")
    return root


@pytest.fixture(scope="module")
def mitigated(tmp_path_factory):
    path = tmp_path_factory.mktemp("encoders") / "pruned"
    return str(save_encoder(edited(load_encoder("tiny-clip"), Prune("stem.2", (18, 10), (55, 63))), path))


def test_from_artefact_to_encoder(run, data, tmp_path):  # noqa: F811
    logo = tmp_path / "logo.png"
    text_logo().save(logo)
    options = ["--artefact", str(logo), "--data", str(data), "--layer", "stem.2", "--k", "2", "--out", "pruned"]
    status, out, err = run("mitigate", "prune", "--model", "tiny-clip", *options, "--json")
    assert (status, err) == (0, "")
    document = json.loads(out)
    assert document["edit"]["layer"] == "stem.2"
    assert len(document["edit"]["channels"]) == document["k"] == 2
    assert document["encoder"] == "pruned"
    assert [row["mitigation"] for row in document["table"]] == ["none"] * 2 + ["pruned"] * 2 + ["random channels"] * 2
    shares = {row["mitigation"]: row["relevance_share"] for row in document["table"]}
    assert shares["pruned"] < shares["none"] / 2
    assert {row["channels"] for row in document["curve"]} == {"none", "responsive", "random"}
    assert json.loads(Path("pruned/mitigation.json").read_text())["evidence"]["artefact"] == "logo"
    status, out, _ = run("explain-similarity", *TRUCKS, "--model", "pruned", "--out", "here")
    assert status == 0
    assert "pruned" in out


def test_unlearning_ends_in_an_encoder(run, data):  # noqa: F811
    options = ["--artefact", "logo", "--data", str(data), "--out", "unlearnt", "--epochs", "2"]
    quick = ["--learning-rate", "3e-4", "--batch-size", "8"]
    status, out, err = run("mitigate", "unlearn", "--model", "tiny-clip", *options, *quick, "--json")
    assert (status, err) == (0, "")
    document = json.loads(out)
    assert [row["epoch"] for row in document["history"]] == [0, 1, 2]
    names = ["none", "unlearnt", "random patch"]
    assert [row["mitigation"] for row in document["table"]] == [name for name in names for _ in range(2)]
    shares = {row["mitigation"]: row["relevance_share"] for row in document["table"]}
    assert shares["unlearnt"] < 0.8 * shares["none"]
    assert "logistic: " in document["finding"]
    assert "svm: " in document["finding"]
    assert sorted(path.name for path in Path().iterdir()) == ["unlearnt"]
    assert not Path("unlearnt/.resume").exists()
    assert json.loads(Path("unlearnt/mitigation.json").read_text())["edits"] == [{"kind": "retrain"}]
    status, out, _ = run("explain-similarity", *TRUCKS, "--model", "unlearnt", "--out", "here")
    assert status == 0


@pytest.mark.parametrize("verb", ["prune", "unlearn"])
def test_what_lies_in_the_way_is_seen_first_and_stays(run, verb):  # noqa: F811
    Path("mine").mkdir()
    Path("mine/thesis.txt").write_text("x")
    options = ["--artefact", "logo", "--data", "nowhere", "--out"]
    for place, words in (("mine", "holds something else, such as 'thesis.txt'"), ("mine/thesis.txt", "is a file")):
        status, out, err = run("mitigate", verb, "--model", "tiny-clip", *options, place)
        assert (status, out) == (2, "")
        assert words in err
    assert Path("mine/thesis.txt").read_text() == "x"
    assert [path.name for path in Path("mine").iterdir()] == ["thesis.txt"]


def test_a_mitigated_encoder_beside_the_one_before(run, data, mitigated, tmp_path):  # noqa: F811
    groups = tmp_path / "groups.csv"
    names = sorted(path.relative_to(data).as_posix() for path in (data / "test").rglob("*.png"))
    groups.write_text(
        "path,group\n" + "".join(f"{name},{'early' if i % 3 else 'late'}\n" for i, name in enumerate(names))
    )
    options = ["--artefact", "logo", "--groups", str(groups), "--cache", "cache"]
    status, out, err = run("evaluate", str(data), "--model", mitigated, *options, "--json")
    assert (status, err) == (0, "")
    document = json.loads(out)
    assert (document["train"], document["test"]) == (64, 12)
    states = ["original", "shifted", "mitigated, original", "mitigated, shifted"]
    assert list(dict.fromkeys(row["state"] for row in document["rows"])) == states
    assert {row["group"] for row in document["rows"]} == {"all", "early", "late"}
    assert len(document["worst"]) == 8
    assert all("fpr_high" in row for row in document["rows"])
    assert len(document["classes"]) == 8 * len(CLASSES)
    counted = pd.DataFrame(document["confusion"])
    right = counted[counted["label"] == counted["predicted"]].groupby(["readout", "state"])["n"].sum() / 12
    assert all(
        row["accuracy"] == pytest.approx(right[row["readout"], row["state"]])
        for row in document["rows"]
        if row["group"] == "all"
    )
    status, out, _ = run("evaluate", str(data), "--model", mitigated, *options)
    assert status == 0
    assert "svm, mitigated, shifted: the group " in out
    assert "the commonest false call is " in out
    assert len(list(Path("cache").iterdir())) == 6


def test_without_an_artefact_there_is_one_state(run, data):  # noqa: F811
    status, out, _ = run("evaluate", str(data / "test"), "--model", "tiny-clip", "--json")
    assert status == 0
    assert {row["state"] for row in json.loads(out)["rows"]} == {"original"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["evaluate", "nowhere", "--model", "tiny-clip"], "does not exist"),
        (["evaluate", "DATA", "--model", "nonsense"], "no model 'nonsense'"),
        (["evaluate", "DATA", "--model", "DATA"], "holds no mitigation.json"),
        (["evaluate", "DATA", "--model", "tiny-clip", "--artefact", "nowhere.png"], "name a PNG file, or one of logo"),
        (["evaluate", "DATA", "--model", "tiny-clip", "--groups", "nowhere.csv"], "no file of groups"),
        (
            [
                "mitigate",
                "prune",
                "--model",
                "tiny-clip",
                "--artefact",
                "logo",
                "--data",
                "DATA",
                "--out",
                "x",
                "--k",
                "0",
            ],
            "--k must",
        ),
        (
            [
                "mitigate",
                "prune",
                "--model",
                "tiny-clip",
                "--artefact",
                "logo",
                "--data",
                "DATA",
                "--out",
                "x",
                "--rows",
                "3",
            ],
            "--rows",
        ),
        (
            [
                "mitigate",
                "unlearn",
                "--model",
                "tiny-clip",
                "--artefact",
                "logo",
                "--data",
                "DATA",
                "--out",
                "x",
                "--epochs",
                "0",
            ],
            "epochs must be at least 1",
        ),
        (
            [
                "mitigate",
                "prune",
                "--model",
                "tiny-clip",
                "--artefact",
                "logo",
                "--data",
                "DATA",
                "--out",
                "x",
                "--layer",
                "stem.9",
            ],
            "no layer 'stem.9'",
        ),
    ],
)
def test_bad_input_is_one_line(run, data, arguments, words):  # noqa: F811
    status, out, err = run(*(str(data) if argument == "DATA" else argument for argument in arguments))
    assert (status, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1
    assert not Path("x").exists()
