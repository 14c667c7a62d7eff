"""From a candidate of SpRAy to a verdict: what its members share is cut out, put onto other images, and taken away.

The artefact is isolated from members and their maps (`chinspect.proof.isolation`) and tested on the model
(`chinspect.stress.prove`), in the frame that the model sees: pictures as its preprocessing crops them. It fits the
images that it is isolated from too well, so it is tested on others, as far as there are enough. Copies of an image
count once, and images that hold the candidate's template without being members take no part. A candidate that cannot be
tested stays one, with the reason: too few members, maps without a place, members that share no pixels. One whose proof
decides nothing is ``undecided``. What a proof could not test is a note of the finding.

Each candidate is tested at its own level. Of 20 that mean nothing one will be confirmed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chinspect.artefacts.artefact import Artefact, Pixels
from chinspect.errors import InputError
from chinspect.proof.isolation import MIN_MEMBERS, isolate
from chinspect.proof.proving import MIN_IMAGES, prove
from chinspect.spray.candidates import Candidate
from chinspect.spray.run import Finding, SprayRun

_ISOLATED_FROM, _TESTED_ON = 64, 32
"""Images of each kind, at most."""
_SAME = "It was isolated from images that it was tested on, as there are too few for both."


def prove_candidates(
    model: Any, run: SprayRun, *, seed: int = 0, progress: Callable[[int, int], None] | None = None
) -> SprayRun:
    """The run with each flagged candidate tested on the model that its maps explain.

    Args:
        model: a `Classifier`, an `Encoder` or a fitted detector. An encoder is tested by similarities: where maps
            explain one output of a classifier, give a `Classifier` with that target.
        run: with pictures; without, nothing can be tested.
        seed: of the images that are drawn, of placebos and bootstrap.
        progress: called with the number of candidates done and in all.
    """
    flagged = [n for n, finding in enumerate(run.findings) if finding.candidate.flagged]
    findings = list(run.findings)
    for done, n in enumerate(flagged, 1):
        findings[n] = _tested(model, run, findings[n], n + 1, seed)
        if progress is not None:
            progress(done, len(flagged))
    return replace(run, findings=findings)


def _tested(model: Any, run: SprayRun, finding: Finding, number: int, seed: int) -> Finding:
    members, rest = _places(run, finding.candidate)
    obstacle = _obstacle(run, len(members), len(rest))
    if obstacle:
        return replace(finding, note=f"it was not tested on the model: {obstacle}")
    rng = np.random.default_rng([seed, number])
    (inside, affected), (outside, clean) = (_divided(rng.permutation(places)) for places in (members, rest))
    try:
        artefact = _isolated(run, inside, outside, f"candidate {number}")
        proof = prove(model, artefact, _pixels(run, clean), _pixels(run, affected), seed=seed)
    except InputError as error:
        return replace(finding, note=f"it could not be tested on the model: {error}")
    if proof.verdict == "untested":
        return replace(finding, note=f"it could not be tested on the model: {' '.join(proof.missing)}")
    tested = replace(finding.candidate, verdict=proof.verdict)
    notes = [*proof.missing, *([_SAME] if min(len(members), len(rest)) < 2 * MIN_IMAGES else [])]
    return replace(finding, candidate=tested, proof=proof, note=" ".join(notes))


def _places(run: SprayRun, candidate: Candidate) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Members, and others that do not hold the candidate's template; copies are left out."""
    kept = run.spray.kept_
    holding = run.spray.carriers(candidate, run.maps)
    return np.intersect1d(kept, candidate.indices), np.setdiff1d(kept[~holding[kept]], candidate.indices)


def _divided(places: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Images to isolate from and others to test on; where either would be too few, all serve for both."""
    tested = min(_TESTED_ON, len(places) // 2)
    if tested < MIN_IMAGES:
        return places[:_ISOLATED_FROM], places[:_TESTED_ON]
    return places[tested:][:_ISOLATED_FROM], places[:tested]


def _obstacle(run: SprayRun, members: int, rest: int) -> str:
    if run.picture is None:
        return "there are no images"
    if run.spectra:
        return "spectra say nothing about places, so that nothing can be cut out"
    if members < MIN_MEMBERS or rest < MIN_IMAGES:
        return f"it takes {MIN_MEMBERS} members and {MIN_IMAGES} other images, and there are {members} and {rest}"
    return ""


def _isolated(run: SprayRun, inside: NDArray[np.intp], outside: NDArray[np.intp], name: str) -> Artefact:
    carriers, others = _pixels(run, inside), _pixels(run, outside)
    return isolate(carriers, list(run.maps[inside]), rest=others, rest_maps=list(run.maps[outside]), name=name)


def _pixels(run: SprayRun, places: NDArray[np.intp]) -> list[Pixels]:
    assert run.picture is not None
    return [np.array(run.picture(int(place))) for place in places]
