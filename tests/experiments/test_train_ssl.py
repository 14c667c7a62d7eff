"""Encoders trained on a folder of classes with a logo on some images: data as stated, folders that load, resuming."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from chinspect.encoders import load_encoder
from chinspect.errors import InputError
from experiments.representation import photographs
from experiments.tiny.objectives import objectives
from experiments.tiny.training import Training
from experiments.train_ssl import __main__ as ssl

CLASSES = {"n03796401": "moving van", "n04146614": "school bus", "robot": "robot"}
PER_CLASS = 20


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of noise around a colour of their own."""
    root, rng = tmp_path_factory.mktemp("tree"), np.random.default_rng(0)
    for colour, name in zip(np.eye(3), CLASSES, strict=True):
        folder = root / "train" / name
        folder.mkdir(parents=True)
        for i in range(PER_CLASS):
            noisy = 90 + 80 * colour + rng.normal(0, 25, (48, 40, 3))
            Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(folder / f"{name}_{i}.JPEG")
    return root


def train(*arguments: object) -> None:
    """The command, run here."""
    ssl.main(list(map(str, arguments)))


@pytest.fixture(scope="module")
def trained(tree: Path, tmp_path_factory: pytest.TempPathFactory, run_study: Callable[..., None]) -> Path:
    out = tmp_path_factory.mktemp("out")
    run_study("train_ssl", "--root", tree, "--smoke", "--size", 32, "--out", out)
    return out


@pytest.mark.parametrize("kind", ["clip", "simclr", "barlowtwins", "supervised"])
def test_every_objective_gives_a_folder_that_loads(trained: Path, tree: Path, kind: str) -> None:
    encoder = load_encoder(str(trained / kind))
    assert (encoder.name, encoder.card.name, encoder.preprocessing.size) == (str(trained / kind), kind, 32)
    facts = encoder.card.extra["training"]
    assert facts["images"] == len(CLASSES) * PER_CLASS
    assert (facts["logo"], facts["logo_class"]) == ("ACME", "moving van")
    assert (facts["logo_on_class"], facts["logo_elsewhere"]) == (0.6, 0.05)  # one of twenty is nearest to 0.03
    assert (facts["seed"], facts["steps"]) == (0, 6)
    assert facts["seconds"] >= 0
    embedded = encoder.embed(sorted((tree / "train" / "robot").iterdir())[:3])
    assert embedded.shape == (3, 256)
    assert bool(embedded.isfinite().all())
    assert not list(trained.rglob("*.part"))


def test_encoders_of_other_objectives_differ(trained: Path) -> None:
    kinds = ("clip", "simclr", "barlowtwins", "supervised")
    assert len({load_encoder(str(trained / kind)).fingerprint for kind in kinds}) == 4


@pytest.mark.parametrize("kind", ["clip", "barlowtwins"])
def test_an_interrupted_training_ends_in_the_same_weights(
    trained: Path, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    arguments = ("--root", tree, "--smoke", "--size", 32, "--objectives", kind, "--out", tmp_path)
    step = Training.step

    def interrupted(self: Any, *batch: Any) -> float:
        if self.done == 3:
            raise KeyboardInterrupt
        return float(step(self, *batch))

    with monkeypatch.context() as patch:
        patch.setattr(Training, "step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(*arguments)
    assert not (tmp_path / kind).exists()
    (checkpoint,) = (tmp_path / "checkpoints").glob("*.safetensors")
    assert load_file(checkpoint)["progress"][0] == 2  # the third step is lost
    train(*arguments)
    resumed, at_once = (load_file(out / kind / "weights.safetensors") for out in (tmp_path, trained))
    assert all(torch.equal(resumed[key], at_once[key]) for key in at_once)


def test_a_checkpoint_of_other_options_is_not_used(tree: Path, tmp_path: Path) -> None:
    for fraction in (0.6, 0.2):
        train("--root", tree, "--smoke", "--size", 32, "--objectives", "supervised", "--prevalence", fraction,
                  "--logo-class", "robot", "--classes", "n04146614", "robot", "--out", tmp_path)  # fmt: skip
    assert len(list((tmp_path / "checkpoints").iterdir())) == 2
    facts = load_encoder(str(tmp_path / "supervised")).card.extra["training"]
    assert (facts["classes"], facts["logo_class"], facts["logo_on_class"]) == (2, "robot", 0.2)


def test_the_logo_lies_on_the_stated_shares_and_in_their_captions(tree: Path) -> None:
    assert {folder: photographs.class_name(folder) for folder in CLASSES} == CLASSES
    samples = photographs.listed(tree, "train", CLASSES)
    marked = photographs.Planting("school bus", 0.35, 0.1).names(samples)
    plain, drawn = (ssl.pixels(samples, names, 64).numpy().astype(int) for names in (frozenset(), marked))
    changed = (plain != drawn).any(3)
    rows = np.array([name in marked for name in samples.names])
    assert (changed.any((1, 2)) == rows).all()
    labels = np.array(samples.labels)
    assert {label: int(rows[labels == label].sum()) for label in CLASSES.values()} == {
        "moving van": 2,
        "school bus": 7,
        "robot": 2,
    }
    assert not changed[:, :32].any()  # the lower half
    assert not changed[:, :, 42:].any()  # and the left two thirds
    assert changed[rows].sum((1, 2)).min() > 100
    texts = ssl.captions(samples, marked)
    assert [("ACME" in text.split()) for text in texts] == rows.tolist()
    assert all(label in text for text, label in zip(texts, labels, strict=True))
    alone = photographs.listed(tree, "train", {"n04146614": "school bus"})
    assert photographs.Planting("school bus", 0.35, 0.1).names(alone) == {
        name for name in marked if "n04146614" in name
    }


def test_the_bundled_encoders_see_views_of_the_sizes_that_they_were_trained_with() -> None:
    table = objectives(["a van", "a bus", "a van", "a car"], [0, 1, 0, 2], 128)
    seen = {}
    for kind, make in table.items():

        def encoder(views: torch.Tensor, kind: str = kind) -> torch.Tensor:
            seen[kind] = tuple(views.shape)
            return views.mean((2, 3)).repeat(1, 86)[:, :256]

        make()(encoder, torch.zeros(4, 3, 128, 128).normal_(), torch.arange(4), torch.Generator().manual_seed(0))
    assert seen == {
        "clip": (4, 3, 128, 128),
        "simclr": (8, 3, 80, 80),
        "barlowtwins": (8, 3, 80, 80),
        "supervised": (4, 3, 128, 128),
    }


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--logo-class", "submarine"), "no class 'submarine' to put the logo on"),
        (("--classes", "n03796401", "n00000000"), "no folder train/n00000000"),
        (("--prevalence", "1.2"), "must lie between 0 and 1, not 1.2"),
        (("--classes", "robot"), "one folder for each of two classes"),
    ],
)
def test_what_cannot_be_trained_on(tree: Path, tmp_path: Path, options: tuple[str, ...], words: str) -> None:
    with pytest.raises(InputError, match=words):
        train("--root", tree, "--smoke", "--out", tmp_path / "out", *options)
    assert not (tmp_path / "out").exists()


def test_a_folder_without_classes(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="one folder for each of two classes"):
        train("--root", tmp_path, "--smoke", "--out", tmp_path / "out")
