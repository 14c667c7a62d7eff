"""From evidence to findings: what an audit says, gravest first."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast, get_args

from chinspect.audit.evidence import Evidence, Suspect
from chinspect.audit.finding import AuditFinding, Status
from chinspect.audit.measuring import Measures
from chinspect.audit.pictures import measure_blocks, suspect_blocks
from chinspect.audit.proofs import proof_lead, proof_numbers
from chinspect.audit.sites import COMPARED, LEADING, Site
from chinspect.audit.steps import Steps
from chinspect.proof import MIN_CARRIERS, MIN_IMAGES, MIN_MEMBERS, SAME, Proof
from chinspect.spray import Finding, SprayRun

_ADVICE: Mapping[Status, str] = {
    "confirmed": (
        "Look at the images with and without it. If it should not matter, take it away from the images, or from the "
        "model with --mitigate, and audit again."
    ),
    "candidate": "Look at the members: what they share may be what the images are of, or an artefact.",
    "not_causal": "Nothing has to be done: the images share it, and the model does not go by it.",
}
_BOTH = 2 * MIN_IMAGES  # of fewer images none are left to test on beside those that are isolated from
_MEASURE_ADVICE = {
    "traces": "Bring all images to one format, size and sharpness before they are compared.",
    "confounder": "Compare images of one origin only, or balance origins, before neighbours are trusted.",
}
_LIKE = {"pairs": ("are similar by something", "are similar"), "edges": ("share a mark", "have edges in common")}
_TITLES = {
    "pairs": "Suspicious pairs",
    "strategies": "Sets of alike maps",
    "edges": "Edges in common",
    "proof": "Proofs",
    "traces": "Traces of processing",
    "confounder": "The confounder",
    "mitigation": "The remedy",
}


def encoder_findings(evidence: Evidence, steps: Steps) -> list[AuditFinding]:
    """What the evidence says, and what could not be looked at."""
    findings = [
        AuditFinding(name, "untested", _TITLES[name], _untested(name, reason)) for name, reason in steps.reasons.items()
    ]
    run = evidence.run
    if run is not None:
        by_candidate = {suspect.finding: suspect for suspect in evidence.suspects if suspect.finding is not None}
        for n, finding in enumerate(run.findings):
            if finding.candidate.flagged:
                findings.append(_of_candidate(evidence, run, finding, n, by_candidate.get(n)))
        findings += [_of_site(evidence, run, suspect) for suspect in evidence.suspects if suspect.site is not None]
        if not run.flagged:
            findings.append(_nothing_flagged(run))
    sources = {suspect.site.source for suspect in evidence.suspects if suspect.site is not None}
    if evidence.pairs is not None and "pairs" not in sources:
        findings.append(_no_site(evidence))
    if run is not None and evidence.edges is not None and "edges" not in sources:
        findings.append(_no_edges(evidence, len(run.spray.kept_)))
    # what was asked for comes before what is looked at in any case
    asked_first = sorted(evidence.measures, key=lambda measures: measures.name != "confounder")
    findings += [_of_measures(measures) for measures in asked_first]
    order = get_args(Status)
    return sorted(_with_own_keys(findings), key=lambda finding: order.index(finding.status))


def _of_candidate(evidence: Evidence, run: SprayRun, finding: Finding, n: int, suspect: Suspect | None) -> AuditFinding:
    candidate = finding.candidate
    position = candidate.position
    numbers: dict[str, Any] = {"members": candidate.size, "images": len(run.maps), "maps_q_value": candidate.q_value}
    proof = None if suspect is None else suspect.proof
    if proof is not None:
        numbers |= proof_numbers(proof)
    status = cast(Status, candidate.verdict)
    inside = "" if candidate.group is None else f" of the class {candidate.group!r}"
    ground = next(iter(finding.ground), "")
    title = f"{candidate.size} images{inside} share something {position}" + (f", on {ground}" if ground else "")
    return AuditFinding(
        f"artefact/{_slug(position)}",
        status,
        title,
        finding.sentence(len(run.maps)),
        _advice(status, proof),
        numbers,
        [run.names[i] for i in candidate.indices],
        suspect_blocks(evidence, run, candidate.indices.tolist(), suspect, n),
        "" if proof is None else proof_lead(proof),
    )


def _of_site(evidence: Evidence, run: SprayRun, suspect: Suspect) -> AuditFinding:
    site = suspect.site
    assert site is not None
    position = site.position
    sentence = _why(site, len(run.maps))
    if len(suspect.members) < len(site.members):
        sentence += f" What was cut out there is on {len(suspect.members)} of them."
    proof = suspect.proof
    numbers: dict[str, Any] = {"members": len(suspect.members), "images": len(run.maps), "pairs": site.pairs}
    if proof is not None:
        numbers |= proof_numbers(proof)
    status, told = site_status(suspect)
    if proof is not None and proof.trials and min(len(site.members), len(run.maps) - len(site.members)) < _BOTH:
        told += f" {SAME}"
    like, without = _LIKE[site.source]
    title = f"{len(suspect.members)} images {like if suspect.cut_out else without} {position}"
    if proof is not None and proof.artefact.empty:
        title += ", and no mark could be cut out there"
    return AuditFinding(
        f"{site.source}/{_slug(position)}",
        status,
        title,
        f"{sentence} {told}".rstrip(),
        _advice(status, proof),
        numbers,
        [run.names[i] for i in suspect.members],
        suspect_blocks(evidence, run, suspect.members, suspect, None),
        "" if proof is None else proof_lead(proof),
    )


def _why(site: Site, images: int) -> str:
    """What led to a place."""
    if site.source == "edges":
        return (
            f"{len(site.members)} of {images} images were looked at because edges {site.position} agree, in "
            f"{site.pairs} pairs of them: more so than those of any two images where one of these is shifted."
        )
    return (
        f"{len(site.members)} of {images} images are similar to each other, in {site.pairs} pairs of neighbours, by "
        f"what lies {site.position}: each pair more so than all but {LEADING:.2g} of shuffled pairs."
    )


def site_status(suspect: Suspect) -> tuple[Status, str]:
    """What became of images that pairs led to, and a sentence on it.

    They are looked at for a mark in one place. Where no common pixel can be cut out of it they are ``undecided``:
    neighbours in clean data are often similar in place, by what each of them shows there, and so are few carriers.
    """
    proof = suspect.proof
    if proof is None:
        return "candidate", f"{suspect.note[:1].upper()}{suspect.note[1:].rstrip('.')}." if suspect.note else ""
    if proof.artefact.empty:
        return "undecided", (
            "No mark could be cut out there: what each of them shows differs from the others, or a mark is on too few."
        )
    if proof.verdict == "untested":
        return "candidate", f"It could not be tested on the model: {' '.join(proof.missing)}"
    return cast(Status, proof.verdict), f"{proof.sentence} {' '.join(proof.missing)}".rstrip()


def _nothing_flagged(run: SprayRun) -> AuditFinding:
    size = run.spray.min_detectable_size_
    status: Status = "untested" if size is None else "clear"
    return AuditFinding(
        "strategies",
        status,
        "No small set of images is explained alike",
        run.sentence[0].upper() + run.sentence[1:],
        "" if size is not None else "Give more images, or more surrogates.",
        {"images": len(run.maps), "min_detectable_size": size},
    )


def _no_site(evidence: Evidence) -> AuditFinding:
    assert evidence.pairs is not None
    leading = int((evidence.pairs["p_value"] <= LEADING).sum())
    of_candidate = " beyond those of the sets above" if evidence.suspects else ""
    sentence = (
        f"Of {len(evidence.pairs)} pairs of neighbours {leading} are more similar in place than one in a hundred "
        f"shuffled pairs; no {MIN_MEMBERS} images share one place in them{of_candidate}."
    )
    return AuditFinding("pairs", "clear", "No place that pairs share", sentence, numbers={"leading": leading})


def _no_edges(evidence: Evidence, images: int) -> AuditFinding:
    of_candidate = " beyond those of the sets above" if evidence.edges else ""
    sentence = (
        f"No {MIN_CARRIERS} of {min(images, COMPARED)} images have edges in common in one place{of_candidate}, each "
        f"with each, and more so than any two of which one is shifted."
    )
    return AuditFinding("edges", "clear", "No edges in common", sentence)


def _of_measures(measures: Measures) -> AuditFinding:
    advice = ""
    if measures.status == "stress":
        advice = _MEASURE_ADVICE[measures.name]
    elif measures.status == "undecided":
        advice = "Give more images."
    title = _TITLES[measures.name]
    sentence = " ".join([measures.sentence.replace("\n", ". "), *measures.notes])
    numbers = {"exceeding": list(measures.exceeding)}
    return AuditFinding(
        measures.name, measures.status, title, sentence, advice, numbers, blocks=measure_blocks(measures)
    )


def _untested(name: str, reason: str) -> str:
    return f"{_TITLES[name]} could not be looked at: {reason.rstrip('.')}."


def _advice(status: Status, proof: Proof | None) -> str:
    if status == "undecided" and proof is not None:
        return "Look at the images, or give more of them." if proof.artefact.empty else proof.next_step
    return _ADVICE.get(status, "")


def _slug(position: str) -> str:
    return re.sub(r"\W+", "-", position.removeprefix("at the ").removeprefix("in the "))


def _with_own_keys(findings: Sequence[AuditFinding]) -> list[AuditFinding]:
    """Findings of one key get numbers, in their order, from the second one on."""
    seen: Counter[str] = Counter()
    result = []
    for finding in findings:
        seen[finding.key] += 1
        number = seen[finding.key]
        result.append(finding if number == 1 else replace(finding, key=f"{finding.key}-{number}"))
    return result
