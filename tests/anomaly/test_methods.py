"""Anomaly scores by relevance maps against a reference, by Shapley values, and checked by deletion."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from chinspect.anomaly import (
    AnomalyExplanation,
    Blur,
    CallableDetector,
    D2Neighbors,
    PatchCore,
    explain_anomaly,
    load_detector,
    save_detector,
)
from chinspect.errors import InputError
from chinspect.relevance import reference_images
from tests.anomaly.test_patchcore import SIZE, describe, images, odd, small

EARLIER = Path(__file__).parents[1] / "data" / "earlier"


def brightest(x: Tensor) -> Tensor:
    """A score without gradient that is worth asking for: the brightest cell of 4 pixels."""
    return nn.functional.avg_pool2d(x.mean(1, keepdim=True), 4).amax((1, 2, 3)) + 1


def spotted(n: int) -> Tensor:
    x = torch.rand(n, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1)) * 0.2 - 0.5
    x[:, :, 8:12, 20:24] = 0.9
    return x


# Relevance maps against a reference


@pytest.mark.parametrize("embedding", ["roth", "anomalib", "kauffmann2025"])
@pytest.mark.parametrize("reference", ["blur", "mean", "grey", "normal", images(2, seed=4)])
def test_relevance_and_reference_are_the_score(embedding, reference):
    detector = small(embedding=embedding).fit(images(6))
    given = {"method": "rescale", "reference": reference, "check": False}
    both = explain_anomaly(detector, odd(), **given)
    np.testing.assert_allclose(both.score, detector.decision_function(odd()))
    np.testing.assert_allclose(both.conservation, 1, atol=1e-4)
    for components in ("pixels", "bands"):
        found = explain_anomaly(detector, odd(), components=components, **given)
        np.testing.assert_allclose(found.conservation, 1, atol=1e-4)
        expected = getattr(both, components)
        np.testing.assert_allclose(getattr(found, components), expected, atol=1e-4 * np.abs(expected).max())


def test_the_map_is_that_of_a_network_with_its_slopes_fixed():
    """Written out: slopes of the rectifiers between image and reference, and autograd over what is then linear."""
    detector = small(torch.float64).fit(images(4))
    x = odd(1).double()
    x0 = reference_images("blur", odd(1))[0].double()
    module = detector.backbone
    first, second = module.layer2[0], module.layer3[0]
    with torch.no_grad():
        hidden = [first(x), first(x0)]
        slope = (hidden[0].relu() - hidden[1].relu()) / (hidden[0] - hidden[1])
        deep = [second(each.relu()) for each in hidden]
        deeper = (deep[0].relu() - deep[1].relu()) / (deep[0] - deep[1])
    table = detector.nearest_patches(odd(1)).iloc[0]
    patch = int(table.row) * detector.map_shape_[1] + int(table.column)
    prototype = detector.bank_[int(table.prototype)]
    e, e0 = (describe(module, "roth", each)[0, patch] for each in (x, x0))
    direction = (e - prototype) / (e - prototype).norm()

    difference = (x - x0).requires_grad_()
    low = nn.functional.conv2d(difference, first.weight, None, 2, 1) * slope
    high = nn.functional.conv2d(low, second.weight, None, 2, 1) * deeper
    reached = detector._aggregate([low, high]).flatten(2)[0, :, patch] @ direction
    (derivative,) = torch.autograd.grad(reached, difference)

    found = explain_anomaly(detector, odd(1), components="pixels", method="rescale", check=False)
    expected = (derivative * difference).sum(1).detach()
    np.testing.assert_allclose(found.pixels, expected, atol=1e-6 * float(expected.abs().max()))
    np.testing.assert_allclose(found.reference[0], float(direction @ (e0 - prototype)), rtol=1e-5)


@pytest.mark.filterwarnings("ignore:.*has the same pixels:chinspect.errors.ImageWarning")
def test_features_that_the_image_lacks_are_carried():
    """Normal images switch a feature on, the tested one off: by LRP no pixel carries what is missing."""
    module = nn.Sequential()
    module.layer2 = nn.Sequential(nn.Conv2d(3, 2, 1, 2, bias=False), nn.ReLU())
    module.layer2[0].weight = nn.Parameter(torch.tensor([[1.0, 0, 0], [0, 1, 0]]).view(2, 3, 1, 1))
    x = torch.full((1, 3, 2, 2), 0.3)
    x[:, 1] = -0.4
    detector = PatchCore(backbone=module, embedding="kauffmann2025").fit(torch.full((4, 3, 2, 2), 0.3))
    lost = explain_anomaly(detector, x, components="pixels", method="lrp", check=False)
    found = explain_anomaly(detector, x, components="pixels", method="rescale", reference="normal", check=False)
    np.testing.assert_allclose(lost.reference, lost.score, rtol=1e-6)
    np.testing.assert_allclose(found.pixels.sum((1, 2)), found.score, rtol=1e-2)  # normal images are kept in 8 bits
    np.testing.assert_allclose(found.conservation, 1, rtol=1e-5)


def test_behind_a_blur_relevance_against_a_reference_is_conserved():
    detector = small(layer=Blur(5, 1.0)).fit(images(6))
    found = explain_anomaly(detector, odd(), method="rescale", check=False)
    np.testing.assert_allclose(found.conservation, 1, atol=1e-4)


def test_an_image_at_distance_zero_has_nothing_to_explain_against_a_reference():
    x = images(3)
    found = explain_anomaly(small(coreset=1.0).fit(x), x, method="rescale", check=False)
    assert np.all(found.pixels == 0)
    assert found.conservation.tolist() == [1, 1, 1]


def test_a_real_backbone_on_real_defects(real_data):
    folder = real_data("magnetic_tile")
    normal = sorted((folder / "train" / "good").iterdir())[:3]
    detector = PatchCore(backbone="efficientnet-lite0", embedding="anomalib", coreset=0.05, size=96).fit(normal)
    defects = [sorted((folder / "test" / kind).iterdir())[0] for kind in ("blowhole", "break")]
    found = explain_anomaly(detector, defects, components="pixels", method="rescale", check=False)
    np.testing.assert_allclose(found.conservation, 1, atol=1e-4)
    assert (found.pixels.sum((1, 2)) > 0).all()  # a blurred image is less odd in the direction in which these are


# Shapley values


def test_a_linear_function_without_gradient_has_its_terms():
    weights = torch.randn(3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    detector = CallableDetector(lambda x: (x * weights).sum((1, 2, 3)), size=SIZE).fit(images(6))
    x, x0 = odd(), images(1, seed=4)
    found = explain_anomaly(detector, x, method="shapley", reference=x0)
    terms = ((x - x0) * weights).sum(1)
    for i in range(0, SIZE, 5):  # patches of a seventh of the image, rounded up
        for j in range(0, SIZE, 5):
            cells = found.pixels[:, i : i + 5, j : j + 5]
            expected = terms[:, i : i + 5, j : j + 5].mean((1, 2))
            np.testing.assert_allclose(cells, expected[:, None, None].expand(cells.shape), atol=1e-3)
    np.testing.assert_allclose(found.reference, detector.decision_function(x0).repeat(2), rtol=1e-5)
    assert found.components == "pixels"


@pytest.mark.parametrize(
    "detector",
    [D2Neighbors(size=SIZE), small(), CallableDetector(brightest, size=SIZE)],
    ids=lambda d: type(d).__name__,
)
def test_shapley_values_and_reference_are_the_score(detector):
    detector.fit(images(8) - 0.3)
    x = spotted(1)
    found = explain_anomaly(detector, x, evaluations=300, check=False)  # these belong to Shapley values
    np.testing.assert_allclose(found.pixels.sum((1, 2)) + found.reference, found.score, rtol=1e-5)
    row, column = np.unravel_index(found.pixels[0].argmax(), (SIZE, SIZE))
    assert (abs(row - 10) <= 5, abs(column - 22) <= 5) == (True, True)
    # D2Neighbors and PatchCore still name the training images that they compare with
    assert found.neighbours.shape[1] == (0 if isinstance(detector, CallableDetector) else 8)


# Deletion


def test_scores_fall_without_what_is_relevant():
    detector = CallableDetector(brightest, size=SIZE).fit(images(8) - 0.3)
    found = explain_anomaly(detector, spotted(6), method="shapley", evaluations=250)
    highest = np.sort(np.argsort(-found.score)[:4])
    assert [i for i, deletion in enumerate(found.deletions) if deletion is not None] == highest.tolist()
    assert all(found.deletions[i].better_than_random for i in highest)
    assert "the 4 images of the highest scores lose" in found.sentence
    assert "clearly better than random in 4 of 4" in found.sentence
    document = found.document()
    assert [entry["image"] for entry in document["deletions"]] == [f"image {i}" for i in highest]
    assert document["explained_by"] == {"method": "shapley", "reference": "normal", "evaluations": 250}
    assert found.take(np.array([5, 1])).deletions == (found.deletions[5], found.deletions[1])
    assert "4 images of the highest scores" in found.figure()._supxlabel.get_text().replace("\n", " ")


def test_a_map_that_is_wrong_is_told():
    detector = CallableDetector(brightest, gradient=lambda x: -x.abs(), size=SIZE).fit(images(8) - 0.3)
    found = explain_anomaly(detector, spotted(1), components="pixels")
    assert "does no better than random" in found.sentence or "may do no better" in found.sentence
    unchecked = explain_anomaly(detector, spotted(1), components="pixels", check=False)
    assert (unchecked.deletions, unchecked.faithfulness) == ((), "")
    assert explain_anomaly(detector, spotted(1), components="bands").deletions == ()


def test_images_that_score_no_higher_than_their_references_are_told():
    detector = CallableDetector(brightest, gradient=torch.zeros_like, size=SIZE).fit(images(4))
    found = explain_anomaly(detector, images(2, seed=8) - 0.5, components="pixels")
    assert "None of these 2 images scores higher than its reference" in found.sentence


# Normal images


def test_some_normal_images_are_kept_and_saved(tmp_path):
    x = torch.rand(40, 3, 32, 32, generator=torch.Generator().manual_seed(0)) - 0.5
    detector = PatchCore(backbone="tiny-supervised", size=32, coreset=0.01).fit(x)
    loaded = load_detector(save_detector(detector, tmp_path / "detector.safetensors"))
    assert torch.equal(loaded.normal_images, detector.normal_images)
    assert loaded.fingerprint == detector.fingerprint
    nearest = (detector.normal_images[:, None] - x).abs().amax((2, 3, 4)).min(1)
    assert len(nearest.indices.unique()) == len(detector.normal_images) == 16
    assert nearest.values.max() <= 0.51 / 127.5


def test_the_nearest_normal_image_is_the_reference():
    x = images(5)
    detector = D2Neighbors(size=SIZE).fit(x)
    near = (x[3:4] + 0.01).repeat(1, 1, 1, 1)
    found = explain_anomaly(detector, near, method="shapley", evaluations=300, check=False)
    by_hand = explain_anomaly(detector, near, method="shapley", reference=x[3:4], evaluations=300, check=False)
    np.testing.assert_allclose(found.pixels, by_hand.pixels, atol=1e-4 * np.abs(by_hand.pixels).max())


def test_a_detector_of_an_earlier_version_keeps_no_normal_images():
    detector = load_detector(EARLIER / "patchcore.safetensors")
    picture = sorted((EARLIER / "images").iterdir())[0]
    assert detector.normal_images is None
    found = explain_anomaly(detector, picture, components="pixels")
    assert isinstance(found, AnomalyExplanation)
    assert len(found.deletions) == 1
    with pytest.raises(InputError, match="holds no normal images: fit it again"):
        explain_anomaly(detector, picture, method="rescale", reference="normal")


# Refusals


@pytest.mark.parametrize(
    ("detector", "options", "message"),
    [
        (D2Neighbors(), {"method": "rescale"}, "D2Neighbors has no network"),
        (D2Neighbors(), {"composite": "epsilon_plus"}, "D2Neighbors has no network .* not lrp"),
        (D2Neighbors(), {"method": "shapley", "bands": 3}, "choose bands=1"),
        (D2Neighbors(), {"method": "shapley", "components": "bands"}, "choose bands=1"),
        (D2Neighbors(), {"method": "shapley", "evaluations": 9}, "9 evaluations are too few"),
        (D2Neighbors(), {"method": "gradient"}, "unknown method 'gradient'"),
        (D2Neighbors(), {"reference": "white"}, "unknown reference 'white': choose one of normal, blur"),
        (small(), {"method": "rescale", "composite": "epsilon_plus"}, "belongs to the method lrp, not to rescale"),
        (small(), {"method": "lrp", "evaluations": 9}, "evaluations belong to the method shapley"),
        (small(), {"composite": "epsilon_plus_flat"}, "cannot be told by frequency"),
        (CallableDetector(brightest), {}, "choose the method shapley"),
    ],
)
def test_what_does_not_fit_is_refused(detector, options, message):
    detector.fit(images(4))
    with pytest.raises(InputError, match=message):
        explain_anomaly(detector, odd(1), **options)


def test_an_explanation_without_images_checked_says_nothing_of_it():
    found = explain_anomaly(small().fit(images(4)), odd(1), check=False)
    assert replace(found, deletions=(None,)).faithfulness == ""
