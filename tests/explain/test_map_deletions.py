"""Deletion on some images of a data set: right maps beat random ones, wrong ones do not."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from PIL import Image

from chinspect.errors import InputError
from chinspect.explain import explain_images, map_deletions


@dataclass(frozen=True)
class Corner:
    """A model of two outputs, the mean brightness of the upper left 8 pixels and that of all."""

    right: bool = True
    kind: str = "classifier"
    device = torch.device("cpu")

    @property
    def fingerprint(self):
        return f"{self.right}"

    def see(self, images):
        return [image[:56, :56] for image in images]

    def respond(self, images):
        return np.array([[image[:8, :8].mean(), image.mean()] for image in images], float)

    def explain(self, images, weights, *, bands=0):
        maps = np.zeros((len(images), 56, 56), np.float32)
        for values, image in zip(maps, images, strict=True):
            if self.right:
                values[:8, :8] = image[:8, :8].mean(-1) / 64
            else:
                values[8:, 8:] = image[8:, 8:].mean(-1) / 64
        return maps


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Images of noise, dark but for a bright spot in the corner of a size that differs."""
    path = tmp_path_factory.mktemp("corners")
    generator = np.random.default_rng(0)
    for i in range(6):
        pixels = generator.integers(0, 60, (64, 64, 3), dtype=np.uint8)
        pixels[: 5 + i, : 5 + i] = 250
        Image.fromarray(pixels).save(path / f"{i}.png")
    return path


def test_the_right_patch_takes_the_score_along_and_others_do_not(folder):
    right, wrong = (
        map_deletions(subject, explain_images(subject, folder, targets=[0] * 6), count=3)
        for subject in (Corner(), Corner(right=False))
    )
    assert right.names == ("0.png", "2.png", "5.png")
    for made in right.deletions:
        # one of the 49 patches holds the score, and blur leaves little of it
        np.testing.assert_allclose(made.most, made.explained)
        np.testing.assert_allclose(made.least, 0, atol=1e-9)
        assert made.better_than_random
    assert "3 images lose 100% of what their maps explain" in right.sentence
    assert "better than random in 3 of 3" in right.sentence
    assert not any(made.better_than_random for made in wrong.deletions)
    assert "better than random in 0 of 3" in wrong.sentence
    assert set(right.document()["falls"]) == set(right.names)


def test_a_detector_is_compared_with_the_most_normal_image_of_the_data_set(folder):
    class Detector(Corner):
        threshold_ = 0.0

        def respond(self, images):
            return super().respond(images)[:, :1]

    subject = Detector(kind="detector")
    explained = explain_images(subject, folder)
    made = map_deletions(subject, explained, count=2)
    highest = np.argsort(explained.values)
    assert made.names == tuple(explained.names[i] for i in highest[-2:])
    for index, item in zip(highest[-2:], made.deletions, strict=True):
        assert item.score == pytest.approx(explained.values[index])
        assert item.baseline == pytest.approx(explained.values[highest[0]])


def test_what_cannot_be_deleted_is_refused(folder):
    subject = Corner()
    explained = explain_images(subject, folder, targets=[0] * 6)
    with pytest.raises(InputError, match="at least 1 image"):
        map_deletions(subject, explained, count=0)
    object.__setattr__(explained, "maps", explained.maps[:, :1])
    with pytest.raises(InputError, match="spectra"):
        map_deletions(subject, explained)
