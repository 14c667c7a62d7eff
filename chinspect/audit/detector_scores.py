"""Scores of the images of an audit under every condition: resizers, acquisition changes, and the placebo."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from chinspect.anomaly import Detector
from chinspect.audit.decisions import PLACEBO
from chinspect.audit.detector_images import AuditedImages
from chinspect.errors import InputError
from chinspect.intervals import wilson
from chinspect.report import Block, Section, Table
from chinspect.stress import Condition, Prediction, chain, decompose, evaluate, predict_shift, score_conditions
from chinspect.stress.scoring import NONE

Scores = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Scored:
    """Scores of the images of an audit under all conditions.

    Attributes:
        detector: which made them.
        tested: the images.
        scores: (n,) by condition, that of training first.
        predictions: by resizer, where the detector explains itself by frequency.
    """

    detector: Detector
    tested: AuditedImages
    scores: Mapping[Condition, Scores]
    predictions: Mapping[str, Prediction]

    @property
    def trained(self) -> Scores:
        """Under the resizer of training, unchanged."""
        return self.scores[Condition(self.detector.resizer)]

    @property
    def placebo(self) -> Scores:
        """Under the least change."""
        return self.scores[Condition(self.detector.resizer, PLACEBO)]


def conditions_of(detector: Detector, deploy: Sequence[str], changes: Sequence[str]) -> list[Condition]:
    """Those that are judged, that of training first: deployed resizers, changes, the placebo."""
    resizers = [Condition(resizer) for resizer in (detector.resizer, *deploy)]
    return list(dict.fromkeys([*resizers, *(Condition(detector.resizer, name) for name in (*changes, PLACEBO))]))


def score_images(
    detector: Detector,
    tested: AuditedImages,
    conditions: Sequence[Condition],
    *,
    seed: int = 0,
    resume: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Scored:
    """Scores all images under all conditions and those of the chains between resizers, each image decoded once.

    Raises `InputError` as `chinspect.stress.score_conditions` does.
    """
    trained = detector.resizer
    deployed = [one.resizer for one in conditions if one.change == NONE and one.resizer != trained]
    links = [Condition(name) for resizer in deployed for name in chain(trained, resizer)]
    every = list(dict.fromkeys([*conditions, *links]))
    paths = tested.category.test
    rows = score_conditions([detector], paths, every, seed=seed, resume=resume, progress=progress)[0]
    scores = dict(zip(every, rows, strict=True))
    shifts = {name: scores[Condition(name)] - rows[0] for name in deployed}
    predictions: tuple[Prediction, ...] = ()
    with suppress(InputError):  # an adapted function has no bands, a folder without normal images no spectra
        predictions = predict_shift(detector, tested.category, shifts)
    return Scored(detector, tested, scores, {one.resizer: one for one in predictions})


def stress_section(scored: Scored) -> Section:
    """What a switch of resizers consists of, step by step, and all conditions beside each other."""
    category = scored.tested.category
    rows = [{"condition": name_of(one), **rates(scored, one)} for one in scored.scores]
    blocks: list[Block] = [Table(pd.DataFrame(rows), "All conditions at the frozen threshold, with 95 % intervals")]
    trained = scored.detector.resizer
    links = [chain(trained, one.resizer) for one in scored.scores if one.change == NONE]
    by_resizer = {one.resizer: values for one, values in scored.scores.items() if one.change == NONE}
    if scored.tested.labelled:
        steps = [decompose(one, by_resizer, category.labels) for one in links if len(one) > 2]
        if steps:
            blocks.append(Table(pd.concat(steps), "What the switch of resizers consists of, in IQR of normal scores"))
    return Section("Scores under all conditions", blocks)


def name_of(condition: Condition) -> str:
    """What a condition is called: the change, or the resizer where there is none."""
    return condition.resizer if condition.change == NONE else condition.change


def rates(scored: Scored, condition: Condition, threshold: float | None = None) -> dict[str, Any]:
    """Numbers of a condition: with labels those of `chinspect.stress.Evaluation`, else how many are anomalous."""
    values = scored.scores[condition]
    limit = scored.detector.threshold_ if threshold is None else threshold
    if scored.tested.labelled:
        return vars(evaluate(values, scored.tested.category.labels, limit, scored.trained))
    count = int((values > limit).sum())
    low, high = wilson(count, len(values))
    return {
        "images": len(values),
        "anomalous": count / len(values),
        "anomalous_low": low,
        "anomalous_high": high,
        "shift": shift_of(scored, values),
    }


def shift_of(scored: Scored, values: Scores) -> float:
    """Change of the median score of images that count as normal, in their IQR before; nan if these are all the same."""
    normal = scored.tested.normal
    before = scored.trained[normal]
    low, high = np.percentile(before, [25, 75])
    shift = float(np.median(values[normal]) - np.median(before))
    return shift / float(high - low) if high > low else math.nan
