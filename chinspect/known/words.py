"""What the measures of known effects mean, and whether an effect stands out from its controls, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_MEANINGS = {
    "accuracy": "images that are classified right",
    "balanced accuracy": "images classified right, each class alike",
    "accuracy change": "what of that is lost, image by image",
    "carton accuracy change": "more cartons that are called cartons",
    "turned to carton": "other images that become cartons",
    "carton logit change": "what the carton's logit gains",
    "P(carton) change": "what the carton's probability gains",
    "similarity gain": "how much more alike images become",
    "neighbours changed": "nearest neighbours that are others now",
    "neighbours alike in the mark": "neighbours that share it; .5 by chance",
    "relevance under the mark": "of the similarity of two images",
    "confounder predicted": "a readout tells it from the embedding",
    "average performance drop": "relative change of accuracy where class and origin go together",
    "false positive rate": "healthy ones that are called ill",
    "mean AUC": "images of the class told from spurious ones",
    "called by the word": "images classified as what is written on them",
    "called by the class": "spurious images called by the class",
    "flagged": "sets of maps that chance does not explain",
}
_ENDINGS = {
    "readable": "a linear readout tells how images were processed",
    "neighbours alike": "nearest neighbours that were processed alike",
    "robustness index": "1: neighbours share the class, 0: the processing",
}


def meaning(measure: str) -> str:
    """What a measure is, in half a sentence; empty where its name says it."""
    if measure in _MEANINGS:
        return _MEANINGS[measure]
    return next((text for ending, text in _ENDINGS.items() if measure.endswith(ending)), "")


def standing(rows: Sequence[Mapping[str, Any]], condition: str, variants: Sequence[str] = ()) -> str:
    """Whether the interval of the effect lies beyond all its controls; empty where there are none, or no interval.

    Args:
        rows: of one measure, with condition, estimate, low and high.
        condition: the one that the effect is about.
        variants: others that show it; all the rest are controls.
    """
    own = next((row for row in rows if row["condition"] == condition), None)
    others = [row["estimate"] for row in rows if row["condition"] not in (condition, *variants)]
    controls = [value for value in others if value is not None]  # a measure may not be defined under a control
    if own is None or not controls or own["low"] is None or own["high"] is None:
        return ""
    if own["low"] > max(controls):
        return "above all controls"
    if own["high"] < min(controls):
        return "below all controls"
    return "not beyond its controls"
