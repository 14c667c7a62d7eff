"""The honest table of an anomaly detector.

F1 alone misleads: where most test images are defective, calling everything anomalous already scores high. So every row
carries the F1 of that empty rule, rates with their intervals, the AUROC, which no threshold can spoil, and how far the
scores moved. A frozen threshold that fails while the re-tuned one does well is threshold drift; where both fail, the
classes are no longer apart.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import roc_auc_score

from chinspect.errors import InputError
from chinspect.intervals import wilson

Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Evaluation:
    """How well scores tell defects from normal images at one threshold; an image is anomalous if score > threshold.

    Attributes:
        n_normal, n_defect: numbers of test images.
        threshold: the frozen one.
        f1: of the class of defects, 0..1.
        f1_balanced: the same if both classes weighed the same: ``2 TPR / (1 + TPR + FPR)``.
        f1_all_positive: F1 of calling every image anomalous; its balanced form is 2/3.
        fpr, fnr: fractions of normal images called anomalous and of defects missed, with 95 % Wilson intervals.
        auroc: probability that a defect scores above a normal image.
        shift_normal, shift_defect: change of the median score against the reference, in interquartile ranges of the
            reference's normal images.
        threshold_retuned, f1_retuned: the threshold that makes F1 on these very scores largest, and that F1.
    """

    n_normal: int
    n_defect: int
    threshold: float
    f1: float
    f1_balanced: float
    f1_all_positive: float
    fpr: float
    fpr_low: float
    fpr_high: float
    fnr: float
    fnr_low: float
    fnr_high: float
    auroc: float
    shift_normal: float
    shift_defect: float
    threshold_retuned: float
    f1_retuned: float


def evaluate(scores: ArrayLike, labels: ArrayLike, threshold: float, reference: ArrayLike | None = None) -> Evaluation:
    """Fills one row of the table.

    Args:
        scores: (n,), higher is more anomalous.
        labels: (n,), 1 for a defect, 0 for a normal image.
        threshold: at which an image is called anomalous, if its score lies above.
        reference: scores (n,) of the same images before the change; the scores themselves by default.

    Raises `InputError` for scores that are not finite, lengths that differ, or a class without images.
    """
    values, truth = _checked(scores, labels)
    before = values if reference is None else _checked(reference, labels)[0]
    n_defect = int(truth.sum())
    n_normal = len(truth) - n_defect
    hits = int((values[truth] > threshold).sum())
    alarms = int((values[~truth] > threshold).sum())
    rates: dict[str, float] = {}
    for name, count, n in (("fpr", alarms, n_normal), ("fnr", n_defect - hits, n_defect)):
        low, high = wilson(count, n)
        rates |= {name: count / n, f"{name}_low": low, f"{name}_high": high}
    recall = 1 - rates["fnr"]
    retuned = best_threshold(values, truth)
    normals = before[~truth]
    return Evaluation(
        n_normal=n_normal,
        n_defect=n_defect,
        threshold=float(threshold),
        f1=f1_score(hits, alarms, n_defect),
        f1_balanced=2 * recall / (1 + recall + rates["fpr"]),
        f1_all_positive=f1_score(n_defect, n_normal, n_defect),
        **rates,
        auroc=float(roc_auc_score(truth, values)),
        shift_normal=score_shift(values[~truth], normals, normals),
        shift_defect=score_shift(values[truth], before[truth], normals),
        threshold_retuned=retuned,
        f1_retuned=f1_score(int((values[truth] > retuned).sum()), int((values[~truth] > retuned).sum()), n_defect),
    )


def f1_score(hits: int, alarms: int, n_defect: int) -> float:
    """F1 of the class of defects, ``2 TP / (2 TP + FP + FN)``, from true and false positives and all defects."""
    return 2 * hits / (hits + alarms + n_defect)


def best_threshold(scores: ArrayLike, labels: ArrayLike) -> float:
    """The score at which F1 is largest if every higher one is called anomalous; the lowest of several.

    This is the threshold of Kauffmann et al. 2025, chosen on the test scores themselves. Where nothing is better than
    to call every image anomalous, it lies just below the lowest score.
    """
    values, truth = _checked(scores, labels)
    order = np.argsort(-values, kind="stable")
    ranked = values[order]
    hits = np.cumsum(truth[order])
    # at the threshold ranked[i] all scores in front of the first tie with it are called anomalous
    above = np.searchsorted(-ranked, -ranked, side="left")
    true_positives = np.where(above > 0, hits[above - 1], 0)
    f1 = 2 * true_positives / (above + truth.sum())
    if 2 * truth.sum() / (len(truth) + truth.sum()) > f1.max():  # F1 of calling every image anomalous
        return float(np.nextafter(ranked[-1], -np.inf))
    return float(ranked[np.flatnonzero(f1 == f1.max())[-1]])


def score_shift(after: Scores, before: Scores, normals: Scores) -> float:
    """Difference of the medians in interquartile ranges of ``normals``; nan if these are all the same."""
    low, high = np.percentile(normals, [25, 75])
    shift = float(np.median(after) - np.median(before))
    return shift / float(high - low) if high > low else math.nan


def _checked(scores: ArrayLike, labels: ArrayLike) -> tuple[Scores, NDArray[np.bool_]]:
    values = np.asarray(scores, dtype=np.float64)
    truth = np.asarray(labels).astype(bool)
    if values.ndim != 1 or values.shape != truth.shape:
        raise InputError(f"Scores and labels must be two lists of one length, not {values.shape} and {truth.shape}.")
    if not np.isfinite(values).all():
        raise InputError(f"{int((~np.isfinite(values)).sum())} of {len(values)} scores are not finite.")
    if truth.all() or not truth.any():
        raise InputError(f"Normal images and defects are needed, not {int(truth.sum())} defects of {len(truth)}.")
    return values, truth
