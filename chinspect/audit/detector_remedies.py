"""Remedies for a detector whose decisions do not survive: a blur, a new threshold, both; tested as before.

A new threshold comes from normal test images behind the deployed resizer, every second one, which are then not judged:
before and after are compared on all others. Beside it stands its control, as new a threshold from the same images
behind the resizer of training: what it does is the effect of looking at these images, and not of the deployment.
A new threshold helps against a resizer, which stays; not against light or compression, which come and go.

A remedy never fails a gate: it is ``clear`` where nothing is a stress behind it, and ``undecided`` where something is,
or where the worst condition has more false alarms and missed defects together than before: a detector that calls
everything normal is robust, too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from chinspect.anomaly import Detector, threshold_at
from chinspect.audit.decisions import PLACEBO, Turned, judge_changes
from chinspect.audit.detector_images import AuditedImages, subset
from chinspect.audit.detector_scores import Scored, name_of, rates, score_images
from chinspect.audit.finding import AuditFinding, Status
from chinspect.errors import InputError
from chinspect.mitigate import detector_remedy
from chinspect.report import Block, Table
from chinspect.stress import Condition, check_rate
from chinspect.stress.scoring import NONE

_COLUMNS = ("remedy", "condition", "turned", "placebo", "status", "fpr", "fpr_low", "fpr_high", "fnr", "auroc")
_CONTROL = "new threshold of the usual resizer (control)"
_MATTERS = 0.05  # AUROC: by less than this a remedy may cost in separation without a word


@dataclass(frozen=True, eq=False)
class Judged:
    """A detector with a remedy, or with none, under all conditions.

    Attributes:
        name: of the remedy.
        scored: scores of the images that are judged.
        thresholds: by condition.
        turned: by the name of a condition.
    """

    name: str
    scored: Scored
    thresholds: dict[Condition, float]
    turned: dict[str, Turned]

    @property
    def stressed(self) -> list[str]:
        """Conditions that are a stress."""
        return [name for name, one in self.turned.items() if one.status == "stress"]

    @property
    def worst_errors(self) -> float:
        """The largest sum of both error rates under a condition; 0 without labels, where nobody knows."""
        return max(row.get("fpr", 0.0) + row.get("fnr", 0.0) for row in self.rows())

    def rows(self) -> list[dict[str, Any]]:
        """A row a condition."""
        rows = []
        for condition, threshold in self.thresholds.items():
            name = name_of(condition)
            judged = vars(self.turned[name]) if name in self.turned else {}
            rows.append({"remedy": self.name, "condition": name} | judged | rates(self.scored, condition, threshold))
        return rows


def blurred(detector: Detector, tested: AuditedImages) -> Detector:
    """A detector like it, fitted behind a blur on the normal images that are known.

    Raises `InputError` where there are none.
    """
    if not tested.normals:
        raise InputError("there are no normal images to fit a detector behind a blur on: give normals.")
    remedied = detector_remedy("blur", detector, list(tested.normals)).detector
    assert remedied is not None
    return remedied


def remedy_findings(
    scored: Scored,
    behind: Detector | None,
    conditions: Sequence[Condition],
    *,
    seed: int,
    resume: Path | None,
    level: float = 0.05,
    progress: Callable[[int, int], None] | None = None,
) -> list[AuditFinding]:
    """A finding for each remedy, with the same conditions before and after.

    Args:
        behind: the detector behind a blur; None where none could be fitted.
    """
    tested = scored.tested
    remedied = {"new threshold": scored}
    blur: list[Scored] = []
    if behind is not None:
        blur = [score_images(behind, tested, conditions, seed=seed, resume=resume, progress=progress)]
        remedied["blur and new threshold"] = blur[0]
    held_out, rest = _divided(tested)
    before = _judged("none", _of(scored, rest), conditions, {}, level)
    after = [_judged("blur", _of(one, rest), conditions, {}, level) for one in blur]
    missing = ""
    try:
        check_rate(scored.detector.threshold_fpr, len(held_out))
        after += [_recalibrated(name, one, held_out, rest, conditions, level) for name, one in remedied.items()]
        control = {one: _threshold(scored, Condition(scored.detector.resizer), held_out) for one in conditions}
        after.append(_judged(_CONTROL, _of(scored, rest), conditions, control, level))
    except InputError as error:
        missing = str(error)
    table = pd.DataFrame([row for one in (before, *after) for row in one.rows()])
    shown = table[[column for column in _COLUMNS if column in table]]
    caption = f"The same {len(rest)} images before and after"
    findings = [_finding(before, one, [Table(shown, caption)]) for one in after if one.name != _CONTROL]
    if missing:
        sentence = f"A new threshold was not tried: {missing}"
        findings.append(AuditFinding("remedy/new threshold", "untested", "Remedy: new threshold", sentence))
    return findings


def _divided(tested: AuditedImages) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Normal images that a new threshold is set on, and those that are judged; without labels all are judged."""
    everyone = np.arange(len(tested.category.test))
    if not tested.labelled:
        return everyone[:0], everyone
    held_out = np.flatnonzero(tested.normal)[::2]
    return held_out, np.setdiff1d(everyone, held_out)


def _of(scored: Scored, indices: np.ndarray[Any, Any]) -> Scored:
    """The scores of some of the images."""
    tested = replace(scored.tested, category=subset(scored.tested.category, indices))
    return replace(scored, tested=tested, scores={one: row[indices] for one, row in scored.scores.items()})


def _threshold(scored: Scored, condition: Condition, held_out: np.ndarray[Any, Any]) -> float:
    """From the scores of held-out normal images under a condition."""
    return threshold_at(scored.scores[condition][held_out], scored.detector.threshold_fpr)


def _recalibrated(
    name: str,
    scored: Scored,
    held_out: np.ndarray[Any, Any],
    rest: np.ndarray[Any, Any],
    conditions: Sequence[Condition],
    level: float,
) -> Judged:
    """With thresholds of each resizer's own, and those of training's resizer under the changes."""
    trained = Condition(scored.detector.resizer)
    thresholds = {one: _threshold(scored, one if one.change == NONE else trained, held_out) for one in conditions}
    return _judged(name, _of(scored, rest), conditions, thresholds, level)


def _judged(
    name: str, scored: Scored, conditions: Sequence[Condition], thresholds: dict[Condition, float], level: float
) -> Judged:
    """The rule of `judge_changes`, at thresholds that may differ by condition; frozen where none is named."""
    limits = {one: thresholds.get(one, scored.detector.threshold_) for one in conditions}
    decisions = {one: scored.scores[one] > limit for one, limit in limits.items()}
    before, *after = conditions
    changed = {name_of(one): decisions[one] for one in after if one.change != PLACEBO}
    placebo = decisions[Condition(scored.detector.resizer, PLACEBO)]
    return Judged(name, scored, limits, judge_changes(decisions[before], changed, placebo, level=level))


def _finding(before: Judged, after: Judged, blocks: list[Block]) -> AuditFinding:
    """What a remedy changed."""
    worse = after.worst_errors > before.worst_errors
    status: Status = "undecided" if after.stressed or worse else "clear"
    sentence = (
        f"Behind the remedy, decisions {_stay(after)}; before, they {_stay(before)}. {_worst(before, after)}"
        f"{_cost(before, after)}"
    )
    if worse:
        sentence += (
            f" Under its worst condition, rates of false alarms and of missed defects add to {after.worst_errors:.0%}, "
            f"before to {before.worst_errors:.0%}: it does not help."
        )
    advice = "It does not mend everything: see the table for what it leaves." if status == "undecided" else ""
    numbers = {"stressed_before": before.stressed, "stressed_after": after.stressed}
    return AuditFinding(f"remedy/{after.name}", status, f"Remedy: {after.name}", sentence, advice, numbers, (), blocks)


def _stay(judged: Judged) -> str:
    """Whether decisions stay, in words."""
    if not judged.stressed:
        return f"stay under all {len(judged.turned)} conditions"
    return f"do not stay under {len(judged.stressed)} of {len(judged.turned)} ({', '.join(judged.stressed)})"


def _worst(before: Judged, after: Judged) -> str:
    """The condition that turned most decisions, before and after."""
    names = [name for name in before.turned if name != PLACEBO]
    if not names:
        return ""
    worst = max(names, key=lambda name: before.turned[name].turned)
    old, new = before.turned[worst], after.turned[worst]
    words = f"Under {worst}, {old.turned} of {old.images} decisions turned before and {new.turned} turn now."
    if not before.scored.tested.labelled:
        return words
    (condition,) = [one for one in before.thresholds if name_of(one) == worst]
    first = rates(before.scored, condition, before.thresholds[condition])
    second = rates(after.scored, condition, after.thresholds[condition])
    return (
        f"{words} {first['fpr']:.0%} of normal images were called anomalous there and {second['fpr']:.0%} "
        f"[{second['fpr_low']:.0%}, {second['fpr_high']:.0%}] are now; {first['fnr']:.0%} of defects were missed and "
        f"{second['fnr']:.0%} are now."
    )


def _cost(before: Judged, after: Judged) -> str:
    """What a remedy takes from the separation without any change."""
    if not before.scored.tested.labelled:
        return ""
    trained = Condition(before.scored.detector.resizer)
    old, new = (rates(one.scored, trained)["auroc"] for one in (before, after))
    return f" It costs separation: AUROC {new:.2f}, before {old:.2f}." if old - new > _MATTERS else ""
