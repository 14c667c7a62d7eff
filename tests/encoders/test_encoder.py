"""What an encoder promises: embeddings, inputs, range, fingerprint."""

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from chinspect.encoders import Card, Encoder
from chinspect.encoders.architectures import build
from chinspect.errors import InputError
from chinspect.images import Preprocessing

PREPROCESSING = Preprocessing(128, "shortest", "bilinear", (0.5, 0.4, 0.3), (0.2, 0.25, 0.5))
CARD = Card("t", "t", "tiny-resnet", "file", "MIT", "pool", 256, "", "", PREPROCESSING)


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
    encoder = Encoder("pixels", torch.nn.Flatten(), PREPROCESSING, CARD)
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
    encoder = Encoder("pixels", torch.nn.Flatten(), preprocessing, replace(CARD, preprocessing=preprocessing))
    image = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    assert np.array_equal(encoder.see([image])[0], image)
    plain = Encoder("pixels", torch.nn.Flatten(), PREPROCESSING, CARD)
    np.testing.assert_array_equal(encoder.respond([image]), plain.embed([image]).double())


@pytest.mark.parametrize(
    "pixels", [np.zeros((20, 20, 3)), np.zeros((20, 20), np.uint8), np.zeros((20, 20, 4), np.uint8)]
)
def test_pixels_of_another_form_are_refused(encoder: Encoder, pixels: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"uint8 \(H, W, 3\), not"):
        encoder.see([pixels])
