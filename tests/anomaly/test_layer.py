"""Layers in front of detectors, detectors as subjects, and functions that are explained by their gradient."""

import numpy as np
import pytest
import torch
from sklearn.base import clone

from chinspect.anomaly import (
    Blur,
    CallableDetector,
    D2Neighbors,
    Detector,
    PatchCore,
    SpectralWeights,
    explain_anomaly,
    fit,
    load_detector,
    save_detector,
)
from chinspect.errors import InputError
from chinspect.images import to_input
from chinspect.subjects import check_subject

SIZE = 32


class Flip(torch.nn.Module):
    """Mirrors images; its transpose does the same."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flip(-1)


def images(n: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(n, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed)) * 0.8 - 0.4


def odd(n: int = 2) -> torch.Tensor:
    x = images(n, seed=9)
    x[:, :, 16:22, 8:14] = 1
    return x


def weights() -> torch.Tensor:
    return torch.randn(3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


def linear(**parameters: object) -> CallableDetector:
    def function(x: torch.Tensor) -> torch.Tensor:
        return (x * weights()).sum((1, 2, 3))

    return CallableDetector(function, gradient=weights().expand_as, size=SIZE, **parameters)


DETECTORS = [D2Neighbors(size=SIZE), PatchCore(backbone="tiny-supervised", size=SIZE), linear()]


@pytest.mark.parametrize("detector", DETECTORS)
def test_a_detector_behind_a_layer_is_one_of_filtered_images(detector: Detector) -> None:
    plain = clone(detector).fit(images(6).flip(-1))
    layered = clone(detector).set_params(layer=Flip()).fit(images(6))
    np.testing.assert_allclose(layered.decision_function(odd()), plain.decision_function(odd().flip(-1)), rtol=1e-5)
    assert layered.threshold_ == pytest.approx(plain.threshold_, rel=1e-5)
    mirrored, found = explain_anomaly(plain, odd().flip(-1)), explain_anomaly(layered, odd())
    scale = np.abs(found.pixels).max()
    np.testing.assert_allclose(found.pixels, mirrored.pixels[:, :, ::-1], atol=1e-4 * scale)
    np.testing.assert_allclose(found.bands, mirrored.bands, atol=1e-4 * np.abs(found.bands).max())


@pytest.mark.parametrize("detector", DETECTORS)
@pytest.mark.parametrize("components", ["pixels", "bands", "pixel_bands"])
def test_relevance_behind_a_blur_is_conserved(detector: Detector, components: str) -> None:
    blurred = clone(detector).set_params(layer=Blur(5, 1.0)).fit(images(6))
    found = explain_anomaly(blurred, odd(), components=components)  # type: ignore[arg-type]
    np.testing.assert_allclose(found.conservation, 1, rtol=1e-3)


def test_a_layer_of_patchcore_is_saved_with_it(tmp_path) -> None:
    detector = fit("patchcore", images(4), path=tmp_path / "d", blur=1.0, backbone="tiny-supervised", size=SIZE)
    loaded = load_detector(tmp_path / "d")
    assert isinstance(loaded.layer, Blur)
    assert loaded.layer.sigma == 1.0
    np.testing.assert_array_equal(loaded.decision_function(odd()), detector.decision_function(odd()))
    assert (
        loaded.fingerprint == detector.fingerprint != clone(detector).set_params(layer=None).fit(images(4)).fingerprint
    )


def test_the_layer_of_d2neighbors_is_called_as_in_earlier_files(tmp_path) -> None:
    path = save_detector(D2Neighbors(size=SIZE, layer=Blur(5, 1.0)).fit(images(4)), tmp_path / "d")
    assert b'\\"blur\\": {\\"layer\\": \\"Blur\\"' in path.read_bytes()


def test_layers_that_do_not_fit_are_refused() -> None:
    rectified = PatchCore(backbone="tiny-supervised", size=SIZE, layer=torch.nn.ReLU()).fit(images(4))
    assert np.isfinite(rectified.decision_function(odd())).all()
    with pytest.raises(InputError, match="not linear"):
        explain_anomaly(rectified, odd(1))
    with pytest.raises(InputError, match=r"makes \(1, 3, 16, 16\) of images \(1, 3, 32, 32\)"):
        PatchCore(backbone="tiny-supervised", size=SIZE, layer=torch.nn.AvgPool2d(2)).fit(images(4))


def test_a_filter_that_rings_gives_pixels_in_range() -> None:
    seen = []
    function = CallableDetector(lambda x: seen.append(x) or x.mean((1, 2, 3)), layer=SpectralWeights.low_pass(SIZE, 9))
    function.fit(odd().sign())
    assert max(float(x.abs().max()) for x in seen) <= 1 < float(SpectralWeights.low_pass(SIZE, 9)(odd().sign()).max())


def test_a_linear_function_is_explained_by_its_terms() -> None:
    detector, x = linear().fit(images(6)), odd()
    found = explain_anomaly(detector, x)
    np.testing.assert_allclose(found.pixels, (x * weights()).sum(1), atol=1e-5)
    np.testing.assert_allclose(found.conservation, 1, rtol=1e-4)
    assert (found.neighbours.shape, found.nearest.shape) == ((2, 0), (2, 0))
    assert len(found.figure().axes) == 2 * 6


def test_conservation_tells_where_gradient_times_input_falls_short() -> None:
    square = CallableDetector(lambda x: (x**2).sum((1, 2, 3)), gradient=lambda x: 2 * x, size=SIZE).fit(images(6))
    np.testing.assert_allclose(explain_anomaly(square, odd()).conservation, 2, rtol=1e-5)


@pytest.mark.parametrize(
    ("gradient", "message"),
    [(lambda x: x.mean(1), r"shape \(2, 32, 32\)"), (lambda x: x * float("nan"), "not finite")],
)
def test_gradients_that_do_not_fit_are_refused(gradient, message: str) -> None:
    detector = CallableDetector(lambda x: x.mean((1, 2, 3)), gradient=gradient).fit(images(6))
    with pytest.raises(InputError, match=message):
        explain_anomaly(detector, odd())


@pytest.mark.parametrize("detector", DETECTORS)
def test_detectors_are_subjects(detector: Detector) -> None:
    fitted = clone(detector).fit(images(6))
    if not isinstance(fitted, CallableDetector):
        check_subject(fitted)
    pictures = np.random.default_rng(0).integers(0, 256, (2, 50, 40, 3), dtype=np.uint8)
    seen = fitted.see(list(pictures))
    assert [image.shape for image in seen] == [(SIZE, SIZE, 3)] * 2
    weighted = np.array([[1.0], [-2.0]]) * fitted.respond(seen)
    maps = fitted.explain(seen, np.array([[1.0], [-2.0]]))
    spectra = fitted.explain(seen, np.array([[1.0], [-2.0]]), bands=8)
    assert (maps.shape, spectra.shape, maps.dtype) == ((2, SIZE, SIZE), (2, 1, 8), np.float32)
    lost = explain_anomaly(fitted, to_input(np.stack(seen)), components="pixels").reference
    expected = weighted[:, 0] - np.array([1, -2]) * lost
    np.testing.assert_allclose(maps.sum((1, 2)), expected, rtol=1e-3)
    np.testing.assert_allclose(spectra.sum((1, 2)), expected, rtol=1e-3)


def test_unknown_kinds_are_refused() -> None:
    with pytest.raises(InputError, match="unknown detector 'forest': choose d2neighbors or patchcore"):
        fit("forest", images(3))
