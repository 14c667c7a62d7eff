"""What a stress test says, panel by panel, in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from chinspect.intervals import auroc_interval
from chinspect.report import records
from chinspect.stress.resizing import Prediction
from chinspect.stress.scoring import NONE

SMALL = 0.25
"""Interquartile ranges of normal scores: less than a quarter is seen by none but the closest decisions."""
_LARGE = 1.0  # so far lies a normal score of the upper quartile from the lower one
_WELL = 0.7  # a correlation from which on half of what images differ in is told


def verdicts(
    table: pd.DataFrame, steps: pd.DataFrame, predictions: Sequence[Prediction], trained: str
) -> dict[str, str]:
    """A sentence for each panel: ``scores``, ``errors``, ``steps`` and ``prediction``.

    Of several deployed resizers the one that moves scores most is told; without any, the changes are.

    Args:
        table, steps, predictions: of a `StressReport`.
        trained: the resizer that the detector was fitted with.
    """
    own = table[table["mitigation"] == NONE]
    before, *rest = records(own)
    deployed = [row for row in rest if row["change"] == NONE and row["resizer"] != trained]
    told = {"steps": _steps(steps), "prediction": " ".join(map(_prediction, predictions))}
    if not (deployed or rest):
        return {"scores": "", "errors": _separation(before), **told}
    worst = max(deployed or rest, key=_shift)
    return {"scores": _scores(worst), "errors": f"{_separation(before)} {_errors(before, worst)}".strip(), **told}


def beside(even: float, low: float, high: float) -> str:
    """What a fraction with an interval is beside that of an even spread."""
    return "high" if low > even else "low" if high < even else "as an even spread has it"


def size(shift: float) -> str:
    """What a shift in interquartile ranges is."""
    return "large" if abs(shift) >= _LARGE else "noticeable" if abs(shift) >= SMALL else "small"


def correlation_interval(r: float, n: int) -> tuple[float, float]:
    """The 95 % interval of a correlation of n pairs by Fisher's z (1921); all of [-1, 1] for fewer than 4."""
    if n < 4:
        return -1.0, 1.0
    centre = np.arctanh(np.clip(r, -1 + 1e-12, 1 - 1e-12))
    half = 1.96 / math.sqrt(n - 3)
    return float(np.tanh(centre - half)), float(np.tanh(centre + half))


def _name(row: dict[str, Any]) -> str:
    return str(row["resizer"] if row["change"] == NONE else row["change"])


def _shift(row: dict[str, Any]) -> float:
    """The larger shift of the two groups; 0 where it has no unit."""
    return max(abs(row[key] or 0.0) for key in ("shift_normal", "shift_defect"))


def _scores(row: dict[str, Any]) -> str:
    if row["shift_normal"] is None:
        return f"Under {_name(row)} the shift of scores has no unit: normal images all score the same."
    return (
        f"{_name(row)} moves normal scores by {row['shift_normal']:+.2f} and defects by {row['shift_defect']:+.2f} "
        f"interquartile ranges (IQR) of normal scores: {size(_shift(row))}."
    )


def _separation(before: dict[str, Any]) -> str:
    """A sentence on a detector that tells nothing from the start; empty otherwise."""
    low, _ = auroc_interval(before["auroc"], before["n_defect"], before["n_normal"])
    if low > 0.5:
        return ""
    return f"No better than chance even without a change: AUROC {before['auroc']:.2f}."


def _errors(before: dict[str, Any], after: dict[str, Any]) -> str:
    """Rates before and after, and whether they differ by more than their intervals."""
    worse = any(after[f"{rate}_low"] > before[f"{rate}_high"] for rate in ("fpr", "fnr"))
    judged = "the decisions do not survive" if worse else "no worse beyond chance"
    return (
        f"Under {_name(after)} {after['fpr']:.0%} of normal images are called anomalous (before {before['fpr']:.0%}) "
        f"and {after['fnr']:.0%} of defects are missed (before {before['fnr']:.0%}): {judged}."
    )


def _steps(steps: pd.DataFrame) -> str:
    if not len(steps):
        return ""
    largest = max(records(steps), key=lambda step: abs(step["shift_normal"] or 0.0))
    if largest["shift_normal"] is None:
        return ""
    return (
        f"Most of all, {largest['step']} moves normal scores: {largest['shift_normal']:+.2f} IQR, "
        f"{size(largest['shift_normal'])}."
    )


def _prediction(prediction: Prediction) -> str:
    """What the correlation of predicted and measured shifts means."""
    r = prediction.correlation
    if math.isnan(r):
        return f"{prediction.resizer}: all shifts are the same, and there is nothing to correlate."
    low, high = correlation_interval(r, len(prediction.label))
    if low <= 0:
        meaning = "it tells nothing of which images shift"
    else:
        meaning = f"it tells {'well' if r >= _WELL else 'in part'} which images shift more"
    return f"{prediction.resizer}: r = {r:.2f} [{low:.2f}, {high:.2f}], {meaning}."
