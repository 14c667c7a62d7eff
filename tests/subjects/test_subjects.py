"""What a model under test is: encoders, classifiers and detectors are subjects, and what is none is told so."""

import numpy as np
import pytest
import torch
from torch import nn

from chinspect.anomaly import D2Neighbors
from chinspect.encoders import load_encoder
from chinspect.errors import InputError
from chinspect.images import to_input
from chinspect.subjects import Classifier, Subject, check_subject

IMAGES = list(np.random.default_rng(0).integers(0, 256, (6, 24, 20, 3), dtype=np.uint8))


def linear(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(24 * 20 * 3, 4))


def subjects() -> dict[str, Subject]:
    detector = D2Neighbors(size=12).fit(to_input(np.stack([image[:12, :12] for image in IMAGES])))
    return {"classifier": Classifier(linear(), 2), "encoder": load_encoder("tiny-clip"), "detector": detector}


@pytest.mark.parametrize("kind", ["classifier", "encoder", "detector"])
def test_a_subject_sees_and_responds(kind: str) -> None:
    subject = subjects()[kind]
    check_subject(subject)
    assert subject.kind == kind
    assert int(subject.fingerprint, 16) >= 0
    assert torch.device(subject.device).type == "cpu"
    seen = subject.see(IMAGES)
    assert all(image.dtype == np.uint8 and image.ndim == 3 for image in seen)
    again = subject.see(seen)
    assert all(np.array_equal(one, other) for one, other in zip(seen, again, strict=True))
    responses = subject.respond(seen)
    assert responses.dtype == np.float64
    assert responses.shape[0] == len(IMAGES)
    np.testing.assert_allclose(subject.respond(seen[2:4]), responses[2:4], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("model", ["tiny-clip", None, linear(), lambda x: x])
def test_what_is_no_subject_is_refused_in_one_sentence(model: object) -> None:
    with pytest.raises(InputError, match=f"and {type(model).__name__} has no .*respond") as error:
        check_subject(model)
    assert "\n" not in str(error.value)


def test_a_classifier_gives_the_logits_of_its_network() -> None:
    net = linear()
    classifier = Classifier(net, 1)
    batch = torch.from_numpy(np.stack(IMAGES)).permute(0, 3, 1, 2).float() / 255
    np.testing.assert_allclose(classifier.respond(IMAGES), net(batch).detach().double(), atol=1e-5)
    halved = Classifier(net, 1, prepare=lambda images: batch[: len(images)] / 2)
    np.testing.assert_allclose(halved.respond(IMAGES), net(batch / 2).detach().double(), atol=1e-5)


def test_a_fingerprint_changes_with_weights_and_target() -> None:
    net = linear()
    first = Classifier(net, 1).fingerprint
    assert Classifier(net, 1).fingerprint == Classifier(linear(), 1).fingerprint == first
    assert len({first, Classifier(net, 2).fingerprint, Classifier(linear(1), 1).fingerprint}) == 3


@pytest.mark.parametrize(
    ("logits", "target", "words"),
    [
        (lambda x: x.flatten(1)[:, :4], 4, "class 4"),
        (lambda x: x.flatten(1)[:, :4], -1, "class -1"),
        (lambda x: x.flatten(1)[:, :1], 0, "2 classes or more"),
        (lambda x: x.flatten(1)[:, 0], 0, "logits"),
    ],
)
def test_logits_of_another_form_are_refused(logits: object, target: int, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Classifier(logits, target).respond(IMAGES)  # type: ignore[arg-type]


def test_images_of_several_sizes_need_a_preparation() -> None:
    with pytest.raises(InputError, match="`prepare`"):
        Classifier(linear(), 1).respond([*IMAGES, IMAGES[0][:10]])
