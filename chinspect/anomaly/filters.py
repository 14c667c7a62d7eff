"""Filters in front of a detector: blurs, weights of frequencies, and how relevance goes back through a linear one.

A symmetric filter whose borders are mirrored with the edge pixel repeated (``symmetric`` padding) is diagonal in the
DCT-II (Martucci 1994): each coefficient is multiplied by a weight. So a Gaussian blur is one choice of spectral weights
among many, and a distance of blurred images is a weighted sum over the coefficients of the originals.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn.functional import conv2d, pad

from chinspect.errors import InputError
from chinspect.relevance import dct_matrix, evaluation_mode

_BATCH = 32  # images behind a layer at a time: bounds memory
_WIDTH = 2.5  # standard deviations on each side that `Blur.of_sigma` keeps: what it cuts off weighs 1 %
_LINEAR = 1e-3  # of the largest output: more than single precision loses in a linear layer, less than others differ


class Blur(nn.Module):
    """Gaussian blur of each channel, with reflected borders: the remedy of Kauffmann et al. 2025.

    It equals torchvision's `gaussian_blur` with this kernel and sigma, is linear, and keeps the shape of its input
    (N, C, H, W), whose sides must exceed half of the kernel.

    Args:
        kernel: width of the window in pixels, odd. The paper takes 11.
        sigma: standard deviation in pixels. The paper's code leaves torchvision's choice for 11 pixels, 2.0.

    Raises `InputError` for an even or negative kernel, or a sigma that is not positive.
    """

    taps: Tensor

    def __init__(self, kernel: int = 11, sigma: float = 2.0) -> None:
        super().__init__()
        if kernel < 1 or kernel % 2 == 0:
            raise InputError(f"The kernel of a blur must be odd and positive, not {kernel!r}.")
        self.kernel = kernel
        self.sigma = float(sigma)
        self.register_buffer("taps", torch.from_numpy(gaussian_taps(kernel, sigma)).float())

    @classmethod
    def of_sigma(cls, sigma: float) -> Self:
        """The blur of this sigma (pixels) with a window of 2.5 sigma on each side, at least 3 pixels."""
        return cls(2 * max(1, round(_WIDTH * sigma)) + 1, sigma)

    def forward(self, x: Tensor) -> Tensor:
        """Blur a batch (N, C, H, W), rows and columns one after the other."""
        half = self.kernel // 2
        channels = x.shape[1]
        taps = self.taps.to(x.dtype)
        padded = pad(x, (half, half, half, half), mode="reflect")
        rows = conv2d(padded, taps.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)
        return conv2d(rows, taps.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)

    def extra_repr(self) -> str:
        return f"kernel={self.kernel}, sigma={self.sigma}"


class SpectralWeights(nn.Module):
    """Multiplies each DCT-II coefficient of each channel by a weight: any symmetric filter, and any band to remove.

    Args:
        weights: (H, W), of the coefficients of vertical and horizontal order u and v; 1 keeps, 0 removes.

    Raises `InputError` for weights that form no matrix or are not finite.
    """

    weights: Tensor
    basis_rows: Tensor
    basis_columns: Tensor

    def __init__(self, weights: ArrayLike) -> None:
        super().__init__()
        values = np.asarray(weights, dtype=np.float32)
        if values.ndim != 2 or not values.size or not np.isfinite(values).all():
            raise InputError(f"Spectral weights are finite and have the shape (H, W), not {values.shape}.")
        self.register_buffer("weights", torch.from_numpy(values.copy()))
        self.register_buffer("basis_rows", dct_matrix(values.shape[0]))
        self.register_buffer("basis_columns", dct_matrix(values.shape[1]))

    @classmethod
    def gaussian(cls, size: int, sigma: float) -> Self:
        """The blur of this sigma (pixels) for square images, with symmetric borders and a window that cuts nothing."""
        response = gaussian_response(size, sigma)
        return cls(np.outer(response, response))

    @classmethod
    def low_pass(cls, size: int, order: int) -> Self:
        """Keeps the orders ``u + v < order`` of square images and removes the others."""
        return cls(np.add.outer(np.arange(size), np.arange(size)) < order)

    def forward(self, x: Tensor) -> Tensor:
        """Filter a batch (N, C, H, W)."""
        if x.shape[-2:] != self.weights.shape:
            raise InputError(f"The weights are made for {tuple(self.weights.shape)} pixels, not {tuple(x.shape[-2:])}.")
        rows = self.basis_rows.to(x.dtype)
        columns = self.basis_columns.to(x.dtype)
        spectrum = (rows @ x @ columns.T) * self.weights.to(x.dtype)
        return rows.T @ spectrum @ columns


def gaussian_taps(kernel: int, sigma: float) -> NDArray[np.float64]:
    """The window of a blur, (kernel,), float64, sum 1. Raises `InputError` for a sigma that is not positive."""
    if not sigma > 0:
        raise InputError(f"The sigma of a blur must be positive, not {sigma!r}.")
    offsets = np.arange(kernel) - kernel // 2
    taps = np.exp(-0.5 * (offsets / sigma) ** 2)
    weights: NDArray[np.float64] = taps / taps.sum()
    return weights


def gaussian_response(size: int, sigma: float) -> NDArray[np.float64]:
    """The weights (size,) of the DCT-II coefficients under a Gaussian blur with symmetric borders, float64.

    ``w_u = h_0 + 2 sum_k h_k cos(pi u k / size)`` for the window ``h``.
    """
    # beyond 5 sigma a window weighs less than 1e-6, which single precision does not see
    half = max(int(np.ceil(5 * sigma)), 1) if sigma > 0 else 0
    taps = gaussian_taps(2 * half + 1, sigma)[half:]
    angles = np.pi / size * np.outer(np.arange(size), np.arange(1, half + 1))
    response: NDArray[np.float64] = taps[0] + 2 * np.cos(angles) @ taps[1:]
    return response


@dataclass(frozen=True, eq=False)
class Layer:
    """``B``: a module that maps batches (N, *shape), each image on its own; None is the identity.

    Its transpose is that of a linear module; see `check`.
    """

    module: nn.Module | None
    shape: tuple[int, ...]

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        """``B x`` for images (N, *shape)."""
        if self.module is None:
            return x
        with evaluation_mode(self.module):
            return torch.cat([self.module(chunk) for chunk in x.split(_BATCH)])

    def transpose(self, y: Tensor) -> Tensor:
        """``B^T y`` for outputs of the layer: (N, *shape)."""
        return y if self.module is None else torch.cat([self._pulled(chunk) for chunk in y.split(_BATCH)])

    def check(self, x: Tensor) -> None:
        """`InputError` unless the layer maps ``x`` (N, *shape) linearly, at least on these images."""
        if self.module is None:
            return
        a = x[:1]
        b = x[-1:].flip(-1)  # another image, also where there is only one
        try:
            outputs = self(torch.cat([a, b, 2 * a - 3 * b, torch.zeros_like(a)]))
        except RuntimeError as error:
            raise InputError(f"the layer {self.module} cannot read images {self.shape}: {error}") from error
        if outputs.ndim < 2 or len(outputs) != 4 or not torch.isfinite(outputs).all():
            raise InputError(f"the layer {self.module} gives no batch of finite numbers: use a linear one.")
        of_a, of_b, of_sum, of_zero = outputs
        excess = (of_sum - 2 * of_a + 3 * of_b).abs().max() + of_zero.abs().max()
        if excess > _LINEAR * (1 + outputs.abs().max()):
            raise InputError(f"the layer {self.module} is not linear (it is off by {float(excess):.3g}): use a filter.")

    def _pulled(self, y: Tensor) -> Tensor:
        assert self.module is not None
        with evaluation_mode(self.module), torch.enable_grad():
            anywhere = y.new_zeros(len(y), *self.shape).requires_grad_()  # a linear map has one derivative
            return torch.autograd.grad(self.module(anywhere), anywhere, y)[0]
