"""Scores of the same images under many conditions, each image decoded once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from chinspect.errors import InputError
from chinspect.images import open_image
from chinspect.images.resizers import resize, to_input
from chinspect.stress.changes import change

NONE = "none"
_BATCH = 32


class Scorer(Protocol):
    """What a stress test needs of a detector; every `chinspect.anomaly.Detector` that was fitted has it."""

    resizer: str
    """The resizer of the images it was fitted on."""
    size: int
    """Side of its square input in pixels."""
    threshold_: float
    """The score above which an image is called anomalous."""

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Scores (N,) of a float32 batch (N, 3, size, size) in [-1, 1], higher is more anomalous."""


@dataclass(frozen=True)
class Condition:
    """How a test image reaches the detector: a change of the original, then a resizer."""

    resizer: str
    change: str = NONE


@dataclass(frozen=True)
class Mitigation:
    """A remedy, tested beside the detector that it should help.

    Attributes:
        name: of its rows.
        detector: the one to use instead, fitted; None keeps the detector and changes its threshold only.
        normals: held-out normal images. With them the threshold is taken anew under each condition, so that normal
            images exceed it with probability ``fpr``; without them it stays frozen.
        fpr: the false positive rate of that threshold, between 0 and 1.

    Raises `InputError` for another rate, or normals too few for it (see `check_rate`).
    """

    name: str
    detector: Scorer | None = None
    normals: tuple[Path, ...] = ()
    fpr: float = 0.05

    def __post_init__(self) -> None:
        if self.normals:
            check_rate(self.fpr, len(self.normals))


def check_rate(fpr: float, count: int) -> None:
    """`InputError` unless a threshold from ``count`` held-out scores can have this false positive rate.

    The lowest rate that the largest of N scores guarantees is ``1 / (N + 1)``.
    """
    if not 0 < fpr < 1:
        raise InputError(f"A false positive rate lies between 0 and 1, not {fpr!r}.")
    if (count + 1) * fpr < 1 - 1e-9:
        raise InputError(f"A false positive rate of {fpr} needs {ceil(1 / fpr - 1e-9) - 1} normal images, not {count}.")


def score_conditions(
    detectors: Sequence[Scorer], paths: Sequence[Path], conditions: Sequence[Condition], *, seed: int = 0
) -> NDArray[np.float64]:
    """Scores (detectors, conditions, images): each image is decoded once, and each condition made once.

    Raises `InputError` for images that cannot be read, unknown resizers or changes, and detectors of several sizes.
    """
    sizes = {detector.size for detector in detectors}
    if len(sizes) != 1:
        raise InputError(f"The detectors of one stress test need inputs of one size, not of {sorted(sizes)} pixels.")
    scores = np.empty((len(detectors), len(conditions), len(paths)))
    for start in range(0, len(paths), _BATCH):
        batches = _inputs(paths[start : start + _BATCH], conditions, detectors[0].size, seed, start)
        for c, batch in enumerate(batches):
            for d, detector in enumerate(detectors):
                scores[d, c, start : start + len(batch)] = detector.decision_function(batch)
    return scores


def _inputs(paths: Sequence[Path], conditions: Sequence[Condition], size: int, seed: int, first: int) -> list[Tensor]:
    """One batch for each condition."""
    pixels = np.empty((len(conditions), len(paths), size, size, 3), dtype=np.uint8)
    for i, path in enumerate(paths):
        original = np.asarray(open_image(path))
        changed = {NONE: original}
        for c, condition in enumerate(conditions):
            if condition.change not in changed:
                changed[condition.change] = change(original, condition.change, seed=seed, index=first + i)
            pixels[c, i] = resize(changed[condition.change], size, condition.resizer)
    return [to_input(batch) for batch in pixels]
