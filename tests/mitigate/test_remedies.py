"""A detector behind a filter, or with another threshold: what each repairs."""

import numpy as np
import pytest
import torch

from chinspect.anomaly import CallableDetector, D2Neighbors
from chinspect.datasets import MVTecCategory
from chinspect.errors import InputError
from chinspect.images.resizers import load_inputs
from chinspect.mitigate import Blur, recalibrate
from chinspect.stress import Mitigation, stress

SIZE = 40


@pytest.fixture(scope="module")
def detector(dataset: MVTecCategory) -> D2Neighbors:
    return D2Neighbors(size=SIZE).fit(list(dataset.train[:16]))


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
    """Over many draws, the fraction of unseen normal scores above the threshold is at most the rate.

    The mean of 300 draws of 200 scores errs by .004 (standard deviation: thresholds of 19 scores vary by .067), so that
    it leaves .1 by .014 once in 2,000 reseeds.
    """
    detector = CallableDetector(lambda x: x.mean((1, 2, 3)), size=1).fit(torch.linspace(-1, 1, 20).view(-1, 1, 1, 1))
    generator = torch.Generator().manual_seed(0)
    rates = []
    for _ in range(300):
        threshold = recalibrate(detector, torch.rand(19, 1, 1, 1, generator=generator), fpr=0.1).threshold_
        rates.append((torch.rand(200, generator=generator).numpy() > threshold).mean())
    assert np.mean(rates) == pytest.approx(0.1, abs=0.014)


def test_blur_and_recalibration_take_the_shift_of_grain_away(grainy: MVTecCategory) -> None:
    detector = D2Neighbors().fit(list(grainy.train[:12]))
    blurred = D2Neighbors(layer=Blur()).fit(list(grainy.train[:12]))
    remedies = [Mitigation("blur", blurred), Mitigation("recalibrate", normals=grainy.train[12:], fpr=0.2)]
    table = stress(detector, grainy, changes=[], mitigate=remedies).table.set_index(["mitigation", "resizer"])
    deployed = table.xs("pillow-bilinear", level="resizer")
    assert deployed.shift_normal["none"] < -2
    assert abs(deployed.shift_normal["blur"]) < 0.5 * abs(deployed.shift_normal["none"])
    assert deployed.fnr["recalibrate"] <= deployed.fnr["none"]
