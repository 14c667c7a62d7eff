"""Scores of the same images under many conditions, each image decoded once.

Batches are scored one by one, and with a folder to resume from stored there: whoever asks again for the same scores, by
detector, images and conditions, goes on where they stopped. Anything else is stored in another folder below it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from chinspect.anomaly import Detector
from chinspect.anomaly.threshold import images_needed
from chinspect.digests import digest_of_json
from chinspect.errors import InputError
from chinspect.execute import Samples, map_images
from chinspect.images import resize, to_input
from chinspect.stress.changes import change

NONE = "none"
"""Name of the change that changes nothing, and of the remedy that is none."""
_BATCH = 32  # images at a time: under 20 conditions of 224 pixels they take 400 MB as inputs


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
    detector: Detector | None = None
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
    if count < images_needed(fpr):
        raise InputError(f"A false positive rate of {fpr} needs {images_needed(fpr)} normal images, not {count}.")


def score_conditions(
    detectors: Sequence[Detector],
    paths: Sequence[Path],
    conditions: Sequence[Condition],
    *,
    seed: int = 0,
    resume: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.float64]:
    """Scores (detectors, conditions, images): each image is decoded once, and each condition made once.

    Args:
        seed: of what changes draw.
        resume: a folder where batches are stored as they are done, and read again. Detectors then need a fingerprint.
        progress: called with the number of images done and in all.

    Raises `InputError` for no image or images that cannot be read, unknown resizers or changes, detectors of several
    sizes, and with ``resume`` for a detector without fingerprint.
    """
    sizes = {detector.size for detector in detectors}
    if len(sizes) != 1:
        raise InputError(f"The detectors of one stress test need inputs of one size, not of {sorted(sizes)} pixels.")
    scoring = _Scoring(detectors, conditions, seed)
    images = Samples(Path(), tuple(map(str, paths)))
    folder = None
    if resume is not None:
        folder = Path(resume) / digest_of_json(scoring.description | images.description)[:16]
    results = map_images(scoring, images, folder, shard_size=_BATCH, strict=True, progress=progress)
    return np.ascontiguousarray(np.moveaxis(results.arrays("scores"), 0, 2))


@dataclass(frozen=True, eq=False)
class _Scoring:
    """The work of `score_conditions`, see `chinspect.execute.map_images`."""

    detectors: Sequence[Detector]
    conditions: Sequence[Condition]
    seed: int
    device: str = "cpu"

    @property
    def description(self) -> dict[str, Any]:
        """Detectors by fingerprint."""
        return {
            "detectors": [detector.fingerprint for detector in self.detectors],
            "conditions": [list(astuple(condition)) for condition in self.conditions],
            "seed": self.seed,
            "size": self.detectors[0].size,
        }

    def __call__(self, pictures: Sequence[Image.Image], indices: range) -> dict[str, NDArray[np.float64]]:
        """``scores`` (pictures, detectors, conditions)."""
        scores = np.empty((len(pictures), len(self.detectors), len(self.conditions)))
        for c, batch in enumerate(self._inputs(pictures, indices)):
            for d, detector in enumerate(self.detectors):
                scores[:, d, c] = detector.decision_function(batch)
        return {"scores": scores}

    def _inputs(self, pictures: Sequence[Image.Image], indices: range) -> list[Tensor]:
        """One batch for each condition."""
        size = self.detectors[0].size
        pixels = np.empty((len(self.conditions), len(pictures), size, size, 3), dtype=np.uint8)
        for i, (picture, index) in enumerate(zip(pictures, indices, strict=True)):
            original = np.asarray(picture)
            changed = {NONE: original}
            for c, condition in enumerate(self.conditions):
                if condition.change not in changed:
                    changed[condition.change] = change(original, condition.change, seed=self.seed, index=index)
                pixels[c, i] = resize(changed[condition.change], size, condition.resizer)
        return [to_input(batch) for batch in pixels]
