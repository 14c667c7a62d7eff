"""Live models of anomalib: modules with its attributes, its preprocessing as it builds it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms import v2

from chinspect.anomaly import anomalib_detector, anomalib_stages, explain_anomaly
from chinspect.errors import InputError
from chinspect.stress import parity

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


@dataclass
class Batch:
    """What anomalib's modules answer."""

    pred_score: Tensor


class Network(nn.Module):
    """Scores fine structure, which antialiasing removes."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Batch:
        return Batch(self.weight * (x[..., 1:] - x[..., :-1]).abs().mean((1, 2, 3))[:, None])


class Processor:
    """Two transforms, as anomalib's PreProcessor makes the second of the first."""

    def __init__(self, crop: bool = False) -> None:
        middle = [v2.CenterCrop(24)] if crop else []
        self.transform = v2.Compose([v2.Resize((32, 32), antialias=True), *middle, v2.Normalize(MEAN, STD)])
        self.export_transform = v2.Compose([v2.Resize((32, 32), antialias=False), *middle, v2.Normalize(MEAN, STD)])


class Model(nn.Module):
    """A lightning module of anomalib, as far as it is needed."""

    def __init__(self, crop: bool = False) -> None:
        super().__init__()
        self.model = Network().eval()
        self.pre_processor = Processor(crop)


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    generator = np.random.default_rng(0)
    files = [tmp_path / f"{i}.png" for i in range(5)]
    for file in files:
        Image.fromarray(generator.integers(0, 256, (96, 80, 3), dtype=np.uint8)).save(file)
    return files


def by_hand(model: Any, transform: Callable[[Tensor], Tensor], paths: list[Path]) -> np.ndarray:
    images = [torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1) / 255 for path in paths]
    with torch.no_grad():
        return torch.cat([model.model(transform(image)[None]).pred_score[0] for image in images]).numpy()


@pytest.mark.parametrize("crop", [False, True])
@pytest.mark.parametrize("step", ["transform", "export_transform"])
def test_scores_are_those_of_the_model_with_its_own_preprocessing(paths: list[Path], step: Any, crop: bool) -> None:
    model = Model(crop)
    expected = by_hand(model, getattr(model.pre_processor, step), paths)
    read, score = anomalib_stages(model, step)
    np.testing.assert_allclose(score(read(paths)), expected, rtol=1e-6)
    detector = anomalib_detector(model, step).fit(paths)
    # a detector reads pixels of 8 bits behind the resize
    np.testing.assert_allclose(detector.decision_function(paths), expected, rtol=1e-2)


def test_what_is_deployed_is_not_what_was_tested(paths: list[Path]) -> None:
    model = Model()
    tested = parity(anomalib_stages(model), anomalib_stages(model), paths)
    assert tested.largest_difference == 0
    deployed = parity(anomalib_stages(model), anomalib_stages(model, "export_transform"), paths, threshold=0.7)
    assert deployed.first_stage == 0
    assert deployed.label_flips == len(paths)


def test_a_live_model_is_explained(paths: list[Path]) -> None:
    detector = anomalib_detector(Model()).fit(paths)
    explanation = explain_anomaly(detector, paths[:1], evaluations=200)
    total = explanation.relevance.sum() + explanation.reference[0]
    assert total == pytest.approx(explanation.score[0], rel=1e-4)


def test_what_is_no_model_is_refused(paths: list[Path]) -> None:
    with pytest.raises(InputError, match="this Sequential has not: give a trained"):
        anomalib_stages(nn.Sequential())
    model = Model()
    model.pre_processor.transform = v2.Compose([v2.Normalize(MEAN, STD)])
    with pytest.raises(InputError, match="not with a bilinear resize to a square"):
        anomalib_detector(model)
    training = Model().train()
    with pytest.raises(InputError, match="call eval"):
        anomalib_detector(training).fit(paths)
