"""What an audit says of images that pairs led to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from _world import SIZE, eye, mark

from chinspect.artefacts import Artefact
from chinspect.audit.evidence import Suspect
from chinspect.audit.judging import site_status
from chinspect.proof import Case, prove_all
from chinspect.world import scenes

EMPTY = Artefact("site 1", np.zeros((SIZE, SIZE, 3), np.float32), np.zeros((SIZE, SIZE), np.float32))


@pytest.fixture(scope="module")
def pictures():
    return [scene.image for scene in scenes(36, seed=5, size=SIZE)]


def suspect(gain, artefact, pictures):
    proof = prove_all(eye(gain), [Case(artefact, pictures[:12], (), pictures[12:])], n_resamples=200)[0]
    return Suspect("site 1", range(12), proof=proof)


@pytest.mark.parametrize(
    ("gain", "artefact", "status", "said"),
    [
        (5000.0, mark(), "confirmed", "relies on"),
        (0.0, mark(), "not_causal", "not"),
        (5000.0, EMPTY, "undecided", "No mark could be cut out there"),
    ],
)
def test_a_place_is_what_its_mark_does_and_undecided_without_one(pictures, gain, artefact, status, said):
    told = site_status(suspect(gain, artefact, pictures))
    assert told[0] == status
    assert said in told[1]


def test_a_place_that_could_not_be_tested_stays_a_candidate(pictures):
    few = replace(suspect(5000.0, mark(), pictures[:5]), note="")
    assert few.proof is not None
    assert few.proof.verdict == "untested"
    assert site_status(few)[0] == "candidate"
    assert site_status(Suspect("site 1", range(5), note="it was not tested: too few.")) == (
        "candidate",
        "It was not tested: too few.",
    )
