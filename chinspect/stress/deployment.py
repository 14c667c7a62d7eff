"""Does a detector survive its deployment? The test of the resizer, and of other changes that should not matter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from chinspect.anomaly import Detector, score_profile, threshold_at
from chinspect.datasets import MVTecCategory
from chinspect.errors import InputError
from chinspect.files import shown
from chinspect.images.resizers import check_resizer
from chinspect.stress.changes import CHANGES
from chinspect.stress.metrics import best_threshold, evaluate
from chinspect.stress.prediction import EXPLAINED, Prediction, predict_shift, spread
from chinspect.stress.report import StressReport
from chinspect.stress.resizing import chain, decompose
from chinspect.stress.scoring import NONE, Condition, Mitigation, Scorer, score_conditions

Protocol = Literal["deploy", "kauffmann2025-text", "kauffmann2025-code"]
_PUBLISHED = {"kauffmann2025-text": "opencv-nearest", "kauffmann2025-code": "opencv-cubic"}


def stress(
    detector: Scorer,
    dataset: MVTecCategory,
    *,
    train_resizer: str | None = None,
    deploy: Sequence[str] = ("pillow-bilinear",),
    protocol: Protocol = "deploy",
    changes: Sequence[str] = tuple(CHANGES),
    mitigate: Sequence[Mitigation] = (),
    seed: int = 0,
    resume: str | Path | None = None,
) -> StressReport:
    """Score a data set's test images under every resizer and change, and judge the decisions.

    Args:
        detector: fitted on normal images.
        dataset: its test images are scored.
        train_resizer: the one of the images it was fitted on; `detector.resizer` by default.
        deploy: names of `chinspect.images.resizers.RESIZERS` to switch to, without fitting again.
        protocol: where the frozen threshold comes from. ``deploy``: from normal images only, `detector.threshold_`.
            ``kauffmann2025-text`` and ``-code``: it makes F1 on the test scores under the training resizer largest, as
            published; the text trains with ``opencv-nearest``, the code with ``opencv-cubic``.
        changes: names of `CHANGES`, each applied to the originals before the training resizer.
        mitigate: remedies; each gets the same rows as the detector itself.
        seed: of what changes draw.
        resume: a folder where scores are kept as they are made: an interrupted test that is run again goes on where it
            stopped. Scores of other detectors, images, conditions or seeds are never read.

    Raises `InputError` for names that are not known, a training resizer that the protocol does not have, scores that
    are not finite, images that cannot be read, and, before any work, masks that do not fit.

    Source: Kauffmann et al. 2025, the study of D2Neighbors and PatchCore.
    """
    trained = detector.resizer if train_resizer is None else train_resizer
    _check(trained, deploy, protocol, changes, detector.size)
    _check_names([remedy.name for remedy in mitigate])
    names = [resizer for resizer in dict.fromkeys(deploy) if resizer != trained]
    links = [link for link in (chain(trained, resizer) for resizer in names) if link]
    judged = [Condition(trained), *map(Condition, names), *(Condition(trained, change) for change in changes)]
    between = dict.fromkeys(Condition(resizer) for link in links for resizer in link)  # the steps of the chains
    conditions = [*judged, *(step for step in between if step not in judged)]
    remedies = [Mitigation(NONE), *mitigate]
    scorers = [remedy.detector or detector for remedy in remedies]
    explained = spread(len(dataset.test), EXPLAINED)
    masks = [None if dataset.masks[i] is None else dataset.mask(i) for i in explained]  # refused before the work
    score = partial(score_conditions, seed=seed, resume=resume)
    scores = score(scorers, dataset.test, conditions)
    tables = [
        _rows(remedy, scorer, judged, values, dataset.labels, protocol, score)
        for remedy, scorer, values in zip(remedies, scorers, scores, strict=True)
    ]
    by_resizer = {c.resizer: row for c, row in zip(conditions, scores[0], strict=True) if c.change == NONE}
    steps = [decompose(link, by_resizer, dataset.labels) for link in links]
    predictions, shares = _explained(detector, dataset, masks, trained, names, by_resizer)
    return StressReport(
        dataset=shown(dataset.name),
        detector=type(detector).__name__,
        protocol=protocol,
        train_resizer=trained,
        table=pd.concat(tables, ignore_index=True),
        steps=pd.concat(steps, ignore_index=True) if steps else pd.DataFrame(),
        scores=_long(remedies, judged, scores, dataset),
        predictions=predictions,
        shares=shares,
    )


def _rows(
    remedy: Mitigation,
    scorer: Scorer,
    conditions: Sequence[Condition],
    scores: NDArray[np.float64],
    labels: NDArray[np.int64],
    protocol: Protocol,
    score: Callable[[Sequence[Scorer], Sequence[Path], Sequence[Condition]], NDArray[np.float64]],
) -> pd.DataFrame:
    """One row for each condition, the unchanged one first; scores (C, n) may go on with other conditions."""
    frozen = scorer.threshold_ if protocol == "deploy" else best_threshold(scores[0], labels)
    thresholds = [frozen] * len(conditions)
    if remedy.normals:
        normal = score([scorer], remedy.normals, conditions)[0]
        thresholds = [threshold_at(values, remedy.fpr) for values in normal]
    rows = [
        {"mitigation": remedy.name, "resizer": condition.resizer, "change": condition.change}
        | vars(evaluate(values, labels, threshold, scores[0]))
        for condition, values, threshold in zip(conditions, scores, thresholds, strict=False)
    ]
    return pd.DataFrame(rows)


def _long(
    remedies: Sequence[Mitigation], conditions: Sequence[Condition], scores: NDArray[np.float64], dataset: MVTecCategory
) -> pd.DataFrame:
    """One row for each mitigation, condition and test image."""
    images = {"image": [shown(f"{path.parent.name}/{path.name}") for path in dataset.test], "label": dataset.labels}
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "mitigation": remedy.name,
                    "resizer": condition.resizer,
                    "change": condition.change,
                    **images,
                    "score": row,
                }
            )
            for remedy, rows in zip(remedies, scores, strict=True)
            for condition, row in zip(conditions, rows, strict=False)
        ],
        ignore_index=True,
    )


def _explained(
    detector: Scorer,
    dataset: MVTecCategory,
    masks: Sequence[NDArray[np.bool_] | None],
    trained: str,
    names: Sequence[str],
    scores: dict[str, NDArray[np.float64]],
) -> tuple[tuple[Prediction, ...], pd.DataFrame]:
    """Predictions and shares, each where it can be had: an adapted callable has none, small images lack bands."""
    predictions: tuple[Prediction, ...] = ()
    shares = pd.DataFrame()
    if not isinstance(detector, Detector) or detector.resizer != trained:
        return predictions, shares
    chosen = spread(len(dataset.test), EXPLAINED)
    paths, labels = [dataset.test[i] for i in chosen], dataset.labels[chosen]
    with suppress(InputError):
        predictions = predict_shift(detector, dataset, {name: scores[name] - scores[trained] for name in names})
    with suppress(InputError):
        shares = score_profile(detector, paths, labels=labels, masks=masks).table
    return predictions, shares


def _check(trained: str, deploy: Sequence[str], protocol: str, changes: Sequence[str], size: int) -> None:
    if protocol not in get_args(Protocol):
        raise InputError(f"The protocol {protocol!r} is not known; use one of {', '.join(get_args(Protocol))}.")
    if _PUBLISHED.get(protocol, trained) != trained:
        raise InputError(f"The protocol {protocol} trains with {_PUBLISHED[protocol]}, not with {trained!r}.")
    for resizer in (trained, *deploy):
        check_resizer(resizer, size)
    if unknown := [name for name in changes if name not in CHANGES]:
        raise InputError(f"The change {unknown[0]!r} is not known; use one of {', '.join(CHANGES)}.")


def _check_names(names: Sequence[str]) -> None:
    if NONE in names or len(set(names)) < len(names):
        raise InputError(f"Each mitigation needs a name of its own, other than {NONE!r}: {list(names)}.")
