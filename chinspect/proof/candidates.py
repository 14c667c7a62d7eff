"""From a candidate of SpRAy to a verdict: what its members have in common is cut out, put onto other images, and taken
away from them.

The artefact is isolated from members and their maps (`chinspect.proof.isolation`) and tested on the model
(`chinspect.proof.prove`), in the frame that the model sees: pictures as its preprocessing crops them. It fits the
images that it is isolated from too well, so it is tested on others, as far as there are enough. Copies of an image
count once, and images that hold the candidate's template without being members take no part. A candidate that cannot be
tested stays one, with the reason: too few members, maps that are spectra, members without common pixels. One whose
proof decides nothing is ``undecided``, and its sentence says what to do next. What a proof could not test is a note of
the finding.

All candidates are tested at one level together: with a probability of 5 %, at most, is any confirmed that does no more
than other content in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from chinspect.artefacts import Pixels
from chinspect.errors import InputError
from chinspect.proof.edges import shows
from chinspect.proof.isolation import MIN_MEMBERS, isolate
from chinspect.proof.proving import MIN_IMAGES, Case, Proof, prove_all
from chinspect.spray.candidates import Candidate
from chinspect.spray.run import Finding, SprayRun
from chinspect.subjects import Subject

_ISOLATED_FROM = 64  # images of each kind, at most: a spread is then known to a tenth
_TESTED_ON = 32  # likewise: more make a proof slower and its intervals little shorter
_POOL = 200  # other images that lend their content to placebos: as many as there are placebos at most
SAME = "It was isolated from images that it was tested on, as there are too few for both."
"""A note on a proof."""

Indices = NDArray[np.intp]
Rows = NDArray[np.float32]


def prove_candidates(
    subject: Subject, run: SprayRun, *, seed: int = 0, progress: Callable[[int, int], None] | None = None
) -> SprayRun:
    """The run with each flagged candidate tested on the model that its maps explain.

    Args:
        subject: see `prove`. An encoder is tested by similarities: where maps explain one output of a classifier, give
            a `Classifier` with that target.
        run: with pictures; without, nothing can be tested.
        seed: of the images that are drawn, of placebos and bootstrap.
        progress: called with the number of trials made and in all.
    """
    cases, run = candidate_cases(run, seed=seed)
    try:
        proofs = prove_all(subject, list(cases.values()), seed=seed, progress=progress)
    except InputError as error:  # of the model, so that no candidate can be tested; the analysis stands
        note = f"it could not be tested on the model: {error}"
        findings = [replace(x, note=note) if n in cases else x for n, x in enumerate(run.findings)]
        return replace(run, findings=findings)
    return with_proofs(run, dict(zip(cases, proofs, strict=True)))


def candidate_cases(run: SprayRun, *, seed: int = 0) -> tuple[dict[int, Case], SprayRun]:
    """What `prove_candidates` tests, by the index of the finding; and the run with notes on what cannot be tested."""
    findings = list(run.findings)
    cases: dict[int, Case] = {}
    for n, finding in enumerate(findings):
        if finding.candidate.flagged:
            try:
                cases[n] = _case(run, finding.candidate, n + 1, seed)
            except InputError as error:
                findings[n] = replace(finding, note=f"it was not tested on the model: {error}")
    return cases, replace(run, findings=findings)


def with_proofs(run: SprayRun, proofs: Mapping[int, Proof]) -> SprayRun:
    """The run with proofs of some of its findings, by their indices."""
    findings = list(run.findings)
    for n, proof in proofs.items():
        findings[n] = _judged(run, findings[n], proof)
    return replace(run, findings=findings)


def member_case(
    picture: Callable[[int], Image.Image],
    members: Indices,
    rest: Indices,
    maps: Rows,
    *,
    name: str,
    seed: Sequence[int],
    common: bool = True,
) -> Case:
    """The artefact that images share, and images to test it on that it was not isolated from, as far as there are.

    Args:
        picture: from an index to what the model sees of an image.
        members: indices of the images that share it.
        rest: of images that do not.
        maps: (N, h, w), relevance of all images.
        name: of the artefact.
        seed: of the images that are drawn.
        common: whether relevance that the rest have, too, does not count; else the maps of the rest say nothing.

    Raises `InputError` for too few images, and an artefact that covers all of an image.
    """
    _check(len(members), len(rest))
    rng = np.random.default_rng(seed)
    inside, affected = _divided(rng.permutation(members))
    shuffled = rng.permutation(rest)
    outside, clean = _divided(shuffled)
    artefact = isolate(
        _pixels(picture, inside),
        list(maps[inside]),
        rest=_pixels(picture, outside),
        rest_maps=list(maps[outside]) if common else (),
        name=name,
    )
    if not artefact.empty:
        artefact.remove(_pixels(picture, affected[:1])[0])  # an error where it covers all of an image
    pool = np.setdiff1d(shuffled[: _POOL + len(clean)], clean)
    without = _pixels(picture, np.concatenate([clean, pool]))
    # a carrier that is no member would lend the artefact itself to placebos
    carry = shows(artefact, without)
    free = [pixels for pixels, carries in zip(without, carry, strict=True) if not carries]
    count = int((~carry[: len(clean)]).sum())
    return Case(artefact, free[:count], _pixels(picture, affected), free[count:])


def _case(run: SprayRun, candidate: Candidate, number: int, seed: int) -> Case:
    """The artefact of a candidate, named by its number, and images to test it on; `InputError` if there are none."""
    if run.picture is None:
        raise InputError("there are no images")
    if run.spectra:
        raise InputError("spectra say nothing about places, so that nothing can be cut out")
    members, rest = _members_and_rest(run, candidate)
    return member_case(run.picture, members, rest, run.maps, name=f"candidate {number}", seed=[seed, number])


def _judged(run: SprayRun, finding: Finding, proof: Proof) -> Finding:
    """The finding with its proof, and notes of what that could not test."""
    if proof.verdict == "untested":
        return replace(finding, note=f"it could not be tested on the model: {' '.join(proof.missing)}")
    notes = list(proof.missing)
    members, rest = _members_and_rest(run, finding.candidate)
    if min(len(members), len(rest)) < 2 * MIN_IMAGES:
        notes.append(SAME)
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


def _check(members: int, rest: int) -> None:
    """`InputError` for too few images."""
    if members < MIN_MEMBERS or rest < MIN_IMAGES:
        raise InputError(
            f"it takes {MIN_MEMBERS} members and {MIN_IMAGES} other images, and there are {members} and {rest}"
        )


def _pixels(picture: Callable[[int], Image.Image], indices: Indices) -> list[Pixels]:
    return [np.array(picture(int(index))) for index in indices]
