"""How much of an anomaly score is high-frequency, and how much lies outside the defect, over a set of images.

An explanation gives a score to pixels, ``r_i``, and frequency bands, ``R_b``. Two fractions of what an image carries
say whether it scores for the right reason:

    high_frequency = sum of R_b from the cutoff on / sum of R_b
    outside        = 1 - sum_i m_i r_i / sum_i r_i

where ``m_i`` is the fraction of pixel i that the defect's mask covers. A number alone says little: ``outside`` is large
for any detector if the defect is small. So beside each stands what relevance without preference would have: the
fraction of all DCT coefficients that lie above the cutoff, and the fraction of the area that lies outside the mask.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from chinspect.anomaly.detector import Detector, explain_anomaly
from chinspect.anomaly.images import Images
from chinspect.errors import InputError
from chinspect.intervals import mean_interval
from chinspect.relevance import PAPER_EDGES, named_bands
from chinspect.report import Result, records

Values = NDArray[np.float64]
_BATCH = 32  # images explained at once: bounds memory
_CARRIED = 1e-3  # of the score: what fractions are taken of must not be rounding
_WORDS = {"high_frequency": "lies in high frequencies", "outside": "lies outside the defect"}


@dataclass(frozen=True, eq=False, repr=False)
class ScoreProfile(Result):
    """Where the scores of ``n`` images lie; see `score_profile`.

    Fractions are nan where the image carries nothing of its score. Relevance of single pixels and bands may be negative
    (PatchCore, and D2Neighbors behind a blur): then a fraction may leave [0, 1]. Above 1, what is counted is more than
    all and the rest takes from the score; below 0, what is counted takes from it.

    Attributes:
        high_frequency: (n,), the fraction of the DCT orders from ``cutoff`` on.
        outside: (n,), the fraction of the pixels outside the mask; nan without a mask.
        area_outside: (n,), the fraction of the area outside the mask, which a uniform map would have; nan likewise.
        label: (n,), 1 for a defect, 0 for a normal image; None where that is not known.
        cutoff: a DCT order ``u + v``, in half periods down plus those across the image.
        table: one row for each group of images (``normal``, ``defective``, or ``all`` without labels) and ``share``,
            one of the two fractions: the number of ``images`` that have it, its ``mean`` over them, the bootstrap
            interval of the mean from ``low`` to ``high``, and ``uniform``, the mean of what relevance without
            preference would have.
    """

    stem: ClassVar[str] = "profile"

    high_frequency: Values
    outside: Values
    area_outside: Values
    label: NDArray[np.int64] | None
    cutoff: int
    table: pd.DataFrame

    def to_frame(self) -> pd.DataFrame:
        """A copy of `table`."""
        return self.table.copy()

    @property
    def sentence(self) -> str:
        """Each row of the table in words."""
        rows = self.table.to_dict("records")
        return " ".join(
            f"{row['mean']:.0%} of the score of {row['group']} images {_WORDS[row['share']]}." for row in rows
        )

    def document(self) -> dict[str, Any]:
        """The cutoff and the table."""
        return {"cutoff": self.cutoff, "rows": records(self.table)}

    def tables(self) -> Mapping[str, pd.DataFrame]:
        """The table."""
        return {self.stem: self.table}

    def arrays(self) -> Mapping[str, Values]:
        """The fractions of each image."""
        return {name: getattr(self, name) for name in ("high_frequency", "outside", "area_outside")}


def score_profile(
    detector: Detector,
    X: Images,
    *,
    labels: ArrayLike | None = None,
    masks: Sequence[ArrayLike | None] | None = None,
    cutoff: int = PAPER_EDGES[-1],
    n_resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> ScoreProfile:
    """The fraction of anomaly scores in high frequencies and outside the defect, with intervals over the images.

    Args:
        detector: fitted, with explanations.
        X: a batch (n, C, H, W) in [-1, 1], or images on disk as the detector reads them.
        labels: (n,), 1 for a defect, 0 for a normal image.
        masks: of each image where its defect is: (h, w), booleans or numbers in [0, 1], of any size; it covers the
            full image, and is averaged over the area of each pixel of the detector's input, because all resizers
            squash. None, or a mask that marks nothing, for images without.
        cutoff: the DCT order at which high frequencies begin; by default 19, the highest band of Kauffmann et al. 2025.
        n_resamples, confidence, seed: of the percentile bootstrap, which draws images with replacement.

    Raises `InputError` for labels or masks that do not fit the images, a cutoff, confidence or number of resamples out
    of range, and a detector without explanation.
    """
    check_is_fitted(detector, "threshold_")
    if not 0 < confidence < 1 or n_resamples < 1:
        raise InputError(f"an interval needs a confidence in (0, 1) and resamples, not {confidence} and {n_resamples}.")
    shape = detector.image_shape_
    above = named_bands(shape, (cutoff,)).band(shape) == 1
    batches = [_fractions(detector, x, covers, cutoff) for x, covers in _batches(detector, X, masks)]
    high, outside, area = np.concatenate(batches, axis=1)
    label = None if labels is None else _labels(labels, len(high))
    uniform = np.full(len(high), float(above.double().mean()))
    interval = partial(mean_interval, n_resamples=n_resamples, confidence=confidence, seed=seed)
    table = _table({"high_frequency": (high, uniform), "outside": (outside, area)}, label, interval)
    return ScoreProfile(high, outside, area, label, cutoff, table)


def covered(mask: ArrayLike, shape: Sequence[int]) -> Values:
    """The fraction of each pixel of an image (..., H, W) that a mask (h, w) over the same image covers: (H, W).

    Raises `InputError` for a mask that is no matrix of numbers in [0, 1].
    """
    values = np.asarray(mask, dtype=np.float64)
    if values.ndim != 2 or not values.size or not ((values >= 0) & (values <= 1)).all():
        raise InputError(
            f"a mask holds booleans or numbers in [0, 1], (h, w), unlike this one of shape {values.shape}."
        )
    rows, columns = (_overlaps(*sides) for sides in zip(values.shape, shape[-2:], strict=True))
    result: Values = rows @ values @ columns.T
    return result


def _overlaps(source: int, size: int) -> Values:
    """The fraction of each of ``size`` equal cells that each of ``source`` equal cells fills: (size, source)."""
    ends = np.linspace(0, source, size + 1)
    cell = np.arange(source)
    lengths = np.minimum(ends[1:, None], cell + 1) - np.maximum(ends[:-1, None], cell)
    overlaps: Values = lengths.clip(0) * size / source
    return overlaps


def _batches(
    detector: Detector, X: Images, masks: Sequence[ArrayLike | None] | None
) -> Iterator[tuple[Tensor, list[Values | None]]]:
    """Images and what their masks cover, a few at a time; None where there is no mask or it marks nothing."""
    count = 0
    shape = detector.image_shape_
    remaining = iter(masks or ())
    for read in detector._batches(X, shape):
        for batch in read.split(_BATCH):
            covers = [None if mask is None else covered(mask, shape) for mask in islice(remaining, len(batch))]
            covers += [None] * (len(batch) - len(covers))
            yield batch, [cover if cover is not None and cover.any() else None for cover in covers]
            count += len(batch)
    if masks is not None and len(masks) != count:
        raise InputError(f"masks are one for each of the {count} images, or None, and these are {len(masks)}.")


def _fractions(detector: Detector, x: Tensor, covers: list[Values | None], cutoff: int) -> Values:
    """High-frequency fraction, fraction outside and area outside of each image of a batch: (3, n)."""
    marked = any(cover is not None for cover in covers)
    explanation = explain_anomaly(
        detector, x, bands=(cutoff,), components="pixel_bands" if marked else "bands", check=False
    )
    fractions = np.full((3, len(x)), np.nan)
    total = explanation.bands.sum(1)
    for i in np.flatnonzero(total > _CARRIED * explanation.score):
        fractions[0, i] = explanation.bands[i, 1] / total[i]
        cover = covers[i]
        if cover is not None:
            pixels = explanation.pixels[i].astype(np.float64)
            fractions[1:, i] = 1 - (pixels * cover).sum() / pixels.sum(), 1 - cover.mean()
    return fractions


def _labels(labels: ArrayLike, count: int) -> NDArray[np.int64]:
    values = np.asarray(labels)
    if values.shape != (count,) or not np.isin(values, (0, 1)).all():
        raise InputError(f"labels are 0 or 1 for each of the {count} images, not these of shape {values.shape}.")
    return values.astype(np.int64)


def _table(
    fractions: dict[str, tuple[Values, Values]],
    label: NDArray[np.int64] | None,
    interval: Callable[[Values], tuple[float, float]],
) -> pd.DataFrame:
    """One row for each group that has some image with this fraction."""
    columns = ["group", "share", "images", "mean", "low", "high", "uniform"]
    rows = []
    for group, value in (("all", None),) if label is None else (("normal", 0), ("defective", 1)):
        for name, (values, uniform) in fractions.items():
            known = np.isfinite(values) & (True if label is None else label == value)
            if known.any():
                low, high = interval(values[known])
                rows.append((group, name, int(known.sum()), values[known].mean(), low, high, uniform[known].mean()))
    return pd.DataFrame(rows, columns=columns)
