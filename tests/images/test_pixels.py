"""Images in memory: arrays and tensors are the pictures that they hold, wherever an image or a folder is taken."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from chinspect.anomaly import D2Neighbors, explain_anomaly, score
from chinspect.artefacts import ARTEFACTS
from chinspect.encoders import load_encoder
from chinspect.errors import InputError
from chinspect.execute import load_samples
from chinspect.images import as_picture
from chinspect.proof import isolate, prove
from chinspect.similarity import SimilarityIndex, explain_similarity
from chinspect.spray import analyse
from chinspect.subjects import Classifier

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 24, 3), dtype=np.uint8)
GREY = PIXELS[..., 0]
CHANNELS_FIRST = np.moveaxis(PIXELS, -1, 0)


@pytest.mark.parametrize(
    "image",
    [
        PIXELS,
        CHANNELS_FIRST,
        PIXELS / 255,
        (PIXELS / 255).astype(np.float32),
        torch.from_numpy(CHANNELS_FIRST.copy()),
        torch.from_numpy(PIXELS),
        (torch.from_numpy(CHANNELS_FIRST.copy()) / 255).requires_grad_(),
        Image.fromarray(PIXELS),
    ],
)
def test_pixels_in_any_order_are_the_picture(image: Any) -> None:
    np.testing.assert_array_equal(np.asarray(as_picture(image)), PIXELS)


@pytest.mark.parametrize("image", [GREY, GREY[..., None], torch.from_numpy(GREY)[None]])
def test_grey_pixels_are_the_picture(image: Any) -> None:
    np.testing.assert_array_equal(np.asarray(as_picture(image)), GREY)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (PIXELS[None], r"not \(1, 20, 24, 3\): give the images of a batch one by one"),
        (np.zeros((20, 20, 5), np.uint8), r"not \(20, 20, 5\)"),
        (PIXELS.astype(int), "floating point in .0, 1., not int64"),
        (torch.full((3, 20, 20), -1.5), "go from -1.5 to -1.5: give them as they are before normalisation"),
        (PIXELS.astype(float), "go from 0 to 255"),
        (np.full((20, 20), np.nan), "go from nan to nan"),
        (7, "not int"),
        (np.zeros((4, 4, 3), np.uint8), "at least 8"),
    ],
)
def test_what_is_no_image_is_refused(image: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        as_picture(image)


def several(count: int = 4) -> list[np.ndarray]:
    return list(np.random.default_rng(1).integers(0, 256, (count, 128, 128, 3), dtype=np.uint8))


def forms(arrays: list[np.ndarray], folder: Path) -> dict[str, list[Any]]:
    paths = [folder / f"{i}.png" for i in range(len(arrays))]
    for path, array in zip(paths, arrays, strict=True):
        Image.fromarray(array).save(path)
    return {
        "paths": paths,
        "arrays": arrays,
        "tensors": [torch.from_numpy(array).movedim(-1, 0) for array in arrays],
        "pictures": [Image.fromarray(array) for array in arrays],
        "mixed": [str(paths[0]), arrays[1], *paths[2:]],
    }


def test_an_image_is_an_image_wherever_one_is_taken(tmp_path: Path) -> None:
    encoder = load_encoder("tiny-clip")
    forms_of = forms(several(), tmp_path)
    embeddings = {name: encoder.embed(images) for name, images in forms_of.items()}
    similarities = [
        explain_similarity(encoder, *images, patch_size=64, check=False).relevance
        for images in (forms_of["paths"][:2], (forms_of["arrays"][0], forms_of["tensors"][1]))
    ]
    np.testing.assert_allclose(similarities[0], similarities[1], rtol=1e-5)
    detector = D2Neighbors(size=32).fit(forms_of["paths"])
    for name, images in forms_of.items():
        torch.testing.assert_close(embeddings[name], embeddings["paths"])
        np.testing.assert_allclose(D2Neighbors(size=32).fit(images).threshold_, detector.threshold_)
        np.testing.assert_allclose(detector.decision_function(images), detector.decision_function(forms_of["paths"]))
        np.testing.assert_allclose(score(detector, images).table["score"], detector.decision_function(images))
        alone = explain_anomaly(detector, images[1], components="neighbours")
        assert len(alone) == 1
        assert alone.names[0] == ("image 0" if name in ("arrays", "tensors", "pictures", "mixed") else str(images[1]))


def test_a_list_of_images_is_a_data_set(tmp_path: Path) -> None:
    forms_of = forms(several(), tmp_path)
    for images in forms_of.values():
        samples = load_samples(images)
        for i, array in enumerate(several()):
            np.testing.assert_array_equal(np.asarray(samples[i].convert("RGB")), array)
        assert load_samples(samples) is samples
    assert load_samples(forms_of["arrays"]).description == load_samples(forms_of["pictures"]).description
    with pytest.raises(InputError, match=r"list of images.* lists .* 2 times"):
        load_samples([forms_of["paths"][0]] * 2)
    with pytest.raises(InputError, match="not one ndarray"):
        load_samples(several()[0])  # type: ignore[arg-type]
    with pytest.raises(InputError, match="lists no images"):
        load_samples([])


def test_index_and_spray_take_lists_and_the_names_of_models(tmp_path: Path) -> None:
    images = several(6)
    index = SimilarityIndex.build("tiny-clip", images, tmp_path / "index", patch_size=32)
    assert index.names == [f"image-{i:05}.png" for i in range(6)]
    run = analyse("tiny-clip", images, n_surrogates=0, check=False)
    assert list(run.names) == index.names
    np.testing.assert_array_equal(np.asarray(run.picture(3)), load_encoder("tiny-clip").see([images[3]])[0])
    with pytest.raises(InputError, match=r"Encoder\.wrap"):
        SimilarityIndex.build(load_encoder("tiny-clip").module, images, tmp_path / "other")  # type: ignore[arg-type]


def test_proofs_and_subjects_take_images_in_any_form(tmp_path: Path) -> None:
    arrays = several(8)
    forms_of = forms(arrays, tmp_path)
    classifier = Classifier(lambda x: x.flatten(2).mean(2), 1)
    maps = [np.ones((4, 4))] * len(arrays)
    for images in forms_of.values():
        assert all(np.array_equal(one, other) for one, other in zip(classifier.see(images), arrays, strict=True))
        np.testing.assert_array_equal(isolate(images, maps).alpha, isolate(arrays, maps).alpha)
    proofs = [prove(classifier, ARTEFACTS["logo"](), images, n_resamples=100) for images in forms_of.values()]
    assert all(proof.table.equals(proofs[0].table) for proof in proofs)
