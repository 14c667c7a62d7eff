"""What an edit of an image does to a model: effects of classifiers, encoders and detectors, each image with itself.

One effect of each kind of model decides, the others describe:

* classifier: **log-odds** of the artefact's class, ``log p / (1 - p)``. A rank can move by dozens of places, and a
  probability by nothing, where the class is out of reach anyway (Anders et al. 2022, Table 3: 58 ranks for .0004);
* encoder: **similarity gain**, the cosine similarity of two images that both carry the artefact less that of the same
  two without it;
* detector: **score shift**, in interquartile ranges of the scores of unchanged images.

An edit is made on what the model sees: preprocessing would cut away what lies in the corners of a photograph.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from chinspect.anomaly import Detector
from chinspect.errors import InputError
from chinspect.subjects import Classifier, Kind, Subject

Values = NDArray[np.float64]
WORDS: Mapping[Kind, Mapping[str, str]] = MappingProxyType(
    {
        "classifier": {
            "log_odds": "change of the log-odds of the class",
            "probability": "change of the probability of the class",
            "rank": "places that the class gains in the ranking",
            "turned": "fraction of predictions that turn to the class",
        },
        "encoder": {
            "similarity_gain": "change of the cosine similarity of two images that share the edit",
            "embedding_shift": "1 - cosine similarity to the unchanged image",
            "norm_change": "relative change of the length of the embedding",
            "neighbour_overlap": "Jaccard overlap of nearest unchanged images, before and after",
        },
        "detector": {
            "score_shift": "change of the anomaly score, in interquartile ranges",
            "flipped": "fraction of decisions that change at the frozen threshold",
        },
    }
)
"""Effects by kind of model and name, in words; the first one of each kind decides."""

DIRECTION: Mapping[Kind, int] = MappingProxyType({"classifier": 1, "encoder": 1, "detector": 0})
"""Sign of the effect that decides if an added artefact is relied on: 1, or 0 where both signs are a finding."""

_NEIGHBOURS = 10  # as many as fit on a sheet that one looks at


def decisive_effect(kind: Kind) -> str:
    """Name of the effect that decides."""
    return next(iter(WORDS[kind]))


def measure_effects(subject: Subject, before: Values, after: Values, reference: Values) -> dict[str, Values]:
    """Effects by name, of images (n,) or of pairs of images (n, n), from responses (n, d) before and after an edit.

    ``reference`` are responses to unchanged images, which may be ``before`` itself.

    Raises `InputError` for a detector that gives all reference images one score.
    """
    return _MEASURES[subject.kind](subject, before, after, reference)


def _of_classifier(classifier: Classifier, before: Values, after: Values, reference: Values) -> dict[str, Values]:  # noqa: ARG001
    old_odds, old_rank = _odds_and_rank(before, classifier.target)
    new_odds, new_rank = _odds_and_rank(after, classifier.target)
    return {
        "log_odds": new_odds - old_odds,
        "probability": expit(new_odds) - expit(old_odds),
        "rank": (old_rank - new_rank).astype(float),
        "turned": (new_rank == 0).astype(float) - (old_rank == 0),
    }


def _of_encoder(encoder: Subject, before: Values, after: Values, reference: Values) -> dict[str, Values]:  # noqa: ARG001
    a = _unit(before)
    b = _unit(after)
    bank = _unit(reference)
    gain = b @ b.T - a @ a.T
    np.fill_diagonal(gain, 0)
    near_before = _nearest(a @ bank.T, itself=before is reference)
    near_after = _nearest(b @ bank.T, itself=before is reference)
    both = (near_before & near_after).sum(axis=1)
    either = (near_before | near_after).sum(axis=1)
    return {
        "similarity_gain": gain,
        "embedding_shift": 1 - (a * b).sum(axis=1),
        "norm_change": np.linalg.norm(after, axis=1) / np.maximum(np.linalg.norm(before, axis=1), _TINY) - 1,
        "neighbour_overlap": both / np.maximum(either, 1),
    }


def _of_detector(detector: Detector, before: Values, after: Values, reference: Values) -> dict[str, Values]:
    low, high = np.percentile(reference, [25, 75])
    if not high > low:
        raise InputError("The detector gives the unchanged images one score: a shift has no unit to measure it in.")
    flagged_before = before[:, 0] > detector.threshold_
    flagged_after = after[:, 0] > detector.threshold_
    return {
        "score_shift": (after - before)[:, 0] / (high - low),
        "flipped": (flagged_before != flagged_after).astype(float),
    }


_MEASURES: Mapping[Kind, Callable[[Any, Values, Values, Values], dict[str, Values]]] = {
    "classifier": _of_classifier,
    "encoder": _of_encoder,
    "detector": _of_detector,
}
_TINY = 1e-12  # keeps the direction of an embedding of zeros defined; far below the length of any other


def _odds_and_rank(logits: Values, target: int) -> tuple[Values, NDArray[np.int64]]:
    own = logits[:, target]
    others = np.delete(logits, target, axis=1)
    return own - np.logaddexp.reduce(others, axis=1), (others > own[:, None]).sum(axis=1)


def _unit(values: Values) -> Values:
    unit: Values = values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), _TINY)
    return unit


def _nearest(similarity: Values, *, itself: bool) -> NDArray[np.bool_]:
    """The most similar of the reference (n, m), up to `_NEIGHBOURS` of them and a third of all."""
    ranked = similarity.copy()
    if itself:
        np.fill_diagonal(ranked, -np.inf)
    k = max(min(_NEIGHBOURS, ranked.shape[1] // 3), 1)
    near = np.zeros(ranked.shape, dtype=bool)
    np.put_along_axis(near, np.argsort(-ranked, axis=1, kind="stable")[:, :k], True, axis=1)
    return near
