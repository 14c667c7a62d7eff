"""What the command line must never do: overwrite an input, ignore an option, take a crash for a failed gate."""

import errno
import json
import runpy
import sys

import numpy as np
import pytest
from PIL import Image

from chinspect.cli.frame import COMPOSITE_HELP
from chinspect.relevance import COMPOSITES
from tests.cli.test_cli import TINY, TRUCKS, run  # noqa: F401, a fixture


@pytest.fixture
def folder(tmp_path):
    """Six small normal images, and a detector's file that is none."""
    rng = np.random.default_rng(0)
    (tmp_path / "good").mkdir()
    for number in range(6):
        pixels = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "good" / f"{number}.png")
    (tmp_path / "d").write_bytes(b"a detector")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["fit", "d2neighbors", "good", "--out", "new", "--backbone", "tiny-clip"], "--backbone has no effect"),
        (["fit", "patchcore", "good", "--out", "new", "--perplexity", ".25"], "--perplexity has no effect"),
        (["score", "d", "good", "--force"], "--force has no effect without --csv"),
        (["parity", "d", "good", "--resizer-a", "opencv-area", "--resizer-b", "opencv-area"], "cannot differ"),
        (["stress", "d", "good", "--mitigate", "blur", "--mitigate", "blur"], "'blur' twice"),
        (["evaluate", "good", "--k", "11"], "--k has no effect without --confounder"),
        (["evaluate", "good", "--force"], "--force has no effect without --out"),
        (["compare", "tiny-clip", "tiny-clip", "--data", "good"], "named twice"),
        (["known", "--data", "good", "run", "imagenet-w", "--data", "good"], "--data belongs behind 'run'"),
        (
            ["mitigate", "prune", "--artefact", "logo", "--data", "good", "--out", "x", "--k", "3", "--max-cost", ".1"],
            "--max-cost has no effect",
        ),
        (["explain-similarity", *TRUCKS, "--method", "lrp", "--no-check", "--reference", "mean"], "--reference has no"),
        (["spray", "--maps", "d", "--model", "tiny-clip"], "--model has no effect on --maps without --images"),
        (["spray", "--maps", "d", "--workers", "2"], "--workers has no effect on --maps"),
        (["spray", "--maps", "d", "--device", "cpu"], "--device has no effect without --model"),
        (["spray", "good", "--detector", "d", "--device", "cpu"], "--device has no effect with --detector"),
        (["spray", "good", "--surrogates", "0", "--test"], "--test has no effect with --surrogates 0"),
        (["spray", "good", "--surrogates", "1", "--fail-on", "candidate"], "--fail-on has no effect"),
    ],
)
def test_what_has_no_effect_is_refused(run, folder, arguments, said):  # noqa: F811
    status, out, err = run(*arguments)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert said in err
    assert {path.name for path in folder.iterdir()} == {"good", "d"}


def test_no_output_replaces_an_input(run, folder):  # noqa: F811
    np.save(folder / "maps.npy", np.random.default_rng(0).random((20, 8, 8)))
    (folder / "rows.csv").write_text("path,group\n")
    Image.new("RGB", (64, 64)).save(folder / "similarity.png")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for arguments in (
        ["spray", "--maps", "maps.npy", "--out", "."],
        ["fit", "d2neighbors", "good", "--out", "good/0.png"],
        ["score", "d", "good", "--csv", "good/0.png"],
        ["score", "d", "good", "--csv", "d"],
        ["explain-similarity", "similarity.png", TRUCKS[0], "--out", "."],
        ["evaluate", "good", "--groups", "rows.csv", "--out", "."],
    ):
        status, _, err = run(*arguments, "--force")
        assert (status, "no output replaces an input" in err) == (2, True), arguments
    assert {path: path.read_bytes() for path in before} == before
    assert {path for path in folder.rglob("*") if path.is_file()} == set(before)


def test_a_result_is_replaced_only_when_that_is_asked_for(run, folder):  # noqa: F811
    arguments = ("explain-similarity", *TRUCKS, *TINY, "--patch-size", "64", "--no-check", "--json")
    first = json.loads(run(*arguments)[1])
    assert run(*arguments)[0] == 2
    assert "is there already" in run(*arguments)[2]
    assert {*first["files"]} == {f"chinspect-out/similarity.{ending}" for ending in ("json", "npz", "png", "html")}
    status, out, _ = run(*arguments, "--force")
    assert (status, json.loads(out)["similarity"]) == (0, first["similarity"])


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full"),
        (PermissionError(errno.EACCES, "Permission denied"), "does not permit it"),
        (MemoryError(), "too little memory"),
        (type("TerminatedWorkerError", (Exception,), {})("gone"), "a worker was killed"),
        (OSError(errno.EIO, "Input/output error"), "the system refused"),
        (KeyError("a\nb"), "it crashed (KeyError"),
    ],
)
def test_a_crash_is_one_line_and_no_failed_gate(run, monkeypatch, error, said):  # noqa: F811
    def fails():
        raise error

    monkeypatch.setattr("chinspect.encoders.list_models", fails)
    status, out, err = run("models")
    assert (status, out, err.count("\n")) == (3, "", 1)
    assert said in err


@pytest.mark.filterwarnings("default::chinspect.errors.ImageWarning")
def test_a_bad_file_is_named_and_left_out(run, folder):  # noqa: F811
    (folder / "good" / "bad.png").write_bytes(b"no image")
    (folder / "d").unlink()
    fit = ("fit", "d2neighbors", "good", "--out", "d", "--size", "16", "--resizer", "opencv-area")
    status, _, err = run(*fit, "--strict")
    assert (status, "bad.png" in err, (folder / "d").exists()) == (2, True, False)
    status, out, err = run(*fit)
    assert (status, "6 images" in out) == (0, True)
    assert "1 of 7 images cannot be read and is left out: 'good/bad.png'." in err
    status, out, _ = run("score", "d", "good")
    assert (status, out.count("normal"), "1 of 7 images cannot be read" in out) == (0, 6, True)
    document = json.loads(run("score", "d", "good", "--json")[1])
    assert (len(document["images"]), document["unreadable"]) == (6, ["good/bad.png"])
    assert run("score", "d", "good", "--strict")[0] == 2
    assert run("score", "d", "good/bad.png")[0] == 2  # none can be read


def test_help_says_what_can_be_chosen(run):  # noqa: F811
    for verb in ("spray", "explain-similarity", "explain-anomaly"):
        status, out, _ = run(verb, "-h")
        assert status == 0
        assert "<bool>" not in out
        assert all(name in out for name in COMPOSITES)
        assert "chinspect-out" in out
        assert "Folder for the figures" in out
    assert set(COMPOSITE_HELP.split(": ")[1].rstrip("; ").split(", ")) == set(COMPOSITES)
    status, out, _ = run("-h")
    assert "--install-completion" in out
    assert "3 a crash" in " ".join(out.split())


def test_python_runs_the_package(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["chinspect", "--version"])
    with pytest.raises(SystemExit):
        runpy.run_module("chinspect", run_name="__main__")
    assert capsys.readouterr().out.startswith("chinspect 0.")


def test_a_pipe_is_not_wrapped(capsys):
    import pandas as pd

    from chinspect.report import print_table

    name = "a/very/long/name" * 20
    print_table(pd.DataFrame({"image": [name], "score": [1.0]}), "title")
    assert f"{name}  1.000" in capsys.readouterr().out


def test_the_strongest_pairs_that_were_asked_for_are_printed(run):  # noqa: F811
    out = run("explain-similarity", *TRUCKS, *TINY, "--no-check", "--top", "17")[1]
    assert sum(line.lstrip().startswith(("+", "-")) and "%" in line for line in out.splitlines()) == 17


def test_maps_that_cannot_be_compared_are_told(run, folder):  # noqa: F811
    maps = np.random.default_rng(0).random((20, 8, 8))
    maps[[3, 5]] = 0
    maps[7, 0, 0] = np.nan
    np.save(folder / "own.npy", maps)
    status, out, _ = run("spray", "--maps", "own.npy", "--surrogates", "0", "--out", "run")
    assert status == 0
    assert "1 of 20 maps with NaN or infinity, left out: map 7" in out
    assert "2 of 20 maps with no relevance at all, left out: map 3, map 5" in out
