"""Which artefacts an audit proves: those of flagged candidates, and those of places that pairs of images share.

All are proven in one family, so that one level holds for whatever source led to them. Where pairs lead to images that a
candidate has already, they are proven once, as that candidate's; where edges agree, also if nothing could be cut out of
that candidate. Of images that pairs led to, those count that carry what was cut out: a mark on few is beside others in
their pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
    places = _of_places(evidence, run, result, seed)
    note = _NOT_FIRST.format(most=most)
    if len(result) > most:
        findings = list(run.findings)
        for suspect in result[most:]:
            assert suspect.finding is not None
            findings[suspect.finding] = replace(findings[suspect.finding], note=note)
        run = replace(run, findings=findings)
        result = result[:most]
    for n in range(most - len(result), len(places)):
        places[n] = replace(places[n], case=None, note=places[n].note or note)
    return run, [*result, *places]


def _of_places(evidence: Evidence, run: SprayRun, candidates: list[Suspect], seed: int) -> list[Suspect]:
    """Places where edges agree, and places of pairs, those of images that are not known already."""
    sites = list(evidence.edges or ())
    if evidence.index is not None and evidence.pairs is not None:
        sites += shared_sites(evidence.index, evidence.pairs, run.names)
    result: list[Suspect] = []
    for site in sites:
        known = _known(site, candidates, result)
        if not _among(site.members, known):
            suspect = _suspect(run, site, len(result) + 1, seed)
            if not (suspect.cut_out and _among(suspect.members, known)):
                result.append(suspect)
    return result


def _known(site: Site, candidates: list[Suspect], places: list[Suspect]) -> list[Suspect]:
    """Whose images need no second proof: for edges those that something was cut out of already."""
    if site.source == "edges":
        return [candidate for candidate in candidates if candidate.cut_out]
    return [
        *candidates,
        *(place for place in places if place.site is not None and place.site.source == "edges" and place.cut_out),
    ]


def _among(members: Sequence[int] | NDArray[np.intp], known: list[Suspect]) -> bool:
    """Whether any of those that are known has half of the images, or more."""
    return any(len(np.intersect1d(members, other.members)) >= _SAME * len(members) for other in known)


def _suspect(run: SprayRun, site: Site, number: int, seed: int) -> Suspect:
    assert run.picture is not None
    suspect = Suspect(f"site {number}", site.members.tolist(), site=site)
    rest = np.setdiff1d(run.spray.kept_, np.union1d(site.members, site.doubtful))
    maps = np.zeros((len(run.names), *site.map.shape), np.float32)
    for image, values in site.maps.items():
        maps[image] = values
    distinct = np.intersect1d(site.members, run.spray.kept_)
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
