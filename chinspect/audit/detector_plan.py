"""What an audit of a detector is going to do, and how long it takes, as for encoders (`chinspect.audit.plan`)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from chinspect.anomaly import Detector
from chinspect.artefacts import Pixels, text_logo
from chinspect.audit.detector_images import AuditedImages
from chinspect.audit.plan import EDITED, PLACEBOS, SURROGATE, PlannedStep, minutes_of, seconds_each
from chinspect.errors import InputError
from chinspect.explain import ANOMALY_MAP, question_for
from chinspect.images import open_image
from chinspect.stress import Condition, chain
from chinspect.stress.resizing import evenly
from chinspect.stress.scoring import NONE

MAPS = "what scores have in common, by maps"
SPECTRA = "what scores have in common, by spectra"
SCORES = "scores under all conditions"
BLUR = "a detector behind a blur"
REMEDIES = "remedies"
PROOF = "proof"
_BANDS = 16  # of a spectrum that is timed: with more it takes as long
_BATCH = 3  # images that are timed, the first of which loads what is loaded once
_CASES = 2  # artefacts that minutes are estimated for: surfaces with a mark have one or two


@dataclass(frozen=True)
class DetectorTiming:
    """Seconds an image; 0 for maps and spectra where the detector has none."""

    prepare: float
    score: float
    explain: float
    spectrum: float
    edit: float


def time_detector(detector: Detector, tested: AuditedImages) -> DetectorTiming:
    """Measures a few images of each kind of work."""
    paths = [tested.category.test[i] for i in evenly(len(tested.category.test), _BATCH)]
    pictures = [np.asarray(open_image(path)) for path in paths]
    seen = detector.see(pictures)
    mark = text_logo()
    return DetectorTiming(
        seconds_each(lambda i: detector.see([np.asarray(open_image(paths[i]))]), len(paths)),
        seconds_each(lambda i: detector.respond([seen[i]]), len(seen)),
        _explaining(detector, seen, 0),
        _explaining(detector, seen, _BANDS),
        seconds_each(lambda i: mark.add(seen[i]), len(seen)),
    )


def _explaining(detector: Detector, seen: Sequence[Pixels], bands: int) -> float:
    """Of a map, or of a spectrum; 0 where there are none, which the step itself says."""
    weights = np.ones((1, 1))
    located: Any = detector  # some have an anomaly map
    with suppress(InputError):
        if not bands and question_for(detector) == ANOMALY_MAP:
            return seconds_each(lambda i: located.anomaly_map([seen[i]]), len(seen))
        return seconds_each(lambda i: detector.explain([seen[i]], weights, bands=bands), len(seen))
    return 0.0


def detector_steps(
    timing: DetectorTiming,
    conditions: Sequence[Condition],
    *,
    trained: str,
    surrogates: int,
    normals: int,
    mitigate: bool,
) -> list[PlannedStep]:
    """The steps in their order; a remedy is fitted on so many normal images."""
    deployed = [one.resizer for one in conditions if one.change == NONE and one.resizer != trained]
    links = {Condition(name) for resizer in deployed for name in chain(trained, resizer)}
    scores = len(links.union(conditions)) * (timing.prepare + timing.score)
    chance = SURROGATE * (surrogates + 1)
    proof = _CASES * 2 * PLACEBOS * (timing.score + timing.edit)

    steps = [
        PlannedStep(
            MAPS, "maps of all images, sets of alike maps beside chance (SpRAy)", minutes_of(timing.explain + chance)
        ),
        PlannedStep(PROOF, "artefacts of flagged sets added and removed, beside placebos", minutes_of(proof, EDITED)),
        PlannedStep(SPECTRA, "the same by spatial frequencies", minutes_of(timing.spectrum + chance), optional=True),
        PlannedStep(
            SCORES, f"decisions under {len(conditions)} conditions, beside half of a grey level", minutes_of(scores)
        ),
    ]
    if mitigate:
        fit = normals * (timing.prepare + 2 * timing.score)  # read, compared with each other, and held out
        steps += [
            PlannedStep(BLUR, "a detector like it, fitted behind a blur", minutes_of(0, besides=fit)),
            PlannedStep(REMEDIES, "the same conditions behind remedies", minutes_of(scores)),
        ]
    return steps
