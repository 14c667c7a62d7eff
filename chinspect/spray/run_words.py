"""What a run found, in words."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from chinspect.spray.candidates import Candidate

if TYPE_CHECKING:
    from chinspect.spray.run import Finding, SprayRun

_OUTCOMES = ("confirmed by an intervention", "not causal", "tested without a decision", "not testable")
NOT_TESTED = "not tested"
_ROWS, _COLUMNS = ("upper", "middle", "lower"), ("left", "centre", "right")
_HEADLINES = {
    "confirmed": "CONFIRMED: the model relies on what these images share",
    "not_causal": "NOT CAUSAL: the model reacts to it no more than to random patches",
    "undecided": "UNDECIDED: more than chance; the test on the model leans to reliance, but decides nothing",
    "candidate": "CANDIDATE: more than chance, but not tested on the model",
    "untested": "NOT FLAGGED: chance may explain it",
}
_NOT_COMPARED = "NOT TESTED: nothing was compared with chance"


def headline(finding: Finding) -> str:
    """The verdict of a candidate, for a stranger."""
    candidate = finding.candidate
    return _HEADLINES[candidate.verdict] if candidate.compared else _NOT_COMPARED


def verdict_of(candidate: Candidate) -> str:
    """The verdict in a table: "not flagged" and "not tested" where there is none."""
    if candidate.flagged:
        return candidate.verdict.replace("_", " ")
    return "not flagged" if candidate.compared else NOT_TESTED


def place_of(candidate: Candidate) -> str:
    """Where the relevance lies that members share: a ninth of the image, or a range of a spectrum."""
    weight = np.clip(candidate.template, 0, None).astype(float)
    if weight.sum() == 0:
        return "nowhere in particular"
    height, width = weight.shape
    row = int(3 * (weight.sum(1) @ (np.arange(height) + 0.5)) / weight.sum() / height)
    column = int(3 * (weight.sum(0) @ (np.arange(width) + 0.5)) / weight.sum() / width)
    if height == 1:
        return f"in the {('low', 'middle', 'high')[column]} frequencies"
    if row == 1 and column == 1:
        spread = np.count_nonzero(weight > 0.25 * weight.max()) / weight.size
        return "in the centre" if spread < 0.25 else "all over the image"
    return f"at the {_ROWS[row]} {_COLUMNS[column]}"


def finding_sentence(run: SprayRun, finding: Finding) -> str:
    """One candidate: what its members share, how sure that is, and what an intervention said."""
    candidate = finding.candidate
    parts = [
        f"{candidate.size} of {len(run.maps)} images share {candidate.shared:.0%} of their relevance "
        f"{place_of(candidate)}"
    ]
    if candidate.label is not None and candidate.group is None:
        parts.append(
            f"{candidate.purity:.0%} of them are labelled {candidate.label!r}, as {candidate.base_rate:.0%} of all are"
        )
    if candidate.group is not None:
        parts.append(f"found within the class {candidate.group!r}")
    parts.append(_chance(candidate))
    if finding.proof is not None:
        parts.append(finding.proof.sentence.rstrip("."))
    if finding.note:
        parts.append(finding.note.rstrip("."))
    return ". ".join(part[0].upper() + part[1:] for part in parts) + "."


def _chance(candidate: Candidate) -> str:
    if not candidate.compared:
        return "not compared with chance"
    p = "p < 0.001" if candidate.q_value < 0.001 else f"p = {candidate.q_value:.2g}"
    if candidate.flagged:
        return f"maps without a common reason have no such set ({p})"
    return f"maps without a common reason have such sets as well ({p})"


def run_sentence(run: SprayRun) -> str:
    """How many candidates there are, what became of them, and what the analysis could have seen."""
    findings, size = run.findings, run.spray.min_detectable_size_
    flagged = [finding for finding in findings if finding.candidate.flagged]
    verb = "is" if len(flagged) == 1 else "are"
    sentence = f"{len(flagged)} of {len(findings)} candidate strategies {verb} flagged"
    if any(finding.proof is not None for finding in flagged):
        outcomes = Counter(_outcome(finding) for finding in flagged)
        sentence += f" ({', '.join(f'{outcomes[name]} {name}' for name in _OUTCOMES if outcomes[name])})"
    if run.spray.n_surrogates < 2:
        return sentence + "; nothing was compared with chance (too few surrogates)."
    if size is None:
        return sentence + "; these maps are too few or too alike to say which artefact would have been found."
    return sentence + f"; an artefact of half of the relevance would have been found from {size} images on."


def merged_sentence(run: SprayRun) -> str:
    """How many images count no second time; nothing where there are none."""
    repeats = np.flatnonzero(run.spray.duplicates_ != np.arange(len(run.maps)))
    if not len(repeats):
        return ""
    first = run.spray.duplicates_[repeats[0]]
    verb = "repeats another and counts" if len(repeats) == 1 else "repeat another and count"
    return (
        f"{len(repeats)} of {len(run.maps)} images {verb} once, as {run.names[repeats[0]]} repeats {run.names[first]}."
    )


def _outcome(finding: Finding) -> str:
    verdict = finding.candidate.verdict
    return _OUTCOMES[3 if finding.proof is None else ("confirmed", "not_causal", "undecided").index(verdict)]
