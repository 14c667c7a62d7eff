"""Functions as detectors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.base import clone

from chinspect.anomaly import explain_anomaly, save_detector
from chinspect.anomaly.adapter import CallableDetector
from chinspect.errors import InputError


def brightness(images: torch.Tensor) -> torch.Tensor:
    return images.mean((1, 2, 3))


def images(n: int) -> torch.Tensor:
    return torch.linspace(-1, 1, n).view(-1, 1, 1, 1).expand(-1, 3, 8, 8).contiguous()


@pytest.mark.parametrize("function", [brightness, lambda x: brightness(x).numpy(), lambda x: brightness(x).tolist()])
def test_scores_are_those_of_the_function(function):
    detector = CallableDetector(function).fit(images(50))
    np.testing.assert_allclose(detector.decision_function(images(70)), np.linspace(-1, 1, 70), atol=1e-6)
    np.testing.assert_array_equal(detector.held_out_scores_, detector.decision_function(images(50)))


def test_threshold_keeps_the_false_positive_rate():
    detector = CallableDetector(brightness, threshold_fpr=0.1).fit(images(99))
    assert detector.predict(images(99)).sum() == 9


def test_the_function_sees_float32_in_small_batches():
    seen = []

    def function(x):
        seen.append((x.dtype, len(x), x.requires_grad, torch.is_grad_enabled()))
        return brightness(x)

    CallableDetector(function).fit(images(50).double())
    assert {entry[0] for entry in seen} == {torch.float32}
    assert max(entry[1] for entry in seen) <= 32
    assert not any(entry[3] for entry in seen)


def test_cloning_keeps_the_function():
    assert clone(CallableDetector(brightness, threshold_fpr=0.2)).get_params()["function"] is brightness


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x, r"shape \(4, 3, 8, 8\) for 4 images"),
        (lambda x: brightness(x).sum(), r"shape \(\) for 4 images"),
        (lambda x: brightness(x) * float("nan"), "not finite"),
    ],
)
def test_functions_that_do_not_score(function, message):
    with pytest.raises(InputError, match=message):
        CallableDetector(function).fit(images(4))


def test_a_function_is_neither_explained_nor_saved(tmp_path):
    detector = CallableDetector(brightness).fit(images(4))
    with pytest.raises(InputError, match="cannot be explained"):
        explain_anomaly(detector, images(2))
    with pytest.raises(InputError, match="cannot be saved"):
        save_detector(detector, tmp_path / "detector.safetensors")
