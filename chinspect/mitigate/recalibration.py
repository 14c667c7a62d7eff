"""A new threshold from normal images of the deployed pipeline."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

from chinspect.anomaly import Detector, threshold_at
from chinspect.mitigate._inputs import as_batch
from chinspect.stress import check_rate

S = TypeVar("S", bound=Detector)


def recalibrate(detector: S, normals: Any, *, fpr: float = 0.05, resizer: str | None = None) -> S:
    """A copy of the detector with the threshold that unseen normal images exceed with probability ``fpr`` at most.

    The copy reads images with the deployed resizer, and says, also on disk, where its threshold comes from. Scores stay
    as they are: this repairs threshold drift, and nothing where the classes are no longer apart.

    Args:
        detector: fitted; it is not changed.
        normals: normal images that it was not fitted on, through the deployed pipeline: a batch
            (N, 3, size, size) in [-1, 1], or a folder or paths, read with ``resizer``.
        fpr: false positive rate, between 0 and 1.
        resizer: the deployed one, for paths; `detector.resizer` by default.

    Raises `InputError` for a rate out of range, or normals too few for it (``N < 1 / fpr - 1``).

    Source: the quantile of split-conformal prediction (Vovk et al. 2005).
    """
    scores = detector.decision_function(as_batch(normals, resizer or detector.resizer, detector.size))
    check_rate(fpr, len(scores))
    recalibrated = copy.copy(detector)
    recalibrated.resizer, recalibrated.threshold_ = resizer or detector.resizer, threshold_at(scores, fpr)
    if isinstance(recalibrated, Detector):
        recalibrated.threshold_fpr, recalibrated.held_out_scores_ = fpr, scores
        recalibrated.threshold_source_ = f"scores of {len(scores)} normal images that it was not fitted on"
    return recalibrated
