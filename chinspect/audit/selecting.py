"""Which artefacts an audit proves: those of flagged candidates, and those of places that suspicious pairs share.

All are proven in one family, so that one level holds for whatever source led to them. Where pairs lead to images that a
candidate has already, they are proven once, as that candidate's. Of images that pairs led to, those count that carry
what was cut out: a mark on few is beside others in their pairs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from chinspect.audit.evidence import Evidence, Suspect
from chinspect.audit.plan import CASES
from chinspect.audit.sites import Site, shared_sites
from chinspect.errors import InputError
from chinspect.proof import candidate_cases, member_case
from chinspect.proof.edges import shows
from chinspect.spray import SprayRun

_SAME = 0.5  # of the images of a place: a candidate that has them tells of the same artefact
_NOT_FIRST = "it was not tested on the model: only the clearest sets of images are, {most} at most"


def suspects(evidence: Evidence, *, seed: int, most: int = CASES) -> tuple[SprayRun, list[Suspect]]:
    """Candidates and places, the clearest first, ``most`` of them with cases; and the run with notes on the others."""
    run = evidence.run
    assert run is not None
    cases, run = candidate_cases(run, seed=seed)
    result: list[Suspect] = []
    for n in sorted(cases):
        finding = run.findings[n]
        result.append(Suspect(f"candidate {n + 1}", finding.candidate.indices.tolist(), finding=n, case=cases[n]))
    note = _NOT_FIRST.format(most=most)
    if len(result) > most:
        findings = list(run.findings)
        for suspect in result[most:]:
            assert suspect.finding is not None
            findings[suspect.finding] = replace(findings[suspect.finding], note=note)
        run = replace(run, findings=findings)
        result = result[:most]
    places = _of_pairs(evidence, run, result, seed)
    for n in range(most - len(result), len(places)):
        places[n] = replace(places[n], case=None, note=places[n].note or note)
    return run, [*result, *places]


def _of_pairs(evidence: Evidence, run: SprayRun, known: list[Suspect], seed: int) -> list[Suspect]:
    """Places that no candidate has the images of."""
    if evidence.index is None or evidence.pairs is None:
        return []
    result: list[Suspect] = []
    for site in shared_sites(evidence.index, evidence.pairs):
        members = np.array([i for i, name in enumerate(run.names) if name in site.maps])
        if not any(len(np.intersect1d(members, other.members)) >= _SAME * len(members) for other in known):
            result.append(_suspect(evidence, run, site, members, len(result) + 1, seed))
    return result


def _suspect(
    evidence: Evidence, run: SprayRun, site: Site, members: NDArray[np.intp], number: int, seed: int
) -> Suspect:
    suspect = Suspect(f"site {number}", members.tolist(), site=site)
    assert run.picture is not None
    assert evidence.pairs is not None
    # images that any leading pair joins to a member may carry what members do
    joined = evidence.pairs[evidence.pairs["p_value"] <= site.pairs["p_value"].max()]
    linked = joined[joined["a"].isin(site.names) | joined["b"].isin(site.names)]
    doubtful = {*linked["a"], *linked["b"]}
    rest = np.array([i for i in run.spray.kept_ if run.names[i] not in doubtful], dtype=np.intp)
    maps = np.zeros((len(run.names), *site.map.shape), np.float32)
    for i in members:
        maps[i] = site.maps[run.names[i]]
    distinct = np.intersect1d(members, run.spray.kept_)
    try:
        # a number of its own, behind those of candidates, so that it draws other images
        seeds = [seed, CASES + number, 1]
        case = member_case(run.picture, distinct, rest, maps, name=suspect.name, seed=seeds, common=False)
    except InputError as error:
        return replace(suspect, note=f"it was not tested on the model: {error}")
    return carrying(replace(suspect, case=case), run.picture)


def carrying(suspect: Suspect, picture: Callable[[int], Image.Image]) -> Suspect:
    """With those of its members, and of the images that a proof takes it away from, that carry what was cut out.

    All stay where nothing was cut out, or where none carries it.
    """
    case = suspect.case
    assert case is not None
    carry = shows(case.artefact, [np.array(picture(index)) for index in suspect.members])
    if not carry.any():
        return suspect
    affected = [
        image for image, carries in zip(case.affected, shows(case.artefact, case.affected), strict=True) if carries
    ]
    members = [index for index, carries in zip(suspect.members, carry, strict=True) if carries]
    return replace(suspect, members=members, case=replace(case, affected=affected))
