"""Parity of eager pipelines with what ONNX Runtime makes of their exports."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from chinspect.anomaly import PatchCore
from chinspect.errors import InputError
from chinspect.stress import onnx_session, parity

for package in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(package)

SIZE = 64


class Resize(nn.Module):
    """Bilinear, to the detector's size."""

    def __init__(self, antialias: bool) -> None:
        super().__init__()
        self.antialias = antialias

    def forward(self, x: Tensor) -> Tensor:
        return interpolate(x, (SIZE, SIZE), mode="bilinear", align_corners=False, antialias=self.antialias)


class Score(nn.Module):
    """A fitted PatchCore as one module of plain operations."""

    def __init__(self, detector: PatchCore) -> None:
        super().__init__()
        self.backbone, self.aggregate = detector._backbone, detector._aggregate
        self.features = detector._backbone.features
        self.register_buffer("bank", detector.bank_)

    def forward(self, x: Tensor) -> Tensor:
        patches = self.aggregate(self.features(self.backbone.normalise(x))).flatten(2).mT
        squares = patches.square().sum(-1, keepdim=True) - 2 * patches @ self.bank.T + self.bank.square().sum(1)
        return squares.amin(-1).amax(1).clamp(min=0).sqrt()


def pictures(count: int, side: int, seed: int = 0) -> Tensor:
    """Grain: what a resizer without antialiasing lets alias."""
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(seed)) - 0.5


def exported(module: nn.Module, x: Tensor, path: Path) -> Path:
    dynamic = ({0: torch.export.Dim("n")},)
    torch.onnx.export(module.eval(), (x,), path, dynamo=True, dynamic_shapes=dynamic, verbose=False)
    return path


@pytest.fixture(scope="module")
def detector() -> PatchCore:
    return PatchCore(backbone="tiny-supervised", embedding="roth", size=SIZE).fit(
        Resize(antialias=True)(pictures(6, 200))
    )


@pytest.fixture(scope="module")
def files(detector: PatchCore, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("onnx")
    return {
        "antialiased": exported(Resize(antialias=True), pictures(2, 200), folder / "antialiased.onnx"),
        "stripped": exported(Resize(antialias=False), pictures(2, 200), folder / "stripped.onnx"),
        "score": exported(Score(detector), pictures(2, SIZE), folder / "score.onnx"),
    }


def test_an_exported_detector_agrees(detector: PatchCore, files: dict[str, Path]) -> None:
    eager = [Resize(antialias=True), detector.decision_function]
    runtime = [onnx_session(files["antialiased"]), onnx_session(files["score"])]
    found = parity(eager, runtime, pictures(5, 200, seed=1), threshold=detector.threshold_, tolerance=1e-4)
    assert found.first_stage is None
    assert found.label_flips == 0
    assert 0 < found.largest_difference < 1e-4 * found.scores_a.max()


def test_antialiasing_that_the_export_lost_is_the_first_stage_that_differs(
    detector: PatchCore, files: dict[str, Path]
) -> None:
    """The detector itself agrees: with the same pixels it gives the same scores."""
    images = pictures(5, 200, seed=1)
    eager = [Resize(antialias=True), detector.decision_function]
    runtime = [onnx_session(files["stripped"]), onnx_session(files["score"])]
    found = parity(eager, runtime, images, threshold=detector.threshold_, tolerance=1e-4)
    assert found.first_stage == 0
    assert found.stage_differences[0] > 0.1
    assert found.label_flips == (found.scores_b > detector.threshold_).sum() > 0
    scores = parity(detector.decision_function, runtime[1], Resize(antialias=False)(images))
    assert scores.largest_difference < 1e-4 * scores.scores_a.max()
    np.testing.assert_allclose(scores.scores_b, found.scores_b, rtol=1e-4)


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no protobuf")
    with pytest.raises(InputError, match=r"cannot read '.*model\.onnx'"):
        onnx_session(tmp_path / "model.onnx")
