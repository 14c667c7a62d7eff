"""The transfer of a resizer by frequency, on images for which it is known."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from chinspect.anomaly import D2Neighbors
from chinspect.datasets import MVTecCategory
from chinspect.errors import InputError
from chinspect.stress import Prediction, predict_shift, transfer

EDGES = (2, 6, 14)


def save(folder: Path, pictures: np.ndarray) -> list[Path]:
    """Grey pictures (N, 64, 64) as files."""
    paths = [folder / f"{i:02d}.png" for i in range(len(pictures))]
    for path, picture in zip(paths, pictures, strict=True):
        Image.fromarray(np.clip(np.round(picture), 0, 255).astype(np.uint8)).save(path)
    return paths


def noise(count: int, spread: float, seed: int = 0) -> np.ndarray:
    return 128 + spread * np.random.default_rng(seed).standard_normal((count, 64, 64))


def test_the_mean_of_sixteen_pixels_has_a_sixteenth_of_the_power(tmp_path: Path) -> None:
    gain, drift = transfer(save(tmp_path, noise(60, 30)), "opencv-nearest", "opencv-area", 16, EDGES)
    np.testing.assert_allclose(gain, 1 / 16, rtol=0.2)
    assert drift.max() < 0.05


def test_what_all_images_share_drifts(tmp_path: Path) -> None:
    paths = save(tmp_path, noise(1, 30) + noise(40, 3, seed=1) - 128)
    gain, drift = transfer(paths, "opencv-nearest", "opencv-area", 16, EDGES)
    assert gain.max() < 0.2
    expected = (1 - 1 / 16) * (30 / 3) ** 2 / 2  # a mean contains the pixel itself
    np.testing.assert_allclose(np.median(drift), expected, rtol=0.5)


def test_the_same_resizer_changes_nothing(tmp_path: Path) -> None:
    gain, drift = transfer(save(tmp_path, noise(5, 30)), "opencv-area", "opencv-area", 16, EDGES)
    np.testing.assert_array_equal(gain, 1)
    np.testing.assert_array_equal(drift, 0)


def test_one_image_has_no_spread(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="At least 2"):
        transfer(save(tmp_path, noise(1, 30)), "opencv-nearest", "opencv-area", 16, EDGES)


def test_the_shift_of_pure_noise_is_predicted(tmp_path: Path) -> None:
    paths = save(tmp_path, noise(60, 30))
    data = MVTecCategory("noise", tuple(paths[:40]), tuple(paths[40:]), ("good",) * 10 + ("bad",) * 10, (None,) * 20)
    detector = D2Neighbors(size=16).fit(list(data.train))
    before = detector.decision_function(list(data.test))
    after = detector.set_params(resizer="opencv-area").decision_function(list(data.test))
    detector.set_params(resizer="opencv-nearest")
    (prediction,) = predict_shift(detector, data, {"opencv-area": after - before})
    assert prediction.predicted.mean() == pytest.approx(prediction.measured.mean(), rel=0.1)
    assert prediction.slope == pytest.approx(1, abs=0.1)
    assert prediction.correlation > 0.5


def test_slope_and_correlation() -> None:
    bands, label = np.ones(1), np.array([0, 1, 1])
    predicted = np.array([1.0, 2.0, 3.0])
    one = Prediction("x", bands, predicted, 2 * predicted, label)
    assert (one.slope, one.correlation) == (pytest.approx(2), pytest.approx(1))
    none = Prediction("x", bands, np.zeros(3), predicted, label)
    assert np.isnan([none.slope, none.correlation]).all()
