"""A network in training mode, wherever one is taken: it answers as in evaluation, and learns nothing."""

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from chinspect.anomaly import CallableDetector, PatchCore, explain_anomaly
from chinspect.cam import grad_cam
from chinspect.encoders import Encoder, edited
from chinspect.encoders.edits import Prune
from chinspect.encoders.layers import output_shape
from chinspect.errors import InputError
from chinspect.images import Preprocessing
from chinspect.relevance import patches, relevance_map, shapley_map
from chinspect.similarity import explain_similarity
from chinspect.subjects import Classifier

PIXELS = list(np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8))
BATCH = torch.from_numpy(np.stack(PIXELS)).permute(0, 3, 1, 2).float() / 255
GREY = Preprocessing(32, "shortest", "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def network() -> nn.Module:
    """In training mode, with what only evaluation turns off: dropout, and batch normalisation far from its batches."""
    torch.manual_seed(0)
    first = nn.Conv2d(3, 8, 4, stride=4), nn.BatchNorm2d(8), nn.ReLU()
    module = nn.Sequential(*first, nn.Dropout(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)).train()
    module[1].running_mean.fill_(0.3)
    return module


def wrapped(module: nn.Module) -> NDArray[np.float64]:
    encoder = Encoder.wrap(module, size=32, mean=GREY.mean, std=GREY.std)
    return encoder.embed(PIXELS).double().numpy()


def similarity(module: nn.Module) -> NDArray[np.float64]:
    encoder = Encoder.wrap(module, size=32, mean=GREY.mean, std=GREY.std)
    explanation = explain_similarity(encoder, *map(Image.fromarray, PIXELS[:2]), patch_size=8)
    a, b = encoder.embed(PIXELS[:2]).double().numpy()
    assert explanation.similarity == pytest.approx(a @ b, rel=1e-4)
    return explanation.relevance


def detected(module: nn.Module) -> NDArray[np.float64]:
    scorer = nn.Sequential(module, nn.Linear(4, 1), nn.Flatten(0))
    return CallableDetector(scorer, size=32).fit(BATCH).decision_function(BATCH)


def patch_core(module: nn.Module) -> NDArray[np.float64]:
    detector = PatchCore(backbone=module, layers=("2",), embedding="kauffmann2025", size=32).fit(BATCH[:3])
    explanation = explain_anomaly(detector, BATCH[3:], check=False)
    np.testing.assert_allclose(explanation.score, detector.decision_function(BATCH[3:]), rtol=1e-5)
    return explanation.pixels


ANSWERS: dict[str, Callable[[nn.Module], NDArray[np.float64] | Tensor]] = {
    "Encoder.wrap": wrapped,
    "explain_similarity": similarity,
    "Classifier": lambda module: Classifier(module, 1).respond(PIXELS),
    "Classifier explained": lambda module: Classifier(module, 1).explain(PIXELS[:2], np.eye(4)[[1, 1]]),
    "CallableDetector": detected,
    "PatchCore": patch_core,
    "relevance_map": lambda module: relevance_map(module, BATCH[:1], "rescale").push(patches(8)),
    "shapley_map": lambda module: shapley_map(module, BATCH[:1], patches(16)).values,
    "grad_cam": lambda module: grad_cam(module, BATCH, "2"),
}


@pytest.mark.parametrize("door", ANSWERS)
def test_a_network_that_trains_answers_as_in_evaluation_and_learns_nothing(door: str) -> None:
    module = network()
    state = copy.deepcopy(module.state_dict())
    torch.manual_seed(1)
    answers = np.asarray(ANSWERS[door](module))
    torch.testing.assert_close(module.state_dict(), state, rtol=0, atol=0)
    assert all(inner.training for inner in module.modules())
    evaluating = network().eval()
    torch.manual_seed(1)
    expected = np.asarray(ANSWERS[door](evaluating))
    np.testing.assert_allclose(answers, expected, rtol=1e-4, atol=1e-6)


def test_an_encoder_made_of_a_network_that_trains_is_refused() -> None:
    with pytest.raises(InputError, match=r"The module of 'mine' is in training mode.*Encoder\.wrap"):
        Encoder("mine", network(), GREY)


def test_an_encoder_whose_network_is_trained_on_is_refused() -> None:
    module = network().eval().requires_grad_(False)
    encoder = Encoder.wrap(module, size=32, mean=GREY.mean, std=GREY.std, name="mine")
    module[1].train()
    state = copy.deepcopy(module.state_dict())
    for use in (encoder.embed, encoder.respond, lambda images: explain_similarity(encoder, *images[:2])):
        with pytest.raises(InputError, match="The module '1' of 'mine' is in training mode"):
            use([Image.fromarray(pixels) for pixels in PIXELS])
    output_shape(encoder, "2")  # which is asked before any image is
    torch.testing.assert_close(module.state_dict(), state, rtol=0, atol=0)


def test_edits_of_a_network_are_in_evaluation_as_it_is() -> None:
    encoder = Encoder.wrap(network(), size=32, mean=GREY.mean, std=GREY.std)
    assert not any(inner.training for inner in edited(encoder, Prune("2", (0,))).module.modules())
