"""How much blur? A sweep over sigma."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.fft import dctn
from torch import Tensor

from chinspect.anomaly import D2Neighbors, Detector, threshold_at
from chinspect.anomaly.softmin import fit_gamma, soft_minimum
from chinspect.datasets import MVTecCategory
from chinspect.errors import InputError
from chinspect.images.resizers import load_inputs
from chinspect.mitigate.blur import SpectralWeights, gaussian_response
from chinspect.mitigate.filtered import Filtered
from chinspect.stress import evaluate

SIGMAS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
_RINGS = 2  # for each whole frequency: within a ring the weights of a Gaussian are nearly the same
Array = NDArray[np.float64]


def search_blur(
    detector: Detector, dataset: MVTecCategory, resizer: str, *, sigmas: Sequence[float] = SIGMAS
) -> pd.DataFrame:
    """Fit the detector behind Gaussian blurs, and judge each before and after a switch of the resizer.

    For `D2Neighbors` with p = 2 all sigmas cost as much as one: squared distances are taken once for each ring of DCT
    coefficients and summed with the weights of each blur, which a blur with symmetric borders has (`SpectralWeights`;
    within a ring of half a frequency they are averaged). Other detectors are fitted again for each sigma.

    Args:
        detector: its parameters and resizer count; it need not be fitted, and is not changed.
        dataset: fitted on its training images, judged on its test images.
        resizer: the deployed one.
        sigmas: standard deviations of the blurs in pixels of the input; 0 is none.

    Returns:
        Two rows for each sigma, before and after: ``sigma``, ``resizer``, and the columns of
        `chinspect.stress.Evaluation`, all at the threshold that the training images give the blurred detector
        (at its `threshold_fpr`).

    Raises `InputError` for a negative sigma, and images that cannot be read.
    """
    if not sigmas or any(not sigma >= 0 for sigma in sigmas):
        raise InputError(f"The sigmas of a search are at least one number from 0, not {list(sigmas)}.")
    train, before = (load_inputs(paths, detector.resizer, detector.size) for paths in (dataset.train, dataset.test))
    after = load_inputs(dataset.test, resizer, detector.size)
    spectral = isinstance(detector, D2Neighbors) and detector.p == 2 and detector.blur is None
    sweep = _spectral_sweep if spectral else _sweep
    rows = []
    for sigma, (threshold, *scores) in zip(sigmas, sweep(detector, (train, before, after), sigmas), strict=True):
        for name, values in zip((detector.resizer, resizer), scores, strict=True):
            row = vars(evaluate(values, dataset.labels, threshold, scores[0]))
            rows.append({"sigma": float(sigma), "resizer": name} | row)
    return pd.DataFrame(rows)


def _sweep(
    detector: Detector, inputs: tuple[Tensor, Tensor, Tensor], sigmas: Sequence[float]
) -> Iterator[tuple[float, Array, Array]]:
    """Threshold, scores before and after, by fitting again."""
    for sigma in sigmas:
        weights = SpectralWeights.gaussian(detector.size, sigma) if sigma else torch.nn.Identity()
        fitted = Filtered(detector, weights).fit(inputs[0])
        yield fitted.threshold_, fitted.decision_function(inputs[1]), fitted.decision_function(inputs[2])


def _spectral_sweep(
    detector: Detector, inputs: tuple[Tensor, Tensor, Tensor], sigmas: Sequence[float]
) -> Iterator[tuple[float, Array, Array]]:
    """The same for squared Euclidean distances, in the DCT basis."""
    assert isinstance(detector, D2Neighbors)
    n, n_test = len(inputs[0]), len(inputs[1])
    for distances in _distances(torch.cat(inputs), n, detector.size, sigmas):
        distances[:n].fill_diagonal_(float("inf"))
        gamma = fit_gamma(distances[:n], detector.perplexity)
        scores = soft_minimum(distances, gamma).numpy()
        threshold = threshold_at(scores[:n], detector.threshold_fpr)
        yield threshold, scores[n : n + n_test], scores[n + n_test :]


def _distances(images: Tensor, n: int, size: int, sigmas: Sequence[float]) -> Tensor:
    """Squared distances (S, M, n) of M images to the first n of them, behind each blur."""
    spectra = torch.from_numpy(dctn(images.numpy(), axes=(2, 3), norm="ortho")).movedim(1, -1)
    frequency = np.arange(size)
    rings = np.round(_RINGS * np.hypot(frequency[:, None], frequency)).astype(np.intp)
    squares = [gaussian_response(size, sigma) ** 2 if sigma else np.ones(size) for sigma in sigmas]
    weights = np.stack([_ring_means(np.outer(square, square), rings) for square in squares])
    result = torch.zeros(len(sigmas), len(images), n, dtype=torch.float64)
    for ring in range(rings.max() + 1):
        u, v = np.nonzero(rings == ring)
        if len(u) and weights[:, ring].max() > 1e-12:
            x = spectra[:, u, v].flatten(1).double()
            power = (x**2).sum(1)
            energy = (power[:, None] + power[None, :n] - 2 * x @ x[:n].T).clamp_(min=0)
            result.add_(torch.from_numpy(weights[:, ring])[:, None, None] * energy)
    return result


def _ring_means(values: Array, rings: NDArray[np.intp]) -> Array:
    counts = np.bincount(rings.ravel())
    return np.asarray(np.bincount(rings.ravel(), values.ravel()) / np.maximum(counts, 1))
