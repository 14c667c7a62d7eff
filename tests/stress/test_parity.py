"""Two pipelines that should agree, and where they stop to."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from _nearest import Nearest
from torch import nn

from chinspect.datasets import MVTecCategory
from chinspect.errors import InputError
from chinspect.stress import onnx_session, parity, resized


def test_the_same_pipeline_agrees_with_itself(nearest: Nearest, dataset: MVTecCategory) -> None:
    pipeline = resized(nearest, "opencv-nearest")
    result = parity(pipeline, pipeline, dataset.test, threshold=nearest.threshold_)
    assert (result.largest_difference, result.label_flips, result.first_stage) == (0.0, 0, None)
    assert result.stage_differences == (0.0, 0.0)


def test_another_resizer_differs_from_its_first_stage_on(nearest: Nearest, dataset: MVTecCategory) -> None:
    a, b = (resized(nearest, name) for name in ("opencv-nearest", "pillow-bilinear"))
    result = parity(a, b, dataset.test, threshold=float(np.median(nearest.decision_function(a[0](dataset.test)))))
    gaps = np.abs(result.scores_a - result.scores_b)
    assert result.first_stage == 0
    assert result.largest_difference == gaps[result.worst] == gaps.max() > 0
    assert result.label_flips is not None
    assert result.label_flips > 0


def test_the_first_stage_that_differs_is_found() -> None:
    double, triple, total = (lambda x: 2 * x), (lambda x: 3 * x), (lambda x: x.sum(1))
    images = np.ones((4, 3))
    assert parity([double, double, total], [double, triple, total], images).first_stage == 1
    assert parity([double, total], [double, lambda x: x.sum(1) * (1 + 1e-9)], images).first_stage is None
    assert parity([double, total], total, images).first_stage is None
    assert parity([double, total], [lambda x: x[:, :2], total], images).first_stage == 0


def test_an_exported_program_agrees_with_its_module() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 1)).eval()
    images = torch.rand(5, 3, 12, 12)
    exported = torch.export.export(model, (images,)).module()
    result = parity(model, exported, images, threshold=0.0)
    assert result.largest_difference < 1e-6
    assert result.label_flips == 0


def test_without_onnx_runtime_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match="not installed"):
        onnx_session(tmp_path / "model.onnx")


def test_outputs_that_are_no_scores_are_refused() -> None:
    images = np.ones((4, 3))
    with pytest.raises(InputError, match="finite scores"):
        parity(lambda x: x, lambda x: x, images)
    with pytest.raises(InputError, match="4 and 2 scores"):
        parity(lambda x: x[:, 0], lambda x: x[:2, 0], images)
    with pytest.raises(InputError, match="at least one stage"):
        parity([], [], images)
