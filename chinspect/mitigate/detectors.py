"""Remedies for detectors: filters of what they should not rely on, and a new threshold from the deployed pipeline.

The filters stand in `chinspect.anomaly.filters`, beside the detectors that take one as their ``layer``.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from sklearn.base import clone

from chinspect.anomaly import Detector, save_detector
from chinspect.anomaly.filters import Blur, SpectralWeights
from chinspect.anomaly.images import Images
from chinspect.errors import InputError, did_you_mean
from chinspect.stress import Mitigation, check_rate

__all__ = ["Blur", "SpectralWeights", "detector_remedy", "recalibrate", "save_remedied"]

D = TypeVar("D", bound=Detector)
_LAYERS = {"blur": Blur}  # by the names that the command line knows


def detector_remedy(name: str, detector: Detector, normals: Any) -> Mitigation:
    """A remedy to test beside a detector: one like it, fitted behind a filter.

    Args:
        name: ``blur``.
        detector: it stays as it is.
        normals: images that it was fitted on, as `Detector.fit` reads them.

    Raises `InputError` for another name.
    """
    if name not in _LAYERS:
        raise InputError(f"unknown remedy {name!r}{did_you_mean(name, _LAYERS)}: choose {', '.join(_LAYERS)}.")
    return Mitigation(name, clone(detector).set_params(layer=_LAYERS[name]()).fit(normals))


def save_remedied(remedies: Sequence[Mitigation], folder: str | Path) -> list[Path]:
    """Writes the detectors of remedies, to be deployed in place of the one before, as ``NAME.safetensors``."""
    fitted = {remedy.name: remedy.detector for remedy in remedies if remedy.detector is not None}
    return [save_detector(detector, Path(folder) / f"{name}.safetensors") for name, detector in fitted.items()]


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
