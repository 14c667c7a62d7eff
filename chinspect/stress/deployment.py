"""Does a detector survive its deployment? The test of the resizer, and of other changes that should not matter."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from chinspect.anomaly import Detector, score_profile, threshold_at
from chinspect.datasets import MVTecCategory
from chinspect.errors import InputError, did_you_mean
from chinspect.files import shown
from chinspect.images import check_resizer
from chinspect.stress.changes import CHANGES, check_changes
from chinspect.stress.metrics import best_threshold, evaluate
from chinspect.stress.report import KEYS, StressReport
from chinspect.stress.resizing import EXPLAINED, Prediction, chain, decompose, evenly, predict_shift
from chinspect.stress.scoring import NONE, Condition, Mitigation, score_conditions

Protocol = Literal["deploy", "kauffmann2025-text", "kauffmann2025-code"]
_PUBLISHED = {"kauffmann2025-text": "opencv-nearest", "kauffmann2025-code": "opencv-cubic"}


def stress(
    detector: Detector,
    dataset: MVTecCategory,
    *,
    deploy: Sequence[str] = ("pillow-bilinear",),
    protocol: Protocol = "deploy",
    changes: Sequence[str] = tuple(CHANGES),
    mitigate: Sequence[Mitigation] = (),
    seed: int = 0,
    resume: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> StressReport:
    """Scores a data set's test images under every resizer and change, and judges the decisions.

    Args:
        detector: fitted on normal images, read with `detector.resizer`.
        dataset: its test images are scored.
        deploy: names of `chinspect.images.resizers.RESIZERS` to switch to, without fitting again.
        protocol: where the frozen threshold comes from. ``deploy``: from normal images only, `detector.threshold_`.
            ``kauffmann2025-text`` and ``-code``: it makes F1 on the test scores under the training resizer largest, as
            published; the text trains with ``opencv-nearest``, the code with ``opencv-cubic``.
        changes: names of `CHANGES`, each applied to the originals before the training resizer.
        mitigate: remedies; each gets the same rows as the detector itself.
        seed: of what changes draw.
        resume: a folder where scores are stored as they are made: an interrupted test that is run again goes on where
            it stopped. Scores of other detectors, images, conditions or seeds are never read.
        progress: called with the number of images scored and in all.

    Raises `InputError` for names that are not known, a detector whose resizer the protocol does not have, scores that
    are not finite, images that cannot be read, and, before any work, masks that do not fit.

    Source: Kauffmann et al. 2025, the study of D2Neighbors and PatchCore.
    """
    trained = detector.resizer
    _check_protocol(protocol, trained)
    for resizer in (trained, *deploy):
        check_resizer(resizer, detector.size)
    check_changes(changes)
    _check_names([remedy.name for remedy in mitigate])
    explained = evenly(len(dataset.test), EXPLAINED)
    masks = [None if dataset.masks[i] is None else dataset.mask(i) for i in explained]  # refused before the work
    plan = _Plan(trained, [resizer for resizer in dict.fromkeys(deploy) if resizer != trained], changes)
    remedies = [Mitigation(NONE), *mitigate]
    detectors = [remedy.detector or detector for remedy in remedies]
    score = partial(score_conditions, seed=seed, resume=resume, progress=progress)
    scores = score(detectors, dataset.test, plan.conditions)
    thresholds = []
    for remedy, scorer, (unchanged, *_) in zip(remedies, detectors, scores, strict=True):
        if remedy.normals:
            normal = score([scorer], remedy.normals, plan.judged)[0]
            thresholds.append([threshold_at(values, remedy.fpr) for values in normal])
        else:
            frozen = scorer.threshold_ if protocol == "deploy" else best_threshold(unchanged, dataset.labels)
            thresholds.append([frozen] * len(plan.judged))
    table, single = _tables([remedy.name for remedy in remedies], plan.judged, scores, thresholds, dataset)
    by_resizer = {c.resizer: row for c, row in zip(plan.conditions, scores[0], strict=True) if c.change == NONE}
    shifts = {name: by_resizer[name] - by_resizer[trained] for name in plan.deployed}
    predictions, shares = _explained(detector, dataset, masks, shifts)
    steps = [decompose(links, by_resizer, dataset.labels) for links in plan.chains]
    return StressReport(
        dataset=shown(dataset.name),
        detector=type(detector).__name__,
        protocol=protocol,
        train_resizer=trained,
        table=table,
        steps=pd.concat(steps, ignore_index=True) if steps else pd.DataFrame(),
        scores=single,
        predictions=predictions,
        shares=shares,
    )


@dataclass(frozen=True)
class _Plan:
    """Which conditions are scored: the training resizer, the deployed ones without repeats, and the changes."""

    trained: str
    deployed: Sequence[str]
    changes: Sequence[str]

    @property
    def judged(self) -> list[Condition]:
        """Those with a row in the table, the unchanged one first."""
        changed = [Condition(self.trained, change) for change in self.changes]
        return [Condition(self.trained), *map(Condition, self.deployed), *changed]

    @property
    def chains(self) -> list[tuple[str, ...]]:
        """Resizers from the training one to each deployed one, where there is a chain."""
        return [links for links in (chain(self.trained, resizer) for resizer in self.deployed) if links]

    @property
    def conditions(self) -> list[Condition]:
        """Those that are judged, then the other steps of the chains."""
        steps = (Condition(resizer) for links in self.chains for resizer in links)
        return list(dict.fromkeys([*self.judged, *steps]))


def _tables(
    names: Sequence[str],
    conditions: Sequence[Condition],
    scores: NDArray[np.float64],
    thresholds: Sequence[Sequence[float]],
    dataset: MVTecCategory,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Of each remedy and condition, one row of the honest table, and the scores of all images.

    Scores (remedies, conditions, images) may go on with other conditions.
    """
    images = {"image": [shown(f"{path.parent.name}/{path.name}") for path in dataset.test], "label": dataset.labels}
    rows = []
    single = []
    for name, of_remedy, limits in zip(names, scores, thresholds, strict=True):
        for condition, values, limit in zip(conditions, of_remedy, limits, strict=False):
            key = dict(zip(KEYS, (name, condition.resizer, condition.change), strict=True))
            rows.append(key | vars(evaluate(values, dataset.labels, limit, of_remedy[0])))
            single.append(pd.DataFrame(key | images | {"score": values}))
    return pd.DataFrame(rows), pd.concat(single, ignore_index=True)


def _explained(
    detector: Detector,
    dataset: MVTecCategory,
    masks: Sequence[NDArray[np.bool_] | None],
    shifts: Mapping[str, NDArray[np.float64]],
) -> tuple[tuple[Prediction, ...], pd.DataFrame]:
    """Predictions and shares, each where it can be had: an adapted callable has none, small images lack bands."""
    predictions: tuple[Prediction, ...] = ()
    shares = pd.DataFrame()
    indices = evenly(len(dataset.test), EXPLAINED)
    paths = [dataset.test[i] for i in indices]
    with suppress(InputError):
        predictions = predict_shift(detector, dataset, shifts)
    with suppress(InputError):
        shares = score_profile(detector, paths, labels=dataset.labels[indices], masks=masks).table
    return predictions, shares


def _check_protocol(protocol: str, trained: str) -> None:
    if protocol not in get_args(Protocol):
        raise InputError(
            f"The protocol {protocol!r} is not known{did_you_mean(protocol, get_args(Protocol))}; "
            f"use one of {', '.join(get_args(Protocol))}."
        )
    if _PUBLISHED.get(protocol, trained) != trained:
        raise InputError(f"The protocol {protocol} trains with {_PUBLISHED[protocol]}, not with {trained!r}.")


def _check_names(names: Sequence[str]) -> None:
    if NONE in names or len(set(names)) < len(names):
        raise InputError(f"Each mitigation needs a name of its own, other than {NONE!r}: {list(names)}.")
