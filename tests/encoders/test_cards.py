"""Every card is complete and true to what it describes."""

import re
from functools import cache
from pathlib import Path

import pytest
import torch

from chinspect.encoders import cards, read_card
from chinspect.encoders.libraries import build
from chinspect.encoders.weights import HubFile, LocalFile, PackageFile, UrlFile, locate
from chinspect.errors import InputError

NAMES = cards.zoo_names()
MINIMAL = """
name = "x"
title = "x"
architecture = "tiny-resnet"
source = "bundled"
license = "MIT"
embedding = "pool"
dimension = 256
paper = "none"
note = ""
"""
PREPROCESSING = """
[preprocessing]
size = 128
resize = "shortest"
interpolation = "bilinear"
mean = [0.5, 0.5, 0.5]
std = [0.5, 0.5, 0.5]
"""


def test_the_zoo_holds_the_models_of_the_study() -> None:
    assert {
        "clip-rn50",
        "clip-rn50-gap",
        "clip-vit-b-32",
        "pubmedclip-rn50",
        "simclr-rn50",
        "barlowtwins-rn50",
        "supervised-rn50",
        "dinov2-s",
        "dinov2-b",
    } <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_card_is_complete(name: str) -> None:
    card = read_card(name)
    assert card.name == name
    assert all([card.title, card.architecture, card.license, card.embedding, card.paper, card.note])
    assert card.dimension >= 128
    assert re.fullmatch(r"([0-9a-f]{8,64})?", card.sha256)
    kinds = {
        "bundled": LocalFile,
        "package": PackageFile,
        "open_clip": HubFile,
        "timm": HubFile,
        "torchvision": UrlFile,
        "url": UrlFile,
    }
    assert isinstance(locate(card), kinds[card.source])


@cache
def embedding_length(architecture: str, size: int) -> int:
    module = build(architecture, size).module.eval()
    with torch.no_grad():
        return int(module(torch.zeros(1, 3, size, size)).shape[1])


@pytest.mark.parametrize("name", NAMES)
def test_the_architecture_has_the_dimension_of_the_card(name: str) -> None:
    card = read_card(name)
    assert embedding_length(card.architecture, card.preprocessing.size) == card.dimension


@pytest.mark.parametrize("name", ["clip-rn50", "clip-rn50-gap", "clip-vit-b-32"])
def test_clip_cards_agree_with_open_clip(name: str) -> None:
    import open_clip

    card = read_card(name)
    model = "ViT-B-32" if "vit" in name else "RN50"
    config = open_clip.get_pretrained_cfg(model, "openai")
    assert config["url"] == card.extra["upstream"]["url"]
    assert card.extra["upstream"]["sha256"] in config["url"]
    assert card.file.startswith(config["hf_hub"])
    assert (card.preprocessing.mean, card.preprocessing.std) == (config["mean"], config["std"])


@pytest.mark.parametrize("name", ["dinov2-s", "dinov2-b"])
def test_dinov2_cards_agree_with_timm(name: str) -> None:
    import timm

    card = read_card(name)
    config = timm.get_pretrained_cfg(card.architecture.removeprefix("timm:"))
    assert config is not None
    assert card.file == f"{config.hf_hub_id}/model.safetensors"
    assert (card.preprocessing.mean, card.preprocessing.std) == (config.mean, config.std)
    assert (card.preprocessing.interpolation, card.extra["upstream"]["url"]) == (config.interpolation, config.url)


def test_the_supervised_card_agrees_with_torchvision() -> None:
    from torchvision.models import ResNet50_Weights

    card = read_card("supervised-rn50")
    weights = ResNet50_Weights[card.tag]
    assert card.url == weights.url
    assert Path(card.url).stem.endswith(f"-{card.sha256}")
    assert card.preprocessing.mean == tuple(weights.transforms().mean)


def place(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "x").mkdir()
    (folder / "x" / "card.toml").write_text(text)
    monkeypatch.setattr(cards, "models_folder", lambda: folder)


def test_further_tables_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place(tmp_path, MINIMAL + PREPROCESSING + "[training]\nsteps = 10\n", monkeypatch)
    assert read_card("x").extra == {"training": {"steps": 10}}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (MINIMAL, "preprocessing"),
        (MINIMAL.replace('license = "MIT"', "") + PREPROCESSING, "license"),
        (MINIMAL + PREPROCESSING.replace("shortest", "longest"), "longest"),
        ("name = ", "not valid TOML"),
    ],
)
def test_a_broken_card_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, words: str) -> None:
    place(tmp_path, text, monkeypatch)
    with pytest.raises(InputError, match=words):
        read_card("x")


def test_cards_are_found_in_an_installed_package_and_in_a_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cards, "_ROOT", tmp_path)
    with pytest.raises(InputError, match="install chinspect again"):
        cards.models_folder()
    (tmp_path / "models").mkdir()
    assert cards.models_folder() == tmp_path / "models"
    (tmp_path / "chinspect" / "models").mkdir(parents=True)
    assert cards.models_folder() == tmp_path / "chinspect" / "models"
