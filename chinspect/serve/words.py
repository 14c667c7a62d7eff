"""What is said on pages: verdicts, states and numbers, for a stranger."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chinspect.report import Tone


@dataclass(frozen=True)
class Verdict:
    """What came out.

    Attributes:
        word: one or two.
        tone: of the word.
        meaning: what the word means, in a sentence.
        sentence: evidence and uncertainty, of the run itself.
    """

    word: str
    tone: Tone
    meaning: str
    sentence: str = ""


_VERDICTS: Mapping[str, Verdict] = {
    "confirmed": Verdict(
        "Confirmed", "bad", "An intervention moved the model: it relies on what these images have in common."
    ),
    "stress": Verdict("Breaks under stress", "bad", "Decisions or neighbours change with what should not matter."),
    "candidate": Verdict(
        "Candidate",
        "unsure",
        "Few images have something in common beyond chance; maps alone do not tell whether the model relies on it.",
    ),
    "undecided": Verdict(
        "Undecided", "unsure", "An intervention was made, and leaves open whether the model relies on it."
    ),
    "not_causal": Verdict("Not causal", "good", "The model reacts to it no more than to what other images show there."),
    "clear": Verdict("Clear", "good", "This was looked at, and nothing was found."),
    "untested": Verdict(
        "Untested", "unsure", "This was not compared with chance or could not be looked at: it says nothing."
    ),
}
_UNDETECTED = Verdict("Nothing flagged", "plain", "No set of images has more in common than chance explains.")
_UNKNOWN = Verdict("No verdict", "plain", "The run states none.")
_NOT_FLAGGED = Verdict("Not flagged", "plain", "Chance may explain it.")
_NOT_COMPARED = Verdict("Not tested", "plain", "Nothing was compared with chance.")
STATES: Mapping[str, str] = {
    "analysed": "its map was compared with all others",
    "duplicate": "repeats another image, and counts once",
    "no relevance": "its map is zero everywhere, and was left out",
    "not finite": "its map holds NaN or infinity, and was left out",
}
SCORES: Mapping[str, str] = {
    "value": "what the map explains, in units of the output",
    "conservation": "sum of the map over what it explains; 1 where nothing is lost",
    "distance": "to the nearest strategy; about 1 for a usual image of it",
    "log_likelihood": "of the map among all strategies; low for an unusual one",
    "outlier": "fraction of images that are at least as usual; near 1 for a strategy that no other image uses",
}
NUMBERS: Mapping[str, str] = {
    "size": "images that are members",
    "shared": "fraction of their relevance that the members have in common and others have not",
    "effect": "how far mean maps of members and others differ: 0 the same, 1 no cell in common",
    "effect_low": "lower end of its 95 % interval",
    "effect_high": "upper end of it",
    "gap": "by how much members hold more of the pattern than the nearest others, -1 to 1",
    "stability": "how alike the set is in subsamples of the images, 0 to 1",
    "focus": "0 for an even mean map, near 1 for a single cell",
    "p_value": "how often maps without a common reason have such a set",
    "q_value": "the same, corrected for all groups that were looked at; flagged at 0.05 and below",
    "surrogates": "sets of maps without a common reason that it was compared with",
    "purity": "fraction of members with the commonest label",
    "base_rate": "fraction of all images with that label",
    "label": "the commonest label of the members",
    "group": "the class whose images were looked at on their own",
    "source": "clusterings that proposed the set",
}
"""What the numbers of a candidate mean."""
_EXPLAINED: Mapping[str, str] = {
    "neighbours": "the similarity of each image to its nearest neighbours",
    "output": "each image's own output",
    "anomaly": "the anomaly score of each image",
    "anomaly_map": "where each image is anomalous, beyond what most are in that place",
    "bands": "each image's similarity or score by frequency",
    "gradcam": "a layer of the network (Grad-CAM)",
}
_MINIMUM = re.compile(r"undetected_above\((\d{1,9})\)")


def verdict_of(document: Mapping[str, Any]) -> Verdict:
    """The verdict of a run or a finding, with its sentence."""
    name = str(document.get("verdict", document.get("status", "")))
    sentence = str(document.get("sentence") or "")
    least = _MINIMUM.fullmatch(name)
    if least:
        missed = f" An artefact on fewer than {least[1]} images, or with less relevance, may be missed."
        return replace(_UNDETECTED, meaning=_UNDETECTED.meaning + missed, sentence=sentence)
    return replace(_VERDICTS.get(name, _UNKNOWN), sentence=sentence)


def outcome_of(candidate: Mapping[str, Any]) -> Verdict:
    """The verdict of a candidate, which has one where it is flagged."""
    compared = isinstance(candidate.get("p_value"), int | float)
    outcome = _NOT_FLAGGED if compared else _NOT_COMPARED
    if candidate.get("flagged") is True:
        outcome = _VERDICTS.get(str(candidate.get("verdict")), _UNKNOWN)
    return replace(outcome, sentence=str(candidate.get("finding") or ""))


def explained(explanation: Mapping[str, Any], model: str) -> str:
    """What the maps of an analysis explain, in a sentence."""
    if not model:
        return "The maps are of another tool."
    what = _EXPLAINED.get(str(explanation.get("method")).lower(), "what the model answers")
    relevance = explanation.get("relevance")
    method = relevance.get("method") if isinstance(relevance, dict) else None
    return f"The maps explain {what}, {model}" + (f", by the method {method}." if method else ".")


def chance(candidate: Mapping[str, Any]) -> str:
    """The corrected p-value, no smaller than what so many surrogates can show."""
    q = candidate.get("q_value")
    surrogates = candidate.get("surrogates")
    if not isinstance(q, int | float) or not math.isfinite(q):
        return "not tested"
    least = 1 / (1 + surrogates) if isinstance(surrogates, int) and surrogates >= 0 else 0.0
    return f"< {least:.2g}" if q < least else f"{q:.2g}"


def number(value: Any) -> str:
    """A value of a document as it stands in a table."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def percent(value: Any) -> str:
    """A fraction as a table shows it."""
    return f"{value:.0%}" if isinstance(value, int | float) and math.isfinite(value) else "–"


def spaced(name: Any) -> str:
    """A name of a document as words."""
    return str(name).replace("_", " ")
