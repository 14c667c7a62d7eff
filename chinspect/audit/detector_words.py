"""What a condition does to decisions, in words, and what to do about it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from chinspect.anomaly import guaranteed_rate
from chinspect.audit.decisions import PLACEBO, Turned
from chinspect.audit.detector_scores import Scored
from chinspect.audit.finding import Status
from chinspect.intervals import auroc_interval
from chinspect.stress import Condition
from chinspect.stress.scoring import NONE
from chinspect.stress.words import correlation_interval


def lead(name: str, status: Status) -> str:
    """What became of the decisions, in a few words."""
    if status == "stress":
        return f"Decisions do not stay under {name}."
    if status == "candidate":
        return f"Scores move far under {name}, though hardly a decision turns."
    if status == "undecided":
        return f"Too few images tell whether decisions stay under {name}."
    return f"Decisions stay under {name}."


def turned_words(name: str, turned: Turned, family: int) -> str:
    """How many decisions turned, beside the placebo."""
    if name == PLACEBO:
        return (
            f"Half of a grey level, which no eye sees, turns {turned.turned} of {turned.images} decisions "
            f"({turned.excess:.0%} [{turned.low:.0%}, {turned.high:.0%}])."
        )
    interval = f"{turned.excess:+.0%} [{turned.low:+.0%}, {turned.high:+.0%}]"
    return (
        f"Under {name}, {turned.turned} of {turned.images} decisions turn at the frozen threshold, and "
        f"{turned.placebo} under the placebo, half of a grey level: {interval}, p = {turned.p_value:.2g} corrected for "
        f"{family} tests."
    )


def rates_words(scored: Scored, before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """What that means."""
    if not scored.tested.labelled:
        return f"{after['anomalous']:.0%} of images are called anomalous (before {before['anomalous']:.0%})."
    promised = guaranteed_rate(len(scored.detector.held_out_scores_), scored.detector.threshold_fpr)
    return (
        f"{after['fpr']:.0%} [{after['fpr_low']:.0%}, {after['fpr_high']:.0%}] of normal images are called anomalous "
        f"(before {before['fpr']:.0%}; the threshold guarantees {promised:.0%}), {after['fnr']:.0%} "
        f"[{after['fnr_low']:.0%}, {after['fnr_high']:.0%}] of defects are missed (before {before['fnr']:.0%}). "
        f"AUROC {after['auroc']:.2f} (before {before['auroc']:.2f})."
    )


def predicted(scored: Scored, condition: Condition) -> dict[str, float]:
    """The shift that was predicted without scoring a test image behind the resizer, beside the measured one."""
    if condition.change != NONE or condition.resizer not in scored.predictions:
        return {}
    prediction = scored.predictions[condition.resizer]
    low, high = correlation_interval(prediction.correlation, len(prediction.label))
    summary = prediction.summary()
    numbers = {name: float(summary[name]) for name in ("predicted_mean", "measured_mean", "correlation", "slope")}
    return numbers | {"correlation_low": low, "correlation_high": high, "explained": len(prediction.label)}


def predicted_words(scored: Scored, condition: Condition) -> str:
    """The same in words."""
    numbers = predicted(scored, condition)
    if not numbers:
        return ""
    sentence = (
        f"From normal images and the explanation by frequency alone, {numbers['explained']} scores were predicted to "
        f"move by {numbers['predicted_mean']:+.3g} on average, and move by {numbers['measured_mean']:+.3g}"
    )
    if math.isnan(numbers["correlation"]):
        return f"{sentence}."
    interval = f"[{numbers['correlation_low']:.2f}, {numbers['correlation_high']:.2f}]"
    return f"{sentence}; image by image, r = {numbers['correlation']:.2f} {interval}."


def advice_for(
    scored: Scored, condition: Condition, status: Status, before: Mapping[str, Any], after: Mapping[str, Any]
) -> str:
    """What to do, by whether the scores still tell."""
    if status == "clear":
        return ""
    if status == "undecided":
        return "The images are too few to tell: take more."
    where = (
        f"the resizer of training, {scored.detector.resizer}" if condition.change == NONE else "the usual acquisition"
    )
    sentence = f"Keep to {where}, or set the threshold anew on normal images of the deployment (`recalibrate`)"
    if scored.tested.labelled:
        _, high = auroc_interval(after["auroc"], after["n_defect"], after["n_normal"])
        if high < before["auroc"]:
            return (
                f"The scores no longer tell as well as before, which no threshold mends: keep to {where}, or fit the "
                "detector anew on images of the deployment or behind a blur."
            )
    return f"{sentence}, or take from the detector what it should not rely on, such as high frequencies by a blur."
