"""From a candidate of SpRAy to a verdict: what its members have in common is cut out, put onto other images, and taken
away from them.

The artefact is isolated from members and their maps (`chinspect.proof.isolation`) and tested on the model
(`chinspect.proof.prove`), in the frame that the model sees: pictures as its preprocessing crops them. It fits the
images that it is isolated from too well, so it is tested on others, as far as there are enough. Copies of an image
count once, and images that hold the candidate's template without being members take no part. A candidate that cannot be
tested stays one, with the reason: too few members, maps that are spectra, members without common pixels. One whose
proof decides nothing is ``undecided``. What a proof could not test is a note of the finding.

Each candidate is tested at its own level. Of 20 that mean nothing one will be confirmed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from chinspect.artefacts import Pixels
from chinspect.errors import InputError
from chinspect.proof.isolation import MIN_MEMBERS, isolate
from chinspect.proof.proving import MIN_IMAGES, prove
from chinspect.spray.candidates import Candidate
from chinspect.spray.run import Finding, SprayRun
from chinspect.subjects import Subject

_ISOLATED_FROM = 64  # images of each kind, at most: a spread is then known to a tenth
_TESTED_ON = 32  # likewise: more make a proof slower and its intervals little shorter
_SAME = "It was isolated from images that it was tested on, as there are too few for both."

Indices = NDArray[np.intp]


def prove_candidates(
    subject: Subject, run: SprayRun, *, seed: int = 0, progress: Callable[[int, int], None] | None = None
) -> SprayRun:
    """The run with each flagged candidate tested on the model that its maps explain.

    Args:
        subject: see `prove`. An encoder is tested by similarities: where maps explain one output of a classifier, give
            a `Classifier` with that target.
        run: with pictures; without, nothing can be tested.
        seed: of the images that are drawn, of placebos and bootstrap.
        progress: called with the number of candidates done and in all.
    """
    flagged = [n for n, finding in enumerate(run.findings) if finding.candidate.flagged]
    findings = list(run.findings)
    for done, n in enumerate(flagged, 1):
        findings[n] = _tested(subject, run, findings[n], n + 1, seed)
        if progress is not None:
            progress(done, len(flagged))
    return replace(run, findings=findings)


def _tested(subject: Subject, run: SprayRun, finding: Finding, number: int, seed: int) -> Finding:
    """The finding tested, or with a note that says why it could not be; its number, from 1, names the artefact."""
    members, rest = _members_and_rest(run, finding.candidate)
    obstacle = _obstacle(run, len(members), len(rest))
    if obstacle:
        return replace(finding, note=f"it was not tested on the model: {obstacle}")
    rng = np.random.default_rng([seed, number])
    inside, affected = _divided(rng.permutation(members))
    outside, clean = _divided(rng.permutation(rest))
    try:
        artefact = isolate(
            _pixels(run, inside),
            list(run.maps[inside]),
            rest=_pixels(run, outside),
            rest_maps=list(run.maps[outside]),
            name=f"candidate {number}",
        )
        proof = prove(subject, artefact, _pixels(run, clean), _pixels(run, affected), seed=seed)
    except InputError as error:
        return replace(finding, note=f"it could not be tested on the model: {error}")
    if proof.verdict == "untested":
        return replace(finding, note=f"it could not be tested on the model: {' '.join(proof.missing)}")
    notes = list(proof.missing)
    if min(len(members), len(rest)) < 2 * MIN_IMAGES:
        notes.append(_SAME)
    candidate = replace(finding.candidate, verdict=proof.verdict)
    return replace(finding, candidate=candidate, proof=proof, note=" ".join(notes))


def _members_and_rest(run: SprayRun, candidate: Candidate) -> tuple[Indices, Indices]:
    """Members, and others that do not hold the candidate's template; copies are left out."""
    distinct = run.spray.kept_
    others = distinct[~run.spray.carriers(candidate, run.maps)[distinct]]
    return np.intersect1d(distinct, candidate.indices), np.setdiff1d(others, candidate.indices)


def _divided(indices: Indices) -> tuple[Indices, Indices]:
    """Images to isolate from and others to test on; where either would be too few, all serve for both."""
    tested = min(_TESTED_ON, len(indices) // 2)
    if tested < MIN_IMAGES:
        return indices[:_ISOLATED_FROM], indices[:_TESTED_ON]
    return indices[tested:][:_ISOLATED_FROM], indices[:tested]


def _obstacle(run: SprayRun, members: int, rest: int) -> str:
    if run.picture is None:
        return "there are no images"
    if run.spectra:
        return "spectra say nothing about places, so that nothing can be cut out"
    if members < MIN_MEMBERS or rest < MIN_IMAGES:
        return f"it takes {MIN_MEMBERS} members and {MIN_IMAGES} other images, and there are {members} and {rest}"
    return ""


def _pixels(run: SprayRun, indices: Indices) -> list[Pixels]:
    assert run.picture is not None
    return [np.array(run.picture(int(index))) for index in indices]
