"""A detector behind a filter, its sigma, its threshold: what each repairs."""

import numpy as np
import pytest
import torch

from chinspect.anomaly import D2Neighbors
from chinspect.datasets import MVTecCategory
from chinspect.errors import InputError
from chinspect.images.resizers import load_inputs
from chinspect.mitigate import Blur, Filtered, SpectralWeights, recalibrate, search_blur
from chinspect.stress import Mitigation, stress

SIZE = 40


@pytest.fixture(scope="module")
def detector(dataset: MVTecCategory) -> D2Neighbors:
    return D2Neighbors(size=SIZE).fit(list(dataset.train[:16]))


def test_a_filtered_detector_is_one_fitted_on_filtered_images(detector: D2Neighbors, dataset: MVTecCategory) -> None:
    blur = Blur(5, 1.0)
    filtered = Filtered(detector, blur).fit(list(dataset.train))
    train, test = (load_inputs(paths, "opencv-nearest", SIZE) for paths in (dataset.train, dataset.test))
    expected = D2Neighbors(size=SIZE).fit(blur(train))
    np.testing.assert_allclose(filtered.decision_function(test), expected.decision_function(blur(test)))
    assert filtered.threshold_ == expected.threshold_
    assert filtered.predict(test).tolist() == expected.predict(blur(test)).tolist()


def test_filtering_leaves_the_given_detector_alone(detector: D2Neighbors, dataset: MVTecCategory) -> None:
    before = detector.threshold_
    with pytest.raises(InputError, match="holds the folder 'train'"):
        Filtered(detector, Blur(5, 3.0)).fit(dataset.train[0].parents[2])
    filtered = Filtered(detector, Blur(5, 3.0)).fit(load_inputs(dataset.train, "opencv-nearest", SIZE))
    assert detector.threshold_ == before != filtered.threshold_


def test_recalibration_changes_the_threshold_only(detector: D2Neighbors, dataset: MVTecCategory) -> None:
    before = detector.threshold_
    held_out = list(dataset.train[16:])
    again = recalibrate(detector, held_out, fpr=0.2, resizer="pillow-bilinear")
    scores = detector.decision_function(load_inputs(held_out, "pillow-bilinear", SIZE))
    assert detector.threshold_ == before
    assert again.threshold_ == np.sort(scores)[7]  # ceil(9 * 0.8) = 8
    np.testing.assert_array_equal(
        again.decision_function(torch.zeros(1, 3, SIZE, SIZE)),
        detector.decision_function(torch.zeros(1, 3, SIZE, SIZE)),
    )


def test_a_rate_needs_enough_normals(detector: D2Neighbors, dataset: MVTecCategory) -> None:
    with pytest.raises(InputError, match="needs 99 normal images, not 8"):
        recalibrate(detector, list(dataset.train[16:]), fpr=0.01)
    with pytest.raises(InputError, match="between 0 and 1"):
        recalibrate(detector, list(dataset.train[16:]), fpr=1.0)


def test_recalibration_keeps_its_rate_on_unseen_normals() -> None:
    """Over many draws, the share of unseen normal scores above the threshold is at most the rate."""

    class Identity:
        resizer, size, threshold_ = "opencv-nearest", 8, 0.0

        def decision_function(self, X: torch.Tensor) -> np.ndarray:
            return X.double().mean((1, 2, 3)).numpy()

    torch.manual_seed(0)
    rates = [
        (torch.rand(200).numpy() > recalibrate(Identity(), torch.rand(19, 1, 1, 1), fpr=0.1).threshold_).mean()
        for _ in range(300)
    ]
    assert np.mean(rates) == pytest.approx(0.1, abs=0.012)


def test_the_search_in_the_dct_basis_is_the_one_by_fitting(dataset: MVTecCategory) -> None:
    sigmas = (0.0, 0.8, 2.0)
    quick = search_blur(D2Neighbors(size=SIZE), dataset, "pillow-bilinear", sigmas=sigmas)
    for sigma in sigmas:
        layer = SpectralWeights.gaussian(SIZE, sigma) if sigma else torch.nn.Identity()
        fitted = Filtered(D2Neighbors(size=SIZE), layer).fit(list(dataset.train))
        rows = quick[quick.sigma == sigma]
        assert rows.resizer.tolist() == ["opencv-nearest", "pillow-bilinear"]
        np.testing.assert_allclose(rows.threshold, fitted.threshold_, rtol=0.01)
        table = stress(fitted, dataset, changes=[]).table
        np.testing.assert_allclose(rows.shift_normal, table.shift_normal, atol=0.1)
        np.testing.assert_allclose(rows.auroc, table.auroc, atol=0.05)


def test_the_search_fits_other_detectors_again(dataset: MVTecCategory) -> None:
    table = search_blur(D2Neighbors(p=1, size=SIZE), dataset, "pillow-bilinear", sigmas=(0.0, 1.0))
    assert table.sigma.tolist() == [0.0, 0.0, 1.0, 1.0]
    with pytest.raises(InputError, match="sigmas"):
        search_blur(D2Neighbors(size=SIZE), dataset, "pillow-bilinear", sigmas=(-1.0,))


def test_blur_and_recalibration_take_the_shift_of_grain_away(grainy: MVTecCategory) -> None:
    detector = D2Neighbors().fit(list(grainy.train[:12]))
    blurred = D2Neighbors(blur=Blur()).fit(list(grainy.train[:12]))
    remedies = [Mitigation("blur", blurred), Mitigation("recalibrate", normals=grainy.train[12:], fpr=0.2)]
    table = stress(detector, grainy, changes=[], mitigate=remedies).table.set_index(["mitigation", "resizer"])
    deployed = table.xs("pillow-bilinear", level="resizer")
    assert deployed.shift_normal["none"] < -2
    assert abs(deployed.shift_normal["blur"]) < 0.5 * abs(deployed.shift_normal["none"])
    assert deployed.fnr["recalibrate"] <= deployed.fnr["none"]
