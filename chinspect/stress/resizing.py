"""What a switch of the resizer does to scores: step by step, and told before from the relevance by frequency.

**Steps.** OpenCV's nearest neighbour reads pixels up to half a step beside the centres, so the switch to an
antialiased resizer moves the image and filters it. The chain ``nearest -> nearest-exact -> linear -> antialiased``
takes both apart.

**Prediction.** A squared distance between an image and normal ones is a sum over frequency bands. Under another resizer
the image's bands change, those of the training images do not. Let ``V_b`` be the power of normal images around their
mean in band ``b``, ``V'_b`` the same behind the new resizer, and ``m_b``, ``m'_b`` the means. What is special in an
image passes the resizer with the gain ``g_b = V'_b / V_b``; what all images have in common moves by ``|m'_b - m_b|^2``,
in units of the squared distance of two normal images the drift ``d_b = |m'_b - m_b|^2 / (2 V_b)``. Half of a distance
comes from the training images, which keep theirs. So a score with the relevance ``R_b``, and ``N_b`` on average over
normal images, should shift by

    sum_b R_b (g_b - 1) / 2 + N_b d_b.

Only normal images, the resizer and the explanation enter: the prediction can be made before deployment. It is derived
for squared Euclidean distances; for other scores the correlation with the measured shift says what it is worth.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.fft import dctn

from chinspect.anomaly import Detector, explain_anomaly
from chinspect.datasets import MVTecCategory
from chinspect.errors import InputError
from chinspect.images import load_inputs
from chinspect.relevance import band_edges
from chinspect.stress.metrics import score_shift

Array = NDArray[np.float64]
_BANDS = 16  # fine enough to tell kernels apart, and each holds many coefficients, whose power is then well known
EXPLAINED = 32
"""Test images that are explained: results are averages, more would only cost time."""
_TRAINING = 64  # images for spectra, likewise
CHAIN = ("opencv-nearest", "opencv-nearest-exact", "opencv-linear")
"""Resizers between the crudest and an antialiased one; each differs from the one before in one thing."""
_PROPERTIES = {
    "opencv-nearest": ("corner", "nearest", False),
    "opencv-linear": ("centre", "linear", False),
    "opencv-cubic": ("centre", "cubic", False),
    "opencv-area": ("centre", "box", True),
    "opencv-nearest-exact": ("centre", "nearest", False),
    "pillow-nearest": ("centre", "nearest", False),
    "pillow-bilinear": ("centre", "linear", True),
    "pillow-bicubic": ("centre", "cubic", True),
    "pillow-lanczos": ("centre", "lanczos", True),
    "torch-bilinear": ("centre", "linear", False),
    "torch-bilinear-aa": ("centre", "linear", True),
    "torch-bicubic-aa": ("centre", "cubic", True),
}  # where a cell is sampled, the kernel, and whether the kernel widens as images get smaller


def chain(train: str, deployed: str) -> tuple[str, ...]:
    """The resizers from the training one to the deployed one, both included; empty if the first is not in `CHAIN`.

    >>> chain("opencv-nearest", "pillow-bilinear")
    ('opencv-nearest', 'opencv-nearest-exact', 'opencv-linear', 'pillow-bilinear')
    """
    if train not in CHAIN or train == deployed:
        return ()
    rest = CHAIN[CHAIN.index(train) :]
    return (*rest[: rest.index(deployed)], deployed) if deployed in rest else (*rest, deployed)


def step(before: str, after: str) -> str:
    """What differs between two resizers: ``phase``, ``interpolation``, ``antialiasing``, several, or ``rounding``.

    >>> step("opencv-linear", "pillow-lanczos")
    'interpolation + antialiasing'
    """
    names = ("phase", "interpolation", "antialiasing")
    properties = zip(names, _PROPERTIES[before], _PROPERTIES[after], strict=True)
    return " + ".join(name for name, old, new in properties if old != new) or "rounding"


def decompose(
    links: tuple[str, ...], scores: dict[str, NDArray[np.float64]], labels: NDArray[np.int64]
) -> pd.DataFrame:
    """What each link of a chain adds to the score shift of all.

    Args:
        links: see `chain`.
        scores: of the test images (n,), for each resizer of the chain.
        labels: (n,), 1 for a defect.

    Returns:
        One row a step with ``deployed``, ``step``, ``from``, ``to``, and for ``normal`` images and for ``defect`` ones
        the ``shift`` in interquartile ranges of the normal scores before any step, and its ``share`` of the shift of
        all steps: these fractions sum to 1, and lie outside 0..1 where steps work against each other.
    """
    groups = {"normal": labels == 0, "defect": labels == 1}
    first = scores[links[0]]
    last = scores[links[-1]]
    normals = first[groups["normal"]]
    rows = []
    for before, after in pairwise(links):
        row: dict[str, str | float] = {"deployed": links[-1], "step": step(before, after), "from": before, "to": after}
        for name, group in groups.items():
            shift = score_shift(scores[after][group], scores[before][group], normals)
            total = score_shift(last[group], first[group], normals)
            row |= {f"shift_{name}": shift, f"share_{name}": shift / total if total else np.nan}
        rows.append(row)
    return pd.DataFrame(rows)


@dataclass(frozen=True, eq=False)
class Prediction:
    """Score shifts of test images under a new resizer.

    Attributes:
        resizer: the new one.
        gain: (B,), how much of the power of each band passes, see the module.
        predicted, measured: (n,), shifts in units of the score.
        label: (n,), 1 for a defect.
    """

    resizer: str
    gain: Array
    predicted: Array
    measured: Array
    label: NDArray[np.int64]

    @property
    def correlation(self) -> float:
        """Pearson's, over the images; nan where one of the two is constant."""
        if not np.std(self.predicted) * np.std(self.measured):
            return float("nan")
        return float(np.corrcoef(self.predicted, self.measured)[0, 1])

    @property
    def slope(self) -> float:
        """Of the line ``measured = slope * predicted``, by least squares: 1 for a perfect prediction."""
        power = float(self.predicted @ self.predicted)
        return float(self.predicted @ self.measured) / power if power else float("nan")

    def summary(self) -> dict[str, str | float]:
        """One row of a table."""
        return {
            "resizer": self.resizer,
            "images": len(self.predicted),
            "predicted_mean": self.predicted.mean(),
            "measured_mean": self.measured.mean(),
            "correlation": self.correlation,
            "slope": self.slope,
        }


def predict_shift(detector: Detector, dataset: MVTecCategory, measured: Mapping[str, Array]) -> tuple[Prediction, ...]:
    """Predicts the shifts of the test scores from the training resizer to others, beside the measured ones.

    At most 32 test images are explained, spread evenly over the data set.

    Args:
        detector: fitted.
        dataset: its training images tell the transfer.
        measured: for each new resizer, by name, the shifts of all test scores (n,).

    Raises `InputError` where the detector has no explanation by frequency.
    """
    indices = evenly(len(dataset.test), EXPLAINED)
    inputs = load_inputs([dataset.test[i] for i in indices], detector.resizer, detector.size)
    edges = band_edges(inputs.shape, _BANDS)
    explanation = explain_anomaly(detector, inputs, bands=edges, components="bands")
    relevance = np.asarray(explanation.bands, dtype=np.float64)
    labels = dataset.labels[indices]
    normal = relevance[labels == 0].mean(0)
    predictions = []
    for resizer, shifts in measured.items():
        gain, drift = transfer(dataset.train, detector.resizer, resizer, detector.size, edges)
        predicted = relevance @ (gain - 1) / 2 + normal @ drift
        predictions.append(Prediction(resizer, gain, predicted, shifts[indices], labels))
    return tuple(predictions)


def transfer(normals: Sequence[Path], before: str, after: str, size: int, edges: Sequence[int]) -> tuple[Array, Array]:
    """The gain and the drift (B,) of each band between two resizers, from normal images; see the module.

    Raises `InputError` for fewer than two images.
    """
    if len(normals) < 2:
        raise InputError(f"At least 2 normal images are needed for the spread of a spectrum, not {len(normals)}.")
    paths = [normals[i] for i in evenly(len(normals), _TRAINING)]
    old = _spectra(paths, before, size)
    new = _spectra(paths, after, size)
    moved = ((new.mean(0, dtype=np.float64) - old.mean(0, dtype=np.float64)) ** 2).sum(0)
    moved -= _variance(new - old) / len(paths)  # means of few images differ by chance too
    power = np.maximum(_by_band(_variance(old), edges), 1e-12)  # a band that is empty in all images keeps its gain
    new_power = _by_band(_variance(new), edges)
    return new_power / power, _by_band(moved, edges).clip(0) / (2 * power)


def _spectra(paths: Sequence[Path], resizer: str, size: int) -> NDArray[np.float32]:
    """Orthonormal DCT-II of each image and channel, (N, 3, size, size)."""
    inputs = load_inputs(paths, resizer, size).numpy()
    return np.asarray(dctn(inputs, axes=(2, 3), norm="ortho", overwrite_x=True), dtype=np.float32)


def _variance(spectra: NDArray[np.float32]) -> Array:
    """Unbiased, summed over channels: (size, size)."""
    return np.asarray(spectra.var(0, ddof=1, dtype=np.float64).sum(0))


def _by_band(power: Array, edges: Sequence[int]) -> Array:
    order = np.add.outer(*(np.arange(side) for side in power.shape))
    sums = np.bincount(np.searchsorted(edges, order.ravel(), side="right"), power.ravel(), len(edges) + 1)
    return sums.astype(np.float64)


def evenly(count: int, most: int) -> NDArray[np.intp]:
    """At most ``most`` of ``count`` indices, evenly spaced."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.intp))
