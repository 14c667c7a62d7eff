"""What an encoder promises: embeddings, inputs, range, fingerprint."""

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torch import nn

from chinspect.encoders import Card, Encoder, Prune, edited
from chinspect.encoders.libraries import build
from chinspect.errors import InputError
from chinspect.images import Preprocessing
from chinspect.mitigate import save_encoder
from chinspect.similarity import SimilarityIndex, explain_similarity

PREPROCESSING = Preprocessing(128, "shortest", "bilinear", (0.5, 0.4, 0.3), (0.2, 0.25, 0.5))
CARD = Card("t", "t", "tiny-resnet", "file", "MIT", "pool", 256, PREPROCESSING)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder("t", build("tiny-resnet", 128).module.eval().requires_grad_(False), PREPROCESSING, CARD)


def pictures(count: int) -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, (40, 30 + i, 3), dtype=np.uint8)) for i in range(count)]


def test_embeds_paths_and_pictures_alike(encoder: Encoder, tmp_path: Path) -> None:
    images = pictures(3)
    for i, image in enumerate(images):
        image.save(tmp_path / f"{i}.png")
    embeddings = encoder.embed(images)
    assert (embeddings.shape, embeddings.dtype, embeddings.requires_grad) == ((3, 256), torch.float32, False)
    torch.testing.assert_close(encoder.embed([tmp_path / "0.png", str(tmp_path / "1.png"), images[2]]), embeddings)


def test_the_batch_an_image_is_in_does_not_matter(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chinspect.encoders.encoder._BATCH", 2)
    images = pictures(5)
    together = encoder.embed(images)
    alone = torch.cat([encoder.module(encoder.prepare(image)) for image in images[-3:]])
    torch.testing.assert_close(together[-3:], alone, rtol=1e-4, atol=1e-5)


def test_prepare_gives_a_batch_of_one(encoder: Encoder) -> None:
    image = pictures(1)[0]
    assert encoder.prepare(image).shape == (1, 3, 128, 128)
    torch.testing.assert_close(encoder.prepare(image)[0], PREPROCESSING(image))


def test_input_range_is_black_and_white(encoder: Encoder) -> None:
    low, high = encoder.input_range
    for bound, colour in ((low, "black"), (high, "white")):
        torch.testing.assert_close(encoder.prepare(Image.new("RGB", (128, 128), colour))[0, :, 0, 0], bound)


def test_the_fingerprint_follows_weights_and_preprocessing(encoder: Encoder) -> None:
    assert encoder.fingerprint == encoder.fingerprint
    assert len(encoder.fingerprint) == 16
    same = replace(encoder, module=copy.deepcopy(encoder.module), name="another name")
    assert same.fingerprint == encoder.fingerprint
    same.module.get_parameter("stem.0.weight").data[0, 0, 0, 0] += 1e-6
    squashed = replace(encoder, preprocessing=replace(PREPROCESSING, resize="squash"))
    other = replace(encoder, card=replace(CARD, architecture="another"))
    assert len({encoder.fingerprint, same.fingerprint, squashed.fingerprint, other.fingerprint}) == 4


def test_a_module_without_parameters_is_an_encoder() -> None:
    encoder = Encoder("pixels", torch.nn.Flatten().eval(), PREPROCESSING, CARD)
    assert encoder.embed(pictures(2)).shape == (2, 3 * 128 * 128)
    assert len(encoder.fingerprint) == 16


def test_what_is_no_list_of_images_is_refused(encoder: Encoder, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no images"):
        encoder.embed([])
    with pytest.raises(InputError, match="A list of images"):
        encoder.embed("image.png")
    with pytest.raises(InputError, match=r"missing.png.*does not exist"):
        encoder.embed([tmp_path / "missing.png"])


def test_what_it_sees_is_what_it_embeds(encoder: Encoder, tmp_path: Path) -> None:
    picture = pictures(1)[0]
    picture.save(tmp_path / "a.png")
    seen = encoder.see([picture, np.array(picture), tmp_path / "a.png"])
    assert all(np.array_equal(pixels, np.array(PREPROCESSING.visible(picture))) for pixels in seen)
    responses = encoder.respond(seen)
    assert (encoder.kind, responses.shape, responses.dtype) == ("encoder", (3, 256), np.float64)
    np.testing.assert_allclose(responses, encoder.embed([picture] * 3).double(), rtol=1e-6, atol=1e-7)


def test_a_picture_of_the_input_size_is_what_it_sees() -> None:
    """An encoder that resizes to more than its input cuts the rim off photographs, and not off what it sees."""
    preprocessing = replace(PREPROCESSING, resize_size=160)
    encoder = Encoder("pixels", torch.nn.Flatten().eval(), preprocessing, replace(CARD, preprocessing=preprocessing))
    image = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    assert np.array_equal(encoder.see([image])[0], image)
    plain = Encoder("pixels", torch.nn.Flatten().eval(), PREPROCESSING, CARD)
    np.testing.assert_array_equal(encoder.respond([image]), plain.embed([image]).double())


# Wrapping any module.

GREY = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}


def small(width: int = 5) -> nn.Sequential:
    """A network of one's own, in training mode and with gradients, as it is made."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        return nn.Sequential(*layers, nn.Linear(8, width))


def test_wrapping_changes_nothing_of_the_module() -> None:
    module = small()
    state = copy.deepcopy(module.state_dict())
    encoder = Encoder.wrap(module, size=32, **GREY)
    assert (encoder.name, encoder.card, encoder.embed(pictures(2)).shape) == ("Sequential", None, (2, 5))
    assert all(inner.training for inner in module.modules())
    assert all(parameter.requires_grad for parameter in module.parameters())
    assert not any(inner.training for inner in encoder.module.modules())
    assert not any(parameter.requires_grad for parameter in encoder.module.parameters())
    torch.testing.assert_close(module.state_dict(), state, rtol=0, atol=0)
    with torch.no_grad():
        expected = copy.deepcopy(module).eval()(encoder.prepare(pictures(1)[0]))
        module[0].weight.zero_()  # training goes on, and the encoder stays what it was
    torch.testing.assert_close(encoder.embed(pictures(1)), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_modules_of_lower_precision_are_embedded_and_explained(dtype: torch.dtype) -> None:
    exact = Encoder.wrap(small().eval(), size=32, **GREY)
    lower = Encoder.wrap(small().eval().to(dtype), size=32, **GREY)
    expected = exact.embed(pictures(2))
    assert lower.embed(pictures(2)).dtype == torch.float32
    torch.testing.assert_close(lower.embed(pictures(2)), expected, rtol=0.05, atol=0.02)
    explanation = explain_similarity(lower, *pictures(2), patch_size=8)
    assert np.isfinite(explanation.relevance).all()


def test_exported_modules_are_embedded_and_explained() -> None:
    x = torch.zeros(2, 3, 32, 32)
    batch = ({0: torch.export.Dim("batch")},)
    exported = torch.export.export(small().eval(), (x,), dynamic_shapes=batch).module()
    encoder = Encoder.wrap(exported, size=32, **GREY)
    expected = Encoder.wrap(small().eval(), size=32, **GREY)
    torch.testing.assert_close(encoder.embed(pictures(2)), expected.embed(pictures(2)))
    relevance = [explain_similarity(one, *pictures(2), patch_size=8).relevance for one in (encoder, expected)]
    np.testing.assert_allclose(relevance[0], relevance[1], rtol=1e-4, atol=1e-6)


def test_a_module_that_is_ready_is_not_copied() -> None:
    module = small().eval().requires_grad_(False)
    assert Encoder.wrap(module, size=32, **GREY).module is module
    assert Encoder.wrap(module, size=32, **GREY, device="cpu").module is module


def test_the_preprocessing_of_a_wrapped_module() -> None:
    encoder = Encoder.wrap(nn.Flatten(), size=8, mean=[0, 0, 0], std=[1, 1, 1], resize="squash", name="pixels")
    assert encoder.name == "pixels"
    image = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    np.testing.assert_allclose(encoder.respond([image])[0], image.transpose(2, 0, 1).ravel() / 255, rtol=1e-6)
    crop = Encoder.wrap(nn.Flatten(), size=8, **GREY, interpolation="bilinear", resize_size=12).preprocessing
    assert crop == Preprocessing(8, "shortest", "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), 12)


class Gives(nn.Module):
    """Answers whatever it is told to."""

    def __init__(self, answer: Callable[[torch.Tensor], Any]) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, x: torch.Tensor) -> Any:
        return self.answer(x)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda x: x, r"maps 2 images to \(2, 3, 32, 32\), not to one vector each"),
        (lambda x: x.flatten(), r"maps 2 images to \(6144,\)"),
        (lambda x: x.flatten(1).sum(0, keepdim=True), r"maps 2 images to \(1, 3072\)"),
        (lambda x: {"logits": x.flatten(1)}, "maps 2 images to dict"),
        (lambda x: x.flatten(1) / 0, "embedding of zeros by .* is not finite"),
        (lambda x: x @ torch.zeros(5, 5), r"cannot embed images \(2, 3, 32, 32\) \(.*\)\.$"),
        (lambda x: x.flatten(1)[:, :0], r"maps 2 images to \(2, 0\)"),
    ],
)
def test_modules_that_are_no_encoder(answer: Callable[[torch.Tensor], Any], words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        Encoder.wrap(Gives(answer), size=32, **GREY)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("module", "options", "words"),
    [
        (torch.relu, {}, "wraps a torch.nn.Module, not builtin"),
        (nn.Flatten(), {"resize": "longest"}, "'longest' is not known"),
        (nn.Flatten(), {"mean": (0.5,)}, "Three means"),
        (nn.Flatten(), {"size": 0}, "size 0"),
        (small(), {"device": "cuda:99"}, "'cuda:99' is not available"),
    ],
)
def test_what_cannot_be_wrapped(module: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Encoder.wrap(module, **({"size": 32} | GREY | options))


def test_a_module_that_cannot_be_copied_is_wrapped_when_it_is_ready() -> None:
    module = small()
    module.derived = module[0].weight * 2  # copy.deepcopy refuses what is no leaf of a graph
    with pytest.raises(InputError, match=r"'Sequential' cannot be copied .*call \.eval\(\)"):
        Encoder.wrap(module, size=32, **GREY)
    module.eval().requires_grad_(False)
    assert Encoder.wrap(module, size=32, **GREY).embed(pictures(1)).shape == (1, 5)


def test_the_fingerprint_of_a_wrapped_module_tells_its_plain_attributes_apart() -> None:
    class Scaled(torch.nn.Module):
        def __init__(self, gain: float, sides: tuple[int, ...] = (1, 2)) -> None:
            super().__init__()
            self.gain = gain
            self.sides = sides

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.gain * x.flatten(1)

    def of(module: torch.nn.Module) -> str:
        return Encoder.wrap(torch.nn.Sequential(module), size=8, **GREY).fingerprint

    assert of(Scaled(1.0)) == of(Scaled(1.0))
    assert len({of(Scaled(1.0)), of(Scaled(2.0)), of(Scaled(1.0, (1, 3)))}) == 3


def test_the_fingerprint_of_a_wrapped_module_tells_structures_apart() -> None:
    """ReLU and GELU have the same state; a function's address is no difference."""
    state = small().state_dict()

    def wrapped(module: nn.Module, **options: Any) -> str:
        module.load_state_dict(state)
        return Encoder.wrap(module, **({"size": 32} | GREY | options)).fingerprint

    gelu = small()
    gelu[2] = nn.GELU()
    assert wrapped(small()) == wrapped(small(), name="another")
    assert len({wrapped(small()), wrapped(gelu), wrapped(small(), size=48)}) == 3

    class Told(nn.Flatten):
        def extra_repr(self) -> str:
            return f"{object()!r}"

    assert Encoder.wrap(Told(), size=8, **GREY).fingerprint == Encoder.wrap(Told(), size=8, **GREY).fingerprint


def test_a_network_of_torchvision_is_explained_indexed_and_edited(tmp_path: Path) -> None:
    """A classifier as it comes, whose outputs are logits; what is explained is what `embed` gives."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = torchvision.models.resnet18()
    encoder = Encoder.wrap(network, size=64, **GREY)
    assert network.training
    a, b = pictures(2)
    explanation = explain_similarity(encoder, a, b, patch_size=16, metric="cosine")
    x, y = encoder.embed([a, b])
    assert explanation.similarity == pytest.approx(float(torch.cosine_similarity(x, y, dim=0)), rel=1e-4)
    for number, picture in enumerate(pictures(3)):
        picture.save(tmp_path / f"{number}.png")
    index = SimilarityIndex.build(encoder, tmp_path, tmp_path / "index", patch_size=16)
    assert (len(index), index.relevance(0, 1).shape) == (3, (4, 4, 4, 4))
    changed = edited(encoder, Prune("layer4.1", (0, 3)))
    assert changed.card is None
    assert changed.fingerprint != encoder.fingerprint
    assert not torch.equal(changed.embed([a]), encoder.embed([a]))
    with pytest.raises(InputError, match="'ResNet' has no card, so a folder cannot tell how to build it"):
        save_encoder(changed, tmp_path / "saved")
    assert not (tmp_path / "saved").exists()
