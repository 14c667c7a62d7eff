"""A new threshold from normal images of the deployed pipeline."""

from __future__ import annotations

import copy
from typing import TypeVar

from chinspect.anomaly import Detector
from chinspect.anomaly.images import Images
from chinspect.stress import check_rate

D = TypeVar("D", bound=Detector)


def recalibrate(detector: D, normals: Images, *, fpr: float = 0.05, resizer: str | None = None) -> D:
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
    recalibrated = copy.copy(detector)
    recalibrated.resizer = resizer or detector.resizer
    scores = recalibrated.decision_function(normals)
    check_rate(fpr, len(scores))
    recalibrated.threshold_fpr = fpr
    return recalibrated.set_threshold(scores, "scores of {} normal images that it was not fitted on")
