"""What does a detector go by? SpRAy over the maps and over the spectra of its scores, and a proof for each candidate.

What a candidate means for a detector is judged in `chinspect.audit.detector_marks`.

Spectra have no position, so that nothing can be cut out: sets of alike spectra stay candidates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from chinspect.anomaly import Detector
from chinspect.audit.detector_images import AuditedImages
from chinspect.audit.detector_marks import (
    alarms_on_normals,
    beside_defects,
    members_of,
    on_defects,
    raises_scores,
    reaction,
    unusable_masks,
)
from chinspect.audit.finding import AuditFinding, Status
from chinspect.audit.proofs import proof_blocks, proof_numbers
from chinspect.explain import area_sum
from chinspect.proof import Proof, prove_candidates
from chinspect.report import Block, Gallery, Table, Tile
from chinspect.spray import Candidate, Finding, SprayRun, analyse

_SHOWN = 12  # members in a gallery: what one looks at
_LEADS: Mapping[str, str] = {
    "confirmed": "Scores hang on what {size} of {images} images carry {position}.",
    "stress": "Normal images are called anomalous for what {size} of {images} images carry {position}.",
    "candidate": "Scores of {size} of {images} images lie alike {position}, and whether they should is open.",
    "undecided": "Scores of {size} of {images} images lie alike {position}; an edit left open whether they hang on it.",
    "not_causal": "Scores of {size} of {images} images lie alike {position}; no edit showed that they hang on it.",
    "clear": "Scores of {size} of {images} images lie {position}, on their defects.",
}
_ADVICE: Mapping[str, str] = {
    "confirmed": "Look at the images: if this is no defect, remove it, or vary it among normal images and fit anew.",
    "stress": "Look at the images: if this is no defect, show the detector normal images that carry it, or remove it.",
    "candidate": "Look at the images: if this is no defect, edit it in some of them and compare the scores.",
    "undecided": "The test leans to reliance and decides nothing: take more images that carry it.",
}


def maps_of(
    detector: Detector,
    tested: AuditedImages,
    *,
    spectra: bool,
    n_surrogates: int,
    path: Path | None,
    progress: Callable[[int, int], None] | None,
) -> SprayRun:
    """SpRAy over the maps, or the spectra, of the scores of all images."""
    return analyse(
        detector,
        list(tested.category.test),
        explain="frequency" if spectra else None,
        n_surrogates=n_surrogates,
        path=path,
        progress=progress,
    )


def proven(detector: Detector, run: SprayRun, *, seed: int, progress: Callable[[int, int], None] | None) -> SprayRun:
    """The run with all its flagged candidates tested in one family, at one level."""
    return prove_candidates(detector, run, seed=seed, progress=progress)


def strategy_findings(run: SprayRun, tested: AuditedImages, threshold: float) -> list[AuditFinding]:
    """A finding for each flagged candidate; one that says so where there is none. ``threshold`` is the frozen one."""
    kind = "spectra" if run.spectra else "maps"
    if not run.flagged:
        title = f"What scores have in common, by their {kind}"
        return [AuditFinding(f"strategies/{kind}", "clear", title, _capital(run.sentence))]
    findings: list[AuditFinding] = []
    for number, finding in run.flagged.items():
        key = f"strategies/{kind}/{_position(finding)}"
        repeated = sum(one.key.partition(" #")[0] == key for one in findings)
        findings.append(_finding(run, tested, threshold, number, key + (f" #{repeated + 1}" if repeated else "")))
    return findings


def _finding(run: SprayRun, tested: AuditedImages, threshold: float, number: int, key: str) -> AuditFinding:
    """A flagged candidate in words, with its members and what an intervention did."""
    finding = run.flagged[number]
    candidate = finding.candidate
    status: Status = candidate.verdict  # type: ignore[assignment]  # of a flagged one: its verdicts are statuses
    sentences = [finding.sentence(len(run.maps))]
    numbers: dict[str, Any] = {"images": candidate.size, "p_value": candidate.q_value, "shared": candidate.shared}
    blocks: list[Block] = [_gallery(run, tested, candidate)]
    if isinstance(finding.proof, Proof):
        numbers |= proof_numbers(finding.proof)
        blocks += proof_blocks(finding.proof)
        if status != "confirmed" and raises_scores(finding.proof):
            alarms = alarms_on_normals(run, candidate, tested, threshold)
            status, words = reaction(alarms, len(run.flagged))
            numbers |= alarms
            sentences.append(words)
    if tested.labelled:
        defective, inside = on_defects(run, candidate, tested)
        status, words = beside_defects(run, candidate, tested, status, defective, inside)
        numbers |= {"defective": defective, "inside_masks": inside}
        sentences += [words, *filter(None, [unusable_masks(run, candidate, tested)])]
    names = [tested.names[i] for i in members_of(run, candidate, tested).values()]
    title = f"Scores that lie {', '.join([candidate.position, *finding.ground])}"
    sentences.insert(0, _LEADS[status].format(size=candidate.size, images=len(run.maps), position=candidate.position))
    advice = _ADVICE.get(status, "")
    return AuditFinding(key, status, title, " ".join(sentences), advice, numbers, names, blocks)


def _gallery(run: SprayRun, tested: AuditedImages, candidate: Candidate) -> Block:
    """Members, those with most of the shared relevance first, with their maps; of spectra a table."""
    members = members_of(run, candidate, tested)
    if run.spectra or run.picture is None:
        table = pd.DataFrame({"band": range(run.maps.shape[2]), "members": candidate.mean_map.ravel()})
        table["all images"] = run.maps.mean(0).ravel()
        return Table(table, "Mean relevance by band, the lowest frequencies first")
    weight = np.clip(candidate.template, 0, None)
    carried = area_sum(run.maps[list(members)], (weight.shape[0], weight.shape[1])) * weight
    order = [list(members)[i] for i in np.argsort(-carried.sum((1, 2)), kind="stable")]
    tiles = [
        Tile(run.picture(i), tested.names[members[i]], tested.words(members[i]), np.asarray(run.maps[i]))
        for i in order[:_SHOWN]
    ]
    return Gallery(tiles, f"{len(tiles)} of {candidate.size} images of the set, with what their scores lie on")


def _position(finding: Finding) -> str:
    """Where a candidate lies and on what: the same in another run, as its number is not."""
    return ", ".join([finding.candidate.position, *finding.ground])


def _capital(text: str) -> str:
    """With a capital letter in front."""
    return text[:1].upper() + text[1:]
