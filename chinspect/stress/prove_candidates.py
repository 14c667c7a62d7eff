"""From a candidate of SpRAy to a verdict: what its members share is cut out, put onto other images, and taken away.

The artefact is isolated from members and their maps (`chinspect.stress.isolate`) and tested on the model
(`chinspect.stress.prove`), in the frame that the model sees: pictures as its preprocessing crops them. A candidate that
cannot be tested stays one, with the reason: too few members, maps without a place, members that share no pixels. One
whose proof decides nothing is ``undecided``. What a proof could not test is a note of the finding.

Each candidate is tested at its own level. Of 20 that mean nothing one will be confirmed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chinspect.errors import InputError
from chinspect.spray.run import Finding, SprayRun
from chinspect.stress.artefacts import Artefact, Pixels
from chinspect.stress.isolate import MIN_MEMBERS, isolate
from chinspect.stress.proof import MIN_IMAGES, prove

_ISOLATED_FROM, _TESTED_ON = 64, 32
"""Images of each kind, at most."""


def prove_candidates(
    model: Any, run: SprayRun, *, seed: int = 0, progress: Callable[[int, int], None] | None = None
) -> SprayRun:
    """The run with each flagged candidate tested on the model that its maps explain.

    Args:
        model: a `Classifier`, an `Encoder` or a fitted detector.
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
    members = finding.candidate.indices
    finite = np.flatnonzero(np.isfinite(run.maps).all((1, 2)))
    rest = np.setdiff1d(finite, members)
    obstacle = _obstacle(run, len(members), len(rest))
    if obstacle:
        return replace(finding, note=f"it was not tested on the model: {obstacle}")
    rng = np.random.default_rng([seed, number])
    inside, outside = (_drawn(places, rng) for places in (np.intersect1d(members, finite), rest))
    carriers, others = _pixels(run, inside), _pixels(run, outside)
    try:
        artefact = _isolated(run, inside, outside, carriers, others, f"candidate {number}")
        proof = prove(model, artefact, others[:_TESTED_ON], carriers[:_TESTED_ON], seed=seed)
    except InputError as error:
        return replace(finding, note=f"it could not be tested on the model: {error}")
    if proof.verdict == "untested":
        return replace(finding, note=f"it could not be tested on the model: {' '.join(proof.missing)}")
    tested = replace(finding.candidate, verdict=proof.verdict)
    return replace(finding, candidate=tested, proof=proof, note=" ".join(proof.missing))


def _obstacle(run: SprayRun, members: int, rest: int) -> str:
    if run.picture is None:
        return "there are no images"
    if run.spectra:
        return "spectra say nothing about places, so that nothing can be cut out"
    if members < MIN_MEMBERS or rest < MIN_IMAGES:
        return f"it takes {MIN_MEMBERS} members and {MIN_IMAGES} other images, and there are {members} and {rest}"
    return ""


def _isolated(
    run: SprayRun,
    inside: NDArray[np.intp],
    outside: NDArray[np.intp],
    carriers: list[Pixels],
    others: list[Pixels],
    name: str,
) -> Artefact:
    return isolate(carriers, list(run.maps[inside]), rest=others, rest_maps=list(run.maps[outside]), name=name)


def _drawn(places: NDArray[np.intp], rng: np.random.Generator) -> NDArray[np.intp]:
    return rng.permutation(places)[:_ISOLATED_FROM]


def _pixels(run: SprayRun, places: NDArray[np.intp]) -> list[Pixels]:
    assert run.picture is not None
    return [np.array(run.picture(int(place))) for place in places]
