"""A head, or an entire network, that is right for groups that nobody has labelled, as a remedy."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from chinspect.cli.app import app
from chinspect.encoders import EditedEncoder, Encoder, load_encoder
from chinspect.errors import InputError
from chinspect.mitigate import Regrouped, Remedy, Schedule, group_remedy
from chinspect.readouts import LinearHead, evaluate, folder_task, load_classes, read_groups

SCHEDULE = Schedule(epochs=2, learning_rate=3e-4, batch_size=8)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_encoder("tiny-supervised")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes that brightness tells mostly; a mark agrees with the class on most training images."""
    rng = np.random.default_rng(0)
    root = tmp_path_factory.mktemp("marked")
    rows = [("path", "group")]
    for split, count, agreement in (("train", 24, 0.85), ("test", 12, 0.5)):
        for name in ("dark", "light"):
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                brightness = rng.normal(115 if name == "dark" else 135, 3)
                pixels = rng.normal(brightness, 25, (64, 64, 3)).clip(0, 255).astype(np.uint8)
                marked = (rng.random() < agreement) == (name == "light")
                if marked:
                    pixels[40:60, 36:60] = [250, 20, 20]
                Image.fromarray(pixels).save(root / split / name / f"{number}.png")
                rows.append((f"{split}/{name}/{number}.png", "marked" if marked else "plain"))
    with (root / "groups.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return root


@pytest.fixture(scope="module")
def tuned(encoder: Encoder, folder: Path) -> Regrouped:
    options = {"method": "george", "head": "groupdro", "train": "all", "groups": folder / "groups.csv"}
    return group_remedy(encoder, folder, schedule=SCHEDULE, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def headed(encoder: Encoder, folder: Path) -> Regrouped:
    return group_remedy(encoder, folder, method="george", groups=folder / "groups.csv")


def test_a_head_is_a_remedy(headed: Regrouped, encoder: Encoder, folder: Path, tmp_path: Path) -> None:
    assert isinstance(headed, Remedy)
    assert headed.helps
    assert list(headed.encoders) == ["average", "dfr, george", "dfr, random groups"]
    images = [Image.open(path) for path in sorted((folder / "test" / "dark").iterdir())[:3]]
    assert headed.apply().embed(images).shape == (3, 2)
    assert headed.parts[headed.name][0] is encoder  # which a head leaves as it is
    assert not torch.equal(headed.apply().embed(images), headed.undo().embed(images))
    assert headed.finding.split(" (")[0] in (
        "dfr, george helps",
        "no effect of dfr, george is certain",
        "dfr, george harms",
    )
    assert "dfr, random groups" in headed.finding
    document = json.loads(json.dumps(headed.document()))
    assert (document["method"], document["train"], document["head"]) == ("george", "head", "dfr")
    assert {file.name for file in headed.save(tmp_path)} >= {"regrouping.json", "head.safetensors", "accuracy.csv"}
    assert LinearHead.load(tmp_path / "head.safetensors").name == "dfr, george"


def test_the_table_is_what_evaluating_gives(headed: Regrouped, tuned: Regrouped, folder: Path) -> None:
    data = load_classes(folder)
    task = folder_task(data, groups=read_groups(folder / "groups.csv", data.test))
    for remedy in (headed, tuned):
        assert remedy.evaluate(task).equals(remedy.table.drop(columns="adjusted"))  # of training images
        assert remedy.table["gain"][0] == remedy.table["margin"].iloc[-1] == 0
    by_class = tuned.evaluate(folder_task(data))
    assert set(by_class["worst_group"]) <= {"dark", "light"}


def test_an_entire_network_is_a_remedy(tuned: Regrouped, encoder: Encoder, folder: Path, tmp_path: Path) -> None:
    assert list(tuned.encoders) == ["average", "erm", "groupdro, george", "groupdro, random groups"]
    assert tuned.parts["average"][0] is encoder
    document = json.loads(json.dumps(tuned.document()))
    assert sum(document["groups"].values()) == 24
    assert document["selected"]["by"] == "worst group from features, kmeans"
    files = tuned.save(tmp_path / "tuned")
    loaded = load_encoder(str(tmp_path / "tuned"))
    assert isinstance(loaded, EditedEncoder)
    head = LinearHead.load(files[-1])
    images = [Image.open(path) for path in sorted((folder / "test" / "light").iterdir())[:3]]
    assert torch.equal(head.classifier(loaded).embed(images), tuned.apply().embed(images))
    scores = evaluate(loaded, folder, head=files[-1], groups=folder / "groups.csv").rows
    own = scores[scores["readout"] == "groupdro, george"]
    assert set(own["state"]) == {"mitigated, original"}  # the encoder before is not what the head reads
    mean = own[own["group"] == "all"]["accuracy"].item()
    assert mean == pytest.approx(tuned.table["mean"][2])
    with pytest.raises(InputError, match="another encoder"):
        evaluate(encoder, folder, head=files[-1])


def test_names_are_checked_first(encoder: Encoder) -> None:
    for options, words in (
        ({"train": "some"}, "head or all, not 'some'"),
        ({"train": "all"}, "jtt, groupdro, not 'dfr'"),
        ({"head": "erm"}, "dfr, jtt, groupdro, afr, not 'erm'"),
        ({"method": "magic"}, "not from 'magic'"),
    ):
        with pytest.raises(InputError, match=words):
            group_remedy(encoder, "nowhere", **options)  # type: ignore[arg-type]


def test_the_verb_trains_a_network(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Schedule.__init__, "__kwdefaults__", Schedule.__init__.__kwdefaults__ | {"epochs": 1})
    out = tmp_path / "tuned"
    options = ["groups", str(folder), "--method", "class", "--train", "all"]
    options += ["--model", "tiny-supervised", "--out", str(out)]
    failed = CliRunner().invoke(app, options)
    assert "not 'dfr'" in str(failed.exception)
    failed = CliRunner().invoke(app, [*options, "--head", "jtt"])
    assert "gets no image wrong" in str(failed.exception)
    result = CliRunner().invoke(app, [*options, "--head", "groupdro"])
    assert result.exit_code == 0, result.output
    assert "is selected by the worst class" in result.output
    written = {"card.toml", "head.safetensors", "mitigation.json", "mitigation.safetensors"}
    assert {path.name for path in out.iterdir()} == written
    head = ["--head", str(out / "head.safetensors")]
    judged = CliRunner().invoke(app, ["evaluate", str(folder), "--model", str(out), *head])
    assert judged.exit_code == 0, judged.output
    assert "groupdro, class" in judged.output
