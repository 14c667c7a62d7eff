"""Image models of transformers, from folders as the library writes them: small, with random weights."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from chinspect.encoders import Encoder, load_encoder
from chinspect.encoders.huggingface import preprocessing
from chinspect.errors import InputError
from chinspect.relevance import patches, relevance_map

transformers = pytest.importorskip("transformers")
VISION = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 56, "patch_size": 14}
CROPPED = {"size": {"shortest_edge": 64}, "crop_size": {"height": 56, "width": 56}, "resample": 3}
SQUASHED = {"size": {"height": 56, "width": 56}, "resample": 2}


def published(kind: str) -> tuple[Any, Any]:
    """A model as its repository holds it, and its image processor."""
    text = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    text |= {"vocab_size": 50, "bos_token_id": 0, "eos_token_id": 1}
    torch.manual_seed(0)
    if kind == "clip":
        config = transformers.CLIPConfig(text_config=text, vision_config=VISION, projection_dim=16)
        return transformers.CLIPModel(config), transformers.CLIPImageProcessor(**CROPPED)
    if kind == "siglip":
        config = transformers.SiglipConfig(text_config=text, vision_config=VISION)
        return transformers.SiglipModel(config), transformers.SiglipImageProcessor(**SQUASHED)
    if kind == "vit":
        config = transformers.ViTConfig(**VISION)
        return transformers.ViTForImageClassification(config), transformers.ViTImageProcessor(**SQUASHED)
    if kind == "dinov2":
        return transformers.Dinov2Model(transformers.Dinov2Config(**VISION)), transformers.BitImageProcessor(**CROPPED)
    sizes = {"depths": [1, 1, 1, 1], "hidden_sizes": [8, 8, 16, 16]}
    model = transformers.ConvNextV2Model(transformers.ConvNextV2Config(**sizes))
    return model, transformers.ConvNextImageProcessor(size={"shortest_edge": 56}, crop_pct=0.875, resample=3)


EMBEDDINGS = {
    "clip": lambda model, x: model.get_image_features(pixel_values=x),
    "siglip": lambda model, x: model.vision_model(pixel_values=x).pooler_output,
    "vit": lambda model, x: model.vit(pixel_values=x).last_hidden_state[:, 0],
    "dinov2": lambda model, x: model(pixel_values=x).pooler_output,
    "convnextv2": lambda model, x: model(pixel_values=x).pooler_output,
}


@pytest.fixture(scope="module", params=EMBEDDINGS)
def repository(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, Any]:
    path = tmp_path_factory.mktemp(request.param)
    model, processor = published(request.param)
    model.save_pretrained(path)
    processor.save_pretrained(path)
    return request.param, path, model.eval()


def test_embeddings_are_those_of_the_library(repository: tuple[str, Path, Any]) -> None:
    """With the library's own processor that resizes by Pillow, and one that resizes by torchvision a little apart."""
    kind, path, model = repository
    encoder = load_encoder(f"transformers:{path}")
    pixels = np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    image = Image.fromarray(pixels).resize((120, 90), Image.Resampling.BICUBIC)
    slow = transformers.AutoImageProcessor.from_pretrained(path, backend="pil")(image, return_tensors="pt")
    torch.testing.assert_close(encoder.prepare(image), slow["pixel_values"].float(), atol=2e-2, rtol=0)
    with torch.no_grad():
        answer = EMBEDDINGS[kind](model, encoder.prepare(image))
    expected = answer if isinstance(answer, torch.Tensor) else answer.pooler_output
    torch.testing.assert_close(encoder.embed([image]), expected.flatten(1), atol=1e-5, rtol=1e-4)


def test_they_can_be_explained(repository: tuple[str, Path, Any]) -> None:
    encoder = load_encoder(f"transformers:{repository[1]}")
    x = torch.randn(1, 3, 56, 56, generator=torch.Generator().manual_seed(0))
    mapped = relevance_map(encoder.module, x, "rescale")
    total = mapped.push(patches(14)).sum(0)
    assert float((total - mapped.explained[0]).abs().max() / mapped.explained.abs().max()) < 1e-4


def test_the_card_says_which_processor_a_repository_asks_for(tmp_path: Path) -> None:
    model, processor = published("dinov2")
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    document = tmp_path / "preprocessor_config.json"
    for kind, backend in (("BitImageProcessor", "Pillow"), ("BitImageProcessorFast", "torchvision")):
        document.write_text(json.dumps(json.loads(document.read_text()) | {"image_processor_type": kind}))
        card = load_encoder(f"transformers:{tmp_path}").card
        assert card is not None
        assert f"{kind}, which resizes with {backend}" in card.note


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    model, processor = published("dinov2")
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    with pytest.raises(InputError, match="do not fit the architecture, nothing is loaded"):
        load_encoder(f"transformers:{tmp_path}")
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(InputError, match="is no document of transformers"):
        load_encoder(f"transformers:{tmp_path}")


def test_what_processors_say() -> None:
    usual = {"image_mean": [0.5] * 3, "image_std": [0.25] * 3, "do_center_crop": True}
    cropped = preprocessing(usual | CROPPED, "x")
    assert (cropped.size, cropped.resize, cropped.resize_size, cropped.interpolation) == (56, "shortest", 64, "bicubic")
    assert (cropped.mean, cropped.std) == ((0.5,) * 3, (0.25,) * 3)
    squashed = preprocessing({"size": {"height": 56, "width": 56}, "do_normalize": False}, "x")
    assert (squashed.resize, squashed.mean, squashed.std) == ("squash", (0.0,) * 3, (1.0,) * 3)
    convnext = {"size": {"shortest_edge": 224}, "crop_pct": 0.875, "resample": 3}
    assert preprocessing(convnext, "x").resize_size == 256
    assert preprocessing(convnext | {"size": {"shortest_edge": 384}}, "x").resize == "squash"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": {"height": 56, "width": 64}}, "only squares"),
        ({"size": {"longest_edge": 64, "shortest_edge": 32}}, "only squares"),
        ({}, "only squares"),
        ({"size": {"shortest_edge": 64}}, "does not crop to a square"),
        ({"size": 64, "do_center_crop": True, "rescale_factor": 1.0}, "rescale_factor 1.0"),
        ({"size": 64, "do_center_crop": True, "resample": 1}, "resample 1"),
        ({"size": 64, "do_center_crop": True, "do_resize": False}, "do_resize False"),
    ],
)
def test_steps_that_are_not_known_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        preprocessing(settings, "x")


def test_a_name_without_weights_here_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(url: str) -> None:
        raise OSError("no connection")

    monkeypatch.setattr("chinspect.encoders.weights._check_reachable", refuse)
    with pytest.raises(InputError, match=r"config\.json of .*facebook/none is not on this machine .*no connection"):
        load_encoder("transformers:facebook/none")


def test_the_type_is_an_encoder(repository: tuple[str, Path, Any]) -> None:
    assert isinstance(load_encoder(f"transformers:{repository[1]}"), Encoder)
