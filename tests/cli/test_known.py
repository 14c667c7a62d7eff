"""``chinspect known`` and ``evaluate --confounder``: one document with --json, files where they are asked for."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.test_cli import run  # noqa: F401, a fixture

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for label, grey in (("ill", 90), ("well", 150)):
        for centre, tint in (("a", (25, 0, -25)), ("b", (-25, 0, 25))):
            (tmp_path / "data" / label / centre).mkdir(parents=True)
            for index in range(10):
                pixels = (rng.normal(grey, 15, (64, 64, 1)) + np.array(tint)).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(tmp_path / "data" / label / centre / f"{index}.png")
    return tmp_path / "data"


def test_effects_are_listed(run: Run, folder: Path) -> None:  # noqa: F811
    status, out, _ = run("known", "--json", "--data", str(folder))
    rows = {row["name"]: row for row in json.loads(out)}
    assert status == 0
    assert rows["robustness-index"]["here"] == rows["acquisition-traces"]["here"] == "can be measured"
    assert "WordNet" in rows["imagenet-w"]["here"]
    assert "trucks-logo" in run("known")[1]


def test_an_effect_is_measured_and_saved(run: Run, folder: Path, tmp_path: Path) -> None:  # noqa: F811
    arguments = (
        "known",
        "run",
        "robustness-index",
        "--model",
        "tiny-clip",
        "--data",
        folder,
        "--out",
        tmp_path / "out",
    )
    status, out, _ = run(*arguments, "--json")
    document = json.loads(out)
    assert status == 0
    assert document["effect"] == "robustness-index"
    assert {Path(file).name for file in document["files"]} >= {"known.json", "measured.csv", "known.png"}
    assert run(*arguments)[0] == 2
    shown = run(*arguments, "--force")[1]
    assert "Virchow2" in shown
    assert "tiny-clip, measured here" in shown


def test_wrong_names_and_folders_end_with_one_line(run: Run, folder: Path, tmp_path: Path) -> None:  # noqa: F811
    status, _, errors = run("known", "run", "nothing", "--data", str(folder))
    assert (status, errors.count("\n")) == (2, 1)
    assert "use one of imagenet-w" in errors
    status, _, errors = run("known", "run", "scam", "--data", str(folder), "--out", str(tmp_path / "out"))
    assert (status, errors.count("\n")) == (2, 1)
    assert "metadata" in errors


def test_a_confounder_is_evaluated(run: Run, folder: Path, tmp_path: Path) -> None:  # noqa: F811
    arguments = (
        "evaluate",
        str(folder),
        "--model",
        "tiny-clip",
        "--confounder",
        "folder",
        "--k",
        "5",
        "--out",
        str(tmp_path / "out"),
    )
    status, out, _ = run(*arguments, "--json")
    document = json.loads(out)
    assert status == 0
    assert document["k"] == 5
    assert {row["measure"] for row in document["measures"]} >= {"robustness index", "confounder predicted"}
    assert (tmp_path / "out" / "confounding.png").is_file()
    status, _, errors = run(*arguments, "--artefact", "logo")
    assert (status, "give it alone" in errors) == (2, True)
