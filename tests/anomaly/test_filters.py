"""Filters at the input: equal to torchvision's, and diagonal in the DCT."""

import numpy as np
import pytest
import torch
from scipy.fft import dctn
from scipy.ndimage import gaussian_filter
from torchvision.transforms.functional import gaussian_blur

from chinspect.errors import InputError
from chinspect.mitigate import Blur, SpectralWeights


@pytest.mark.parametrize(("kernel", "sigma"), [(11, 2.0), (3, 0.5), (7, 4.0), (1, 1.0)])
def test_blur_is_that_of_torchvision(kernel: int, sigma: float) -> None:
    x = torch.rand(2, 3, 30, 21) * 2 - 1
    expected = gaussian_blur(x, [kernel, kernel], [sigma, sigma])
    torch.testing.assert_close(Blur(kernel, sigma)(x), expected, atol=1e-6, rtol=0)


def test_the_published_blur_is_the_default_of_torchvision_for_eleven_pixels() -> None:
    x = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(Blur()(x), gaussian_blur(x, [11, 11]), atol=1e-6, rtol=0)


def test_blur_is_linear_and_works_in_double_precision() -> None:
    x, y = torch.rand(2, 1, 3, 20, 20, dtype=torch.float64)
    blur = Blur()
    torch.testing.assert_close(blur(2 * x - 3 * y), 2 * blur(x) - 3 * blur(y))
    assert blur(x).dtype == torch.float64


@pytest.mark.parametrize("sigma", [0.7, 2.0, 5.0])
def test_gaussian_weights_are_a_blur_with_symmetric_borders(sigma: float) -> None:
    x = torch.rand(1, 2, 40, 40, dtype=torch.float64)
    expected = gaussian_filter(x.numpy(), (0, 0, sigma, sigma), mode="reflect", radius=int(np.ceil(5 * sigma)))
    weights = SpectralWeights.gaussian(40, sigma)
    np.testing.assert_allclose(weights(x).numpy(), expected, atol=1e-6)


def test_weights_scale_the_coefficients() -> None:
    x, values = torch.rand(2, 3, 12, 9), np.random.default_rng(0).random((12, 9))
    after = dctn(SpectralWeights(values)(x).numpy(), axes=(2, 3), norm="ortho")
    np.testing.assert_allclose(after, values * dctn(x.numpy(), axes=(2, 3), norm="ortho"), atol=1e-5)


def test_all_ones_change_nothing_and_a_low_pass_removes_the_rest() -> None:
    x = torch.rand(1, 3, 16, 16)
    torch.testing.assert_close(SpectralWeights(np.ones((16, 16)))(x), x)
    means = SpectralWeights.low_pass(16, 1)(x)
    torch.testing.assert_close(means, x.mean((2, 3), keepdim=True).expand_as(x))


@pytest.mark.parametrize(("kernel", "sigma"), [(10, 2.0), (-1, 2.0), (11, 0.0), (11, -1.0), (11, float("nan"))])
def test_hostile_blurs_are_refused(kernel: int, sigma: float) -> None:
    with pytest.raises(InputError, match="must be"):
        Blur(kernel, sigma)


def test_hostile_weights_are_refused() -> None:
    with pytest.raises(InputError, match="finite"):
        SpectralWeights(np.full((4, 4), np.nan))
    with pytest.raises(InputError, match="shape"):
        SpectralWeights(np.ones(4))
    with pytest.raises(InputError, match="made for"):
        SpectralWeights(np.ones((4, 4)))(torch.rand(1, 3, 5, 5))
    with pytest.raises(InputError, match="positive"):
        SpectralWeights.gaussian(8, 0)
