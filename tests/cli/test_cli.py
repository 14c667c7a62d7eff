import json
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from chinspect.cli.app import main
from chinspect.encoders.tiny import TinyResNet
from chinspect.relevance import RelevanceWarning
from chinspect.similarity import SimilarityExplanation

ASSETS = Path(__file__).parents[2] / "assets"
TRUCKS = [str(ASSETS / "truck-a.png"), str(ASSETS / "truck-b.png")]
PHOTOGRAPHS = [str(ASSETS / "cat.jpg"), str(ASSETS / "coffee.jpg")]
TINY = ["--model", "tiny-clip"]  # the fastest one


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Runs the command in an empty folder: status, standard output, standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["chinspect", *arguments])
        with pytest.raises(SystemExit) as exit_:
            main()
        captured = capsys.readouterr()
        return int(exit_.value.code or 0), captured.out, captured.err

    return call


def test_the_main_job(run, tmp_path):
    status, out, err = run("explain-similarity", *PHOTOGRAPHS)
    assert (status, err) == (0, "")
    assert "efficientnet-lite0" in out
    assert "100.0% of it arrives at the patches" in out
    assert "cat.jpg" in out
    written = sorted(path.name for path in (tmp_path / "chinspect-out").iterdir())
    assert written == ["similarity.html", "similarity.json", "similarity.npz", "similarity.png"]
    assert "chinspect-out" in out


def test_weights_that_are_not_finite_are_refused(run, tmp_path):
    state = {key: value / 0 * 0 for key, value in TinyResNet().state_dict().items()}
    torch.save(state, tmp_path / "nan.pth")
    status, out, err = run("explain-similarity", *TRUCKS, "--model", "nan.pth", "--arch", "tiny-clip")
    assert (status, out) == (2, "")
    assert err.startswith("chinspect: 'nan.pth' cannot be used: its weight 'stem.0.weight' holds 2400 of 2400 numbers")
    assert not list((tmp_path / "chinspect-out").glob("*"))


def test_what_bands_warn_of_is_not_lost(run, monkeypatch):
    by_frequency = SimilarityExplanation.by_frequency

    def warns(self, bands):
        warnings.warn("relevance explodes", RelevanceWarning, stacklevel=2)
        return by_frequency(self, bands)

    monkeypatch.setattr(SimilarityExplanation, "by_frequency", warns)
    status, out, err = run("explain-similarity", *TRUCKS, *TINY, "--json", "--bands", "2")
    assert (status, err) == (0, "")
    assert json.loads(out)["warnings"] == ["relevance explodes"]
    assert "warning: relevance explodes" in run("explain-similarity", *TRUCKS, *TINY, "--bands", "2", "--force")[1]


def test_json_is_one_document_and_nothing_else(run, tmp_path):
    status, out, err = run(
        "explain-similarity",
        *TRUCKS,
        *TINY,
        "--json",
        "--composite",
        "epsilon_plus_flat",
        "--verify",
        "3",
        "--bands",
        "3",
        "--top",
        "7",
        "--out",
        "here",
    )
    assert (status, err) == (0, "")
    document = json.loads(out)
    expected = {"similarity", "relevance_sum", "conservation", "model", "method", "patch_grid", "top_pairs"}
    assert expected | {"seconds", "files", "warnings", "verify", "bands"} <= set(document)
    assert document["patch_grid"] == [8, 8, 8, 8]
    assert len(document["top_pairs"]) == 7
    assert document["conservation"] == pytest.approx(1, abs=1e-3)
    assert document["verify"]["max_relative_difference"] < 1e-3
    assert len(document["verify"]["neurons"]) == 3
    assert sum(map(sum, document["bands"]["relevance"])) == pytest.approx(document["similarity"], rel=1e-2)
    assert all((tmp_path / path).exists() for path in document["files"])
    saved = json.loads((tmp_path / "here" / "similarity.json").read_text())
    assert saved["verify"] == document["verify"]


def test_the_strongest_pairs_of_the_trucks_lie_on_the_logo(run):
    """The finding that the README shows: the bundled CLIP compares what is written."""
    _, out, _ = run("explain-similarity", *TRUCKS, *TINY, "--json")
    with Image.open(TRUCKS[0]) as image:
        height = image.height
    tops = [pair["box_a"][1] for pair in json.loads(out)["top_pairs"][:5]]
    assert np.median(tops) > height / 2


def make(tmp_path: Path, kind: str) -> str:
    path = tmp_path / f"{kind}.png"
    if kind == "text":
        path.write_text("I am not an image.")
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "truncated":
        path = path.with_suffix(".jpg")
        noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), dtype=np.uint8)
        Image.fromarray(noise).save(path)
        path.write_bytes(path.read_bytes()[:4000])
    elif kind == "dot":
        Image.new("RGB", (1, 1)).save(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "bomb":
        Image.new("1", (40_000, 40_000)).save(path)
    return str(path)


@pytest.mark.parametrize("kind", ["missing", "text", "empty", "truncated", "dot", "folder", "bomb"])
def test_a_bad_image_is_one_line_and_leaves_nothing(run, tmp_path, kind):
    path = make(tmp_path, kind)
    for images in ((path, TRUCKS[0]), (TRUCKS[0], path)):
        status, out, err = run("explain-similarity", *images)
        assert status == 2
        assert out == ""
        assert err.startswith("chinspect: ")
        assert err.count("\n") == 1
        assert Path(path).name in err
        assert not (tmp_path / "chinspect-out").exists()


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (["--model", "nonsense"], "nonsense"),
        (["--patch-size", "0"], "0"),
        (["--patch-size", "-3"], "-3"),
        (["--patch-size", "1000"], "1000"),
        (["--patch-size", "many"], "many"),
        (["--composite", "nonsense"], "nonsense"),
        (["--metric", "nonsense"], "nonsense"),
        (["--bands", "0"], "0"),
        (["--verify", "0"], "0"),
        (["--top", "0"], "0"),
        (["--device", "nonsense"], "nonsense"),
        (["--out", "taken"], "'taken' is a file"),
        (["--out", "taken/folder"], "'taken' is a file"),
        (["--model", "taken"], "ARCH@PATH"),
        (["--nonsense"], "nonsense"),
    ],
)
def test_a_bad_option_is_one_line_that_names_it(run, tmp_path, options, match):
    (tmp_path / "taken").write_text("a file")
    status, out, err = run("explain-similarity", *TRUCKS, *options)
    assert status == 2
    assert out == ""
    assert err.count("\n") == 1
    assert match in err
    assert not (tmp_path / "chinspect-out").exists()


@pytest.mark.parametrize("mode", ["16-bit", "CMYK", "P", "RGBA", "LA", "1", "animated"])
def test_unusual_images_work(run, tmp_path, mode):
    path = tmp_path / "image.png"
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (80, 60, 3), dtype=np.uint8))
    if mode == "16-bit":
        Image.fromarray(np.random.default_rng(0).integers(0, 65535, (80, 60), dtype=np.uint16)).save(path)
    elif mode == "CMYK":
        path = path.with_suffix(".jpg")
        noise.convert("CMYK").save(path)
    elif mode == "animated":
        path = path.with_suffix(".gif")
        noise.save(path, save_all=True, append_images=[noise.rotate(90)])
    else:
        noise.convert(mode).save(path)
    told = "holds several frames or pages, of which the first is read."
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        status, _, err = run("explain-similarity", str(path), TRUCKS[0], *TINY, "--json")
    assert (status, err) == (0, f"chinspect: warning: {str(path)!r} {told}\n" if mode == "animated" else "")


def test_an_impossible_output_is_told_before_anything_is_loaded(run, tmp_path, monkeypatch):
    monkeypatch.setattr("chinspect.encoders.load_encoder", lambda *_, **__: pytest.fail("loaded"))
    (tmp_path / "taken").write_text("a file")
    assert run("explain-similarity", *TRUCKS, "--out", "taken")[0] == 2
    status, _, err = run("explain-similarity", TRUCKS[0], "missing.png")
    assert (status, err.count("missing.png' does not exist")) == (2, 1)


@pytest.mark.filterwarnings("default")
def test_12_bits_in_a_file_of_16_are_one_line(run, tmp_path):
    Image.fromarray(np.full((80, 60), 4000, dtype=np.uint16)).save(tmp_path / "chest.png")
    status, out, err = run("explain-similarity", "chest.png", TRUCKS[0], *TINY, "--json")
    assert status == 0
    assert json.loads(out)["model"] == "tiny-clip"
    assert err.startswith("chinspect: warning: 'chest.png' uses 0 to 4000 of its 16 bits")
    assert err.count("\n") == 1


def test_without_a_verb_there_is_help_and_nothing_else(run):
    status, out, err = run()
    assert status == 2
    assert "Usage" in out + err
    assert "chinspect: " not in err


def test_an_interrupted_command_says_so(run, monkeypatch):
    def stop() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("chinspect.encoders.list_models", stop)
    status, out, err = run("models")
    assert (status, out.strip()) == (130, "")
    assert err.strip() == "chinspect: interrupted; the same command goes on where it stopped, if it keeps results."


def test_debug_shows_the_error(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["chinspect", "explain-similarity", "missing.png", TRUCKS[0], "--debug"])
    with pytest.raises(Exception, match=r"missing\.png"):
        main()


def test_models_lists_the_zoo(run):
    status, out, _ = run("models", "--json")
    models = {model["name"]: model for model in json.loads(out)}
    assert status == 0
    assert models["tiny-clip"]["status"] == "bundled"
    assert {"clip-rn50", "dinov2-s", "simclr-rn50"} <= set(models)
    assert all(model["license"] for model in models.values())
    status, out, _ = run("models")
    assert status == 0
    assert "tiny-clip" in out


def test_help_does_not_import_torch():
    script = "import sys, chinspect.cli.app; print(sorted({'torch', 'matplotlib', 'pandas', 'cv2'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_the_command_is_installed():
    command = Path(sys.executable).with_name("chinspect")
    start = time.perf_counter()
    found = subprocess.run([command, "--version"], capture_output=True, text=True, check=True, env={**os.environ})
    assert found.stdout.startswith("chinspect 0.")
    assert time.perf_counter() - start < 30


def test_how_a_picture_becomes_a_square_is_for_people_to_decide(run, tmp_path):
    Image.open(PHOTOGRAPHS[0]).resize((160, 64)).save(tmp_path / "wide.png")
    pair = ["explain-similarity", "wide.png", PHOTOGRAPHS[1], *TINY, "--json"]
    cropped = json.loads(run(*pair)[1])
    assert [round(row["fraction"], 2) for row in cropped["seen"]] == [0.4, 1]
    assert "of wide.png the encoder sees 40%" in cropped["warnings"][0]
    assert "(--fit pad)" in cropped["warnings"][0]
    padded = json.loads(run(*pair, "--fit", "pad", "--among", str(ASSETS), "--out", "padded")[1])
    assert [row["fraction"] for row in padded["seen"]] == [1, 1]
    assert padded["warnings"] == []
    assert padded["among"]["images"] == len(list(ASSETS.glob("*.*g")))
    assert padded["among"]["pairs"] == padded["among"]["images"] * (padded["among"]["images"] - 1) / 2
    status, _, err = run(*pair, "--fit", "fill", "--out", "filled")
    assert (status, err) == (2, "chinspect: an image is fitted by crop, pad or squash, not by 'fill'.\n")
