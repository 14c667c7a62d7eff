import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from chinspect.anomaly import D2Neighbors, save_detector
from chinspect.cli.app import app
from chinspect.encoders import Encoder
from tests.cli.test_cli import TINY, run  # noqa: F401, a fixture
from tests.spray._planted import plant

CARRIERS, COUNT = 12, 60


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return plant(tmp_path_factory.mktemp("spray") / "images", COUNT, CARRIERS)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Few sheets, and tests on few images."""
    monkeypatch.setattr("chinspect.spray.analysis.STRONGEST", 2)
    monkeypatch.setattr("chinspect.proof.candidates._TESTED_ON", CARRIERS)
    monkeypatch.setattr("chinspect.proof.experiment._SHUFFLES", 3)


@pytest.fixture
def maps(tmp_path):
    values = np.random.default_rng(0).random((40, 12, 12)) ** 6
    values[:10, 9:11, 1:3] += 3
    np.save(tmp_path / "maps.npy", values)
    return str(tmp_path / "maps.npy")


def test_from_a_folder_to_a_verdict(run, images, tmp_path):  # noqa: F811
    arguments = [
        "spray",
        str(images),
        *TINY,
        "--explain",
        "output",
        "--surrogates",
        "19",
        "--test",
        "--json",
        "--out",
        "run",
    ]
    status, out, err = run(*arguments)
    document = json.loads(out)
    assert (status, err) == (0, "")
    assert 10 <= document["candidates"][0]["size"] <= CARRIERS  # two of the logos hold little relevance
    proof = json.loads((tmp_path / "run" / "candidates" / "1" / "proof" / "proof.json").read_text())
    assert document["candidates"][0]["verdict"] == proof["verdict"] != "untested"
    assert document["explanation"]["encoder"] == "tiny-clip"
    assert (tmp_path / "run" / "candidates" / "1" / "proof.png").is_file()
    assert json.loads((tmp_path / "run" / "run.json").read_text())["sentence"] == document["sentence"]


def test_goes_on_after_an_interruption(run, images, tmp_path, monkeypatch):  # noqa: F811
    (images / "broken.png").write_bytes(b"no image")
    function = Encoder.explain
    done = []

    def stops(encoder, images, weights, **options):
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(len(images))
        return function(encoder, images, weights, **options)

    monkeypatch.setattr(Encoder, "explain", stops)
    arguments = [
        "spray",
        str(images),
        *TINY,
        "--explain",
        "output",
        "--surrogates",
        "0",
        "--labels",
        "folder",
        "--out",
        "run",
    ]
    assert run(*arguments)[0] == 130
    assert not (tmp_path / "run" / "run.json").exists()
    monkeypatch.setattr(Encoder, "explain", lambda *x, **options: done.append(len(x[1])) or function(*x, **options))
    status, out, err = run(*arguments)
    (images / "broken.png").unlink()
    assert (status, err) == (0, "")
    assert sorted(done) == [13, 16, 16, 16]  # images of each shard, explained once
    assert "1 image cannot be read, left out: broken.png" in out
    assert "0 of" in out
    assert "nothing was compared with chance" in " ".join(out.split())


def test_a_detector_is_explained_by_its_scores(run, images, tmp_path):  # noqa: F811
    path = save_detector(D2Neighbors(size=48, resizer="pillow-bilinear").fit(images), tmp_path / "d.safetensors")
    for explain in ("anomaly", "frequency"):
        status, out, err = run(
            *(
                "spray",
                str(images),
                "--detector",
                str(path),
                "--explain",
                explain,
                "--surrogates",
                "0",
                "--json",
                "--force",
            )
        )
        document = json.loads(out)
        assert (status, err) == (0, "")
        assert document["explanation"]["detector"] == "D2Neighbors"
        assert document["images"] == COUNT


def test_the_same_output_folder_takes_another_data_set_and_a_bad_option_comes_first(run, images, tmp_path):  # noqa: F811
    few, other = tmp_path / "few", tmp_path / "other"
    for folder, places in ((few, range(8)), (other, range(20, 28))):
        folder.mkdir()
        for i in places:
            shutil.copy(images / f"{i:03d}.png", folder)
    common = ["--explain", "output", "--surrogates", "0", "--json", "--force"]
    Path("labels.csv").write_text("path,label\nfew/000.png,cat\n")
    status, _, err = run("spray", str(few), *TINY, "--labels", "labels.csv", *common)
    assert (status, "leave out 7 images" in err) == (2, True)
    assert not list(tmp_path.rglob("explanations"))
    for folder in (few, other):
        status, _, err = run("spray", str(folder), *TINY, *common)
        assert (status, err) == (0, "")
    stores = sorted(path.name for path in tmp_path.rglob("explanations/*"))
    assert [name[:7] for name in stores] == ["output-", "output-"]
    (tmp_path / "chinspect-out" / "candidates" / ".chinspect").unlink()
    (few / "000.png").unlink()
    status, _, err = run("spray", str(few), *TINY, *common)
    assert (status, "not from an earlier run" in err) == (2, True)
    assert len(list(tmp_path.rglob("explanations/*"))) == 2


def test_what_is_shown_and_written_is_counted(run, maps, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setattr("chinspect.spray.run.LISTED", 1)
    status, out, err = run("spray", "--maps", maps, "--surrogates", "0", "--out", "run")
    text = " ".join(out.split())
    assert (status, err) == (0, "")
    total = len((tmp_path / "run" / "candidates.csv").read_text().splitlines()) - 1
    assert f"1 of {total} shown; all in candidates.csv" in text
    written = sum(path.is_file() and path.name != ".chinspect" for path in (tmp_path / "run").rglob("*"))
    assert f"wrote {written} files to run, with the sheets of 2 sets; begin with embedding.png" in text
    assert "not tested" in text


def test_maps_of_ones_own(run, maps):  # noqa: F811
    np.save("labels.npy", np.arange(40) % 2)
    status, out, err = run("spray", "--maps", maps, "--labels", "labels.npy", "--surrogates", "19")
    assert (status, err) == (0, "")
    assert "at the lower left" in out
    assert "flagged; an artefact of half of the relevance" in " ".join(out.split())


def test_gates(run, maps):  # noqa: F811
    arguments = ["spray", "--maps", maps, "--surrogates", "19", "--json"]
    status, out, err = run(*arguments, "--fail-on", "candidate")
    assert (status, err, json.loads(out)["verdict"]) == (1, "", "candidate")
    np.save("noise.npy", np.random.default_rng(1).random((40, 12, 12)) ** 6)
    status, _, err = run("spray", "--maps", "noise.npy", "--surrogates", "0", "--fail-on", "candidate")
    assert (status, "--fail-on has no effect with --surrogates 0" in err) == (2, True)


def test_a_confirmed_candidate_fails_the_gate(run, images, monkeypatch):  # noqa: F811
    monkeypatch.setattr("chinspect.proof.candidates.prove_all", lambda _, cases, **__: [Silent()] * len(cases))
    monkeypatch.setattr("chinspect.proof.candidates._judged", confirmed)
    arguments = ["spray", str(images), *TINY, "--explain", "output", "--surrogates", "19", "--test", "--out", "gate"]
    status, out, _ = run(*arguments, "--fail-on", "confirmed")
    assert status == 1
    assert re.search(r"[12] confirmed by an intervention", " ".join(out.split()))  # the carriers, and a part of them


def confirmed(run, finding, proof):  # noqa: F811
    """Whatever is flagged, the model relies on it."""
    return replace(finding, candidate=replace(finding.candidate, verdict="confirmed"), proof=Silent())


class Silent:
    """A proof of nothing."""

    sentence = "The model relies on it."

    def save(self, folder):
        return []

    def plot(self, path):
        return path

    def page(self):
        return None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "nothing to analyse"),
        (["IMAGES", "--maps", "MAPS"], "would be explained anew"),
        (["IMAGES", "--images", "IMAGES"], "would be explained anew"),
        (["IMAGES", "--model", "tiny-clip", "--detector", "d"], "not both"),
        (["IMAGES", "--model", "tiny-clap"], "did you mean 'tiny-clip'"),
        (["IMAGES", "--detector", "nothing"], "there is no detector 'nothing'"),
        (["IMAGES", "--detector", "MAPS"], "truncated or no detector"),
        (["IMAGES", "--explain", "magic"], "'magic' is not known"),
        (["IMAGES", "--explain", "anomaly"], "explains a fitted detector"),
        (["IMAGES", "--explain", "gradcam"], "needs a layer"),
        (["IMAGES", "--fail-on", "smoke"], "not 'smoke'"),
        (["IMAGES", "--fail-on", "confirmed"], "add --test"),
        (["IMAGES", "--surrogates", "-1"], "-1"),
        (["IMAGES", "--workers", "-1"], "-1"),
        (["IMAGES", "--workers", "many"], "many"),
        (["IMAGES", "--device", "abacus"], "'abacus' is not available"),
        (["nowhere"], "'nowhere' does not exist"),
        (["MAPS"], "no text file"),
        (["--maps", "nothing.npy"], "cannot be read"),
        (["--maps", "IMAGES"], "cannot be read"),
        (["--maps", "MAPS", "--explain", "output"], "leave --explain out"),
        (["--maps", "MAPS", "--test"], "give --images and --model"),
        (["--maps", "MAPS", "--images", "IMAGES"], "40 maps and 60 images"),
        (["--maps", "MAPS", "--labels", "folder"], "belong to images"),
        (["--maps", "MAPS", "--labels", "MAPS"], "one integer or text for each of 40 maps"),
        (["--maps", "MAPS", "--surrogates", "0", "--out", "MAPS"], "cannot make the output folder"),
    ],
)
def test_refuses_with_one_sentence(run, images, maps, arguments, said):  # noqa: F811
    given = [str(images) if a == "IMAGES" else maps if a == "MAPS" else a for a in arguments]
    status, out, err = run("spray", *given)
    assert (status, out) == (2, "")
    assert said in err
    assert len(err.strip().splitlines()) == 1


def test_is_registered():
    assert "spray" in {command.name for command in app.registered_commands}
