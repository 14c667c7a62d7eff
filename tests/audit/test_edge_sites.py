"""Images whose edges agree in one place are led to, whatever the model makes of them."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from _world import eye
from PIL import Image

from chinspect.artefacts import ARTEFACTS
from chinspect.audit.evidence import Evidence
from chinspect.audit.judging import encoder_findings
from chinspect.audit.selecting import suspects
from chinspect.audit.sites import edge_sites
from chinspect.errors import InputError
from chinspect.execute import Samples
from chinspect.images import list_images, open_image
from chinspect.proof import prove_all
from chinspect.spray import SpRAy, SprayRun

SIDE, COUNT = 224, 60


@pytest.fixture(scope="module")
def pictures(real_data):
    paths = list_images(real_data("imagenet_sample"))[:COUNT]
    return [np.asarray(open_image(path).resize((SIDE, SIDE))) for path in paths]


def run_of(pictures, carriers, artefact="imagenet-w"):
    """Of photographs, the first of which carry a mark, with maps that say nothing."""
    mark = ARTEFACTS[artefact]()
    shown = [mark.add(image) if i < carriers else image for i, image in enumerate(pictures)]
    maps = np.random.default_rng(0).random((len(shown), 14, 14)).astype(np.float32)
    names = [f"{i:02}.png" for i in range(len(shown))]
    return SprayRun(SpRAy(n_surrogates=0).fit(maps), maps, names, picture=lambda i: Image.fromarray(shown[i]))


def evidence_of(run):
    return Evidence(eye(0.0), Samples(None, tuple(run.names)), run=run, edges=edge_sites(run))


@pytest.mark.parametrize("carriers", [5, 12])
def test_all_carriers_are_members_and_as_many_others_as_isolation_needs(pictures, carriers):
    sites = edge_sites(run_of(pictures, carriers))
    assert len(sites) == 1
    assert set(range(carriers)) <= set(sites[0].members.tolist())
    assert len(sites[0].members) == max(carriers, 8)
    assert set(sites[0].maps) == set(sites[0].members.tolist())
    assert sites[0].position == "in the centre"
    assert set(sites[0].doubtful.tolist()) <= set(range(carriers))


def test_of_many_carriers_more_are_members_than_those_whose_pairs_are_mapped(pictures, monkeypatch):
    monkeypatch.setattr("chinspect.proof.edge_pairs._MAPPED", 10)
    sites = edge_sites(run_of(pictures, 20))
    assert len(sites) == 1
    assert set(sites[0].members.tolist()) <= set(range(20))
    assert len(sites[0].members) > 10


def test_there_is_no_place_without_a_mark_and_with_three_carriers(pictures):
    for carriers in (0, 3):
        assert edge_sites(run_of(pictures, carriers)) == []


def test_of_too_few_images_it_is_not_said_that_there_are_no_edges(pictures):
    with pytest.raises(InputError, match="at least 16 different images are compared, and there are 12"):
        edge_sites(run_of(pictures[:12], 6))


def test_a_picture_that_is_there_twice_counts_once(pictures):
    twice = [*pictures[:4], *pictures[:4], *pictures[8:]]
    assert edge_sites(run_of(twice, 0)) == []


def test_five_carriers_that_no_map_tells_are_cut_out_and_told(pictures):
    run = run_of(pictures, 5)
    selected = suspects(evidence_of(run), seed=0)[1]
    places = [suspect for suspect in selected if suspect.site is not None]
    assert [suspect.site.source for suspect in places] == ["edges"]
    assert places[0].cut_out
    assert list(places[0].members) == list(range(5))


def test_images_of_a_candidate_are_looked_at_again_only_where_nothing_was_cut_out_of_it(pictures):
    run = run_of(pictures, 8)
    strongest = run.findings[0]
    relevance = run.maps.copy()
    relevance[:8, 5:9, 2:12] += 20  # on the watermark, or with it on its blank surroundings
    for rows, again in ((slice(5, 9), False), (slice(0, 2), True)):
        relevance[:8] = 0.01
        relevance[:8, rows, 2:12] = 1
        candidate = replace(strongest.candidate, indices=np.arange(8), flagged=True, verdict="candidate")
        changed = replace(run, maps=relevance, findings=[replace(strongest, candidate=candidate)])
        selected = suspects(evidence_of(changed), seed=0)[1]
        assert selected[0].finding == 0
        assert selected[0].cut_out is not again
        assert any(suspect.site is not None for suspect in selected) is again


def test_a_finding_says_what_led_to_it_and_what_came_of_it(pictures):
    evidence = evidence_of(run_of(pictures, 6))
    evidence.run, selected = suspects(evidence, seed=0)
    proofs = prove_all(eye(0.0), [suspect.case for suspect in selected], n_resamples=200)
    evidence.suspects = [replace(suspect, proof=proof) for suspect, proof in zip(selected, proofs, strict=True)]
    finding = next(f for f in encoder_findings(evidence, SimpleNamespace(reasons={})) if f.key.startswith("edges/"))
    assert finding.key == "edges/centre"
    assert finding.status == "not_causal"
    assert finding.title == "6 images share a mark in the centre"
    assert "8 of 60 images were looked at because edges in the centre agree, in" in finding.sentence
    assert "What was cut out there is on 6 of them." in finding.sentence
    assert finding.members == [f"{i:02}.png" for i in range(6)]
