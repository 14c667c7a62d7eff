"""What is not finite is refused wherever a model answers: no similarity of nan, no verdict, exit status 2."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from chinspect.anomaly import D2Neighbors, explain_anomaly
from chinspect.cam import grad_cam
from chinspect.encoders import Encoder, load_encoder
from chinspect.encoders.tiny import TinyResNet
from chinspect.errors import InputError
from chinspect.explain import explain_images
from chinspect.similarity import SimilarityIndex, explain_similarity
from chinspect.subjects import Classifier

ASSETS = Path(__file__).parents[2] / "assets"
PAIR = (ASSETS / "truck-a.png", ASSETS / "truck-b.png")


class Overflowing(nn.Module):
    """Finite weights, and finite on images of zeros: infinite on any other."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.Conv2d(4, 4, 3, bias=False))
        for layer in self.layers:
            nn.init.constant_(layer.weight, 1e30)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).mean((2, 3))


@pytest.fixture(scope="module")
def overflowing() -> Encoder:
    network = Overflowing().eval().requires_grad_(False)
    return Encoder.wrap(network, size=32, mean=(0.1, 0.2, 0.3), std=(0.5, 0.5, 0.5), name="huge")


ANSWERS: dict[str, Callable[[Encoder], Any]] = {
    "embed": lambda encoder: encoder.embed(PAIR),
    "explain_similarity": lambda encoder: explain_similarity(encoder, *PAIR),
    "explain": lambda encoder: encoder.explain(encoder.see(PAIR), np.ones((2, 4))),
    "classifier": lambda encoder: Classifier(encoder.module, 0).respond(encoder.see(PAIR)),
    "grad_cam": lambda encoder: grad_cam(encoder.module, encoder.prepare(*PAIR), "layers.0"),
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answer_that_is_not_finite(answer: str, overflowing: Encoder) -> None:
    with pytest.raises(InputError, match=r"is not finite(: NaN begins| for image 0 of .* activations are too large)"):
        ANSWERS[answer](overflowing)


def test_data_sets(overflowing: Encoder, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not finite"):
        SimilarityIndex.build(overflowing, ASSETS, tmp_path / "index")
    with pytest.raises(InputError, match="is not finite"):
        explain_images(overflowing, ASSETS)


class Leaking(D2Neighbors):
    """A detector whose scores hold one NaN."""

    def _score(self, x: Tensor) -> Tensor:
        return torch.where(torch.arange(len(x)) == 1, torch.nan, super()._score(x))


def test_detectors() -> None:
    images = torch.rand(5, 3, 8, 8)
    detector = Leaking().fit(images)
    with pytest.raises(InputError, match="the score by Leaking is not finite for image 1 of 5"):
        detector.predict(images)
    with pytest.raises(InputError, match="held-out score by Leaking is not finite for image 0 of 3"):
        detector.set_threshold([np.inf, 0, 1], "x")
    detector._explain = lambda x, _resolution: {"score": torch.full((len(x),), torch.inf)}
    with pytest.raises(InputError, match="the score of Leaking is not finite"):
        explain_anomaly(detector, images)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_broken_weight_is_named(tmp_path: Path, value: float) -> None:
    state = TinyResNet().state_dict()
    state["stages.2.residual.1.running_var"][3] = value
    torch.save(state, tmp_path / "broken.pth")
    with pytest.raises(InputError, match=r"weight 'stages\.2\.residual\.1\.running_var' holds 1 of 128 numbers"):
        load_encoder(str(tmp_path / "broken.pth"), arch="tiny-clip")
