"""The audit of a detector: planted dependence is told, nulls are not, and no step that fails loses the others."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from chinspect.anomaly import CallableDetector, D2Neighbors, PatchCore
from chinspect.artefacts import ARTEFACTS
from chinspect.audit import audit_detector, junit_xml, summary_markdown
from chinspect.audit.detector_images import AuditedImages, audited_images
from chinspect.audit.detector_marks import beside_defects, on_defects, unusable_masks
from chinspect.audit.detector_plan import MAPS, SCORES, SPECTRA, DetectorTiming, time_detector
from chinspect.audit.detector_strategies import maps_of
from chinspect.datasets import load_mvtec
from chinspect.errors import InputError
from chinspect.images import open_image
from chinspect.report import json_text
from chinspect.spray import ground
from chinspect.world import industrial

SIDE = 32


@pytest.fixture(scope="module")
def texture(tmp_path_factory):
    """Surfaces with one fine structure, which another resizer samples differently: 30 to fit on, 80 to test."""
    root = industrial(
        tmp_path_factory.mktemp("texture"), variant="scene-texture", n_train=30, n_test=80, seed=3, size=96
    )
    return load_mvtec(root)


@pytest.fixture(scope="module")
def nearest(texture):
    # a threshold of 5 % could not be set anew on the 10 normal images that are held out
    return D2Neighbors(resizer="opencv-nearest", size=SIDE, threshold_fpr=0.1).fit(list(texture.train))


@pytest.fixture(scope="module")
def planted(nearest, texture):
    """Fitted with a crude resizer, deployed with another; with the remedies."""
    return audit_detector(nearest, texture, changes=["jpeg-90"], mitigate=True, n_surrogates=0)


def by_key(audit):
    return {finding.key: finding for finding in audit.findings}


def test_dependence_on_the_resizer_is_a_stress(planted):
    finding = by_key(planted)["stress/pillow-bilinear"]
    assert (finding.status, planted.verdict) == ("stress", "stress")
    assert finding.numbers["low"] > 0.02
    assert finding.numbers["turned"] > 10 * finding.numbers["placebo"]
    assert finding.numbers["fpr_low"] > 0.1, "alarms beyond the rate that the threshold guarantees"
    assert np.sign(finding.numbers["predicted_mean"]) == np.sign(finding.numbers["measured_mean"])
    assert finding.members
    assert finding.advice
    kinds = {type(block).__name__ for block in finding.blocks}
    assert kinds == {"Histogram", "Intervals", "Comparison"}


def test_half_of_a_grey_level_turns_nothing(planted):
    assert by_key(planted)["stress/16-bit-truncated"].status == "clear"


def test_remedies_stand_beside_what_was_before(planted):
    remedies = [finding for finding in planted.findings if finding.key.startswith("remedy/")]
    assert {one.key for one in remedies} == {
        f"remedy/{name}" for name in ("blur", "new threshold", "blur and new threshold")
    }
    assert all(one.status in ("clear", "undecided") for one in remedies), "no remedy fails a gate"
    table = remedies[0].blocks[0].table
    resizer = table[table.condition == "pillow-bilinear"].set_index("remedy")
    assert resizer.fpr["new threshold"] < resizer.fpr["none"]
    assert resizer.fpr["new threshold of the usual resizer (control)"] > resizer.fpr["new threshold"]


def test_the_audit_is_a_result_with_a_page_and_a_gate(planted, tmp_path):
    document = json.loads(json_text(planted.document()))
    assert document["kind"] == "audit"
    assert set(document["made"]) >= {"model", "images", "versions", "conditions"}
    page = planted.page()
    assert page.verdict == "stress"
    assert [section.title for section in page.sections[:1]] == ["Resizer pillow-bilinear"]
    assert "failure" in junit_xml(planted, "stress")
    assert "pillow-bilinear" in summary_markdown(planted)
    assert planted.save(tmp_path)[0].name == "audit.json"
    assert list(planted.steps.columns) == ["step", "state", "images", "seconds", "note"]


def test_resizers_that_filter_alike_are_no_stress(texture):
    detector = D2Neighbors(resizer="pillow-bilinear", size=SIDE).fit(list(texture.train))
    audit = audit_detector(detector, texture, deploy=["torch-bilinear-aa"], changes=(), n_surrogates=0)
    assert by_key(audit)["stress/torch-bilinear-aa"].status == "clear"
    assert audit.verdict not in ("confirmed", "stress")


def test_images_that_no_resizer_changes_are_no_stress(texture, tmp_path):
    for i, path in enumerate(texture.test[:30]):
        open_image(path).resize((SIDE, SIDE)).save(tmp_path / f"{i}.png")
    detector = D2Neighbors(size=SIDE).fit(sorted(tmp_path.glob("*.png"))[:15])
    audit = audit_detector(detector, tmp_path, changes=(), n_surrogates=0)
    finding = by_key(audit)["stress/pillow-bilinear"]
    assert (finding.status, finding.numbers["turned"], finding.numbers["shift"]) == ("clear", 0, 0)


def test_a_plain_folder_tells_turns_and_shifts_only(nearest, texture, tmp_path):
    for i, path in enumerate(texture.test):
        (tmp_path / f"{i}.jpg").write_bytes(path.read_bytes())
    audit = audit_detector(nearest, tmp_path, changes=(), mitigate=True, n_surrogates=0)
    findings = by_key(audit)
    assert findings["stress/pillow-bilinear"].status == "stress"
    assert "fpr" not in findings["stress/pillow-bilinear"].numbers
    assert "decisions/unchanged" not in findings
    assert findings["remedy/new threshold"].status == "untested"
    assert not audit.made["labelled"]


def test_a_step_that_fails_is_untested_and_loses_no_other(texture):
    detector = CallableDetector(lambda x: x.square().mean((1, 2, 3)), size=SIDE).fit(list(texture.train))
    audit = audit_detector(detector, texture, changes=(), n_surrogates=0, limit=20)
    untested = [finding for finding in audit.findings if finding.key.startswith("step/")]
    assert len(untested) == 2, "neither maps nor spectra of a function, which cannot be told from another"
    assert all(one.status == "untested" for one in untested)
    assert untested[0].sentence.startswith("What scores have in common, by maps: a detector that calls a function")
    assert "stress/pillow-bilinear" in by_key(audit)


def test_an_interrupted_audit_says_what_is_missing_and_goes_on(nearest, texture, tmp_path):
    def interrupt(step, done, total):
        if "scores" in step and "conditions" in step:
            raise KeyboardInterrupt

    options = {"changes": (), "n_surrogates": 0, "limit": 20, "path": tmp_path}
    stopped = audit_detector(nearest, texture, progress=interrupt, **options)
    assert {"done", "stopped"} == set(stopped.steps.state)
    assert "was stopped" in by_key(stopped)["step/scores under all conditions"].sentence
    again = audit_detector(nearest, texture, **options)
    fresh = audit_detector(nearest, texture, **(options | {"path": None}))
    assert json_text([one.document() for one in again.findings]) == json_text(
        [one.document() for one in fresh.findings]
    )


def test_a_budget_samples_images_and_leaves_out_spectra(nearest, texture, tmp_path, monkeypatch):
    """Half a second a map, one a spectrum, on 80 images: 2 minutes, and .7 for 40 images without spectra."""
    slow = DetectorTiming(prepare=0.0, score=0.0, explain=0.5, spectrum=1.0, edit=0.0)
    monkeypatch.setattr("chinspect.audit.detectors.time_detector", lambda *_: slow)
    plans = []
    options = {"changes": (), "n_surrogates": 0, "path": tmp_path, "announce": plans.append}
    audit = audit_detector(nearest, texture, budget=0.4, **options)
    assert 40 <= plans[0].images < 80
    assert plans[0].minutes <= 0.4
    assert audit.made["plan"]["images"] == plans[0].images
    states = audit.steps.set_index("step").state
    assert states[SPECTRA] == "left out"
    assert states[MAPS] == states[SCORES] == "done"
    again = audit_detector(nearest, texture, budget=0.4, **options)
    assert plans[1].images == plans[0].images
    assert [one.key for one in again.findings] == [one.key for one in audit.findings]
    with pytest.raises(InputError, match="another seed"):
        audit_detector(nearest, texture, budget=0.4, random_state=1, **options)
    with pytest.raises(InputError, match="even 40 images take about"):
        audit_detector(nearest, texture, budget=0.1, **(options | {"path": None}))


def test_a_detector_without_maps_is_timed_all_the_same(texture):
    detector = CallableDetector(lambda x: x.square().mean((1, 2, 3)), size=SIDE).fit(list(texture.train))
    timing = time_detector(detector, audited_images(texture, detector, limit=20))
    assert timing.explain == timing.spectrum == 0
    assert timing.score > 0


def test_a_mark_on_normal_images_is_told_with_its_images(texture, tmp_path, monkeypatch):
    monkeypatch.setattr(ground, "can_read", lambda: False)  # reading text takes seconds, and is not asked here
    patch = ARTEFACTS["patch"]()
    marked = set()
    paths = []
    for i, path in enumerate(texture.test):
        pixels = np.asarray(open_image(path))
        if i % 5 == 0:
            pixels = patch.add(pixels)
            marked.add(f"{tmp_path.name}/{i:02}.png")
        paths.append(tmp_path / f"{i:02}.png")
        Image.fromarray(pixels).save(paths[-1])
    detector = D2Neighbors(resizer="pillow-bilinear", size=SIDE).fit(list(texture.train))
    data = replace(texture, test=tuple(paths))
    audit = audit_detector(detector, data, deploy=["torch-bilinear-aa"], changes=(), n_surrogates=19)
    told = [finding for finding in audit.findings if finding.status in ("confirmed", "stress")]
    assert len(told) == 1
    right = marked.intersection(told[0].members)
    assert len(right) >= 0.8 * max(len(marked), len(told[0].members))
    assert told[0].key.startswith("strategies/maps/at the upper right")
    assert "normal images that carry it are called anomalous" in told[0].sentence
    assert told[0].numbers["alarms_with"] == told[0].numbers["normals_with"]
    assert audit.verdict == "stress"


def test_a_watermark_on_photographs_of_tiles_is_where_they_are_anomalous(real_data, tmp_path, monkeypatch):
    """The score of each is that of another letter, so that relevance of scores lies in another place in each."""
    monkeypatch.setattr(ground, "can_read", lambda: False)
    tiles = load_mvtec(real_data("magnetic_tile"))
    detector = PatchCore(coreset=0.02, resizer="pillow-bilinear", size=128).fit(list(tiles.train)[:24])
    watermark = ARTEFACTS["watermark"]()
    for i, path in enumerate(tiles.test[::5][:60]):
        pixels = np.asarray(open_image(path))
        Image.fromarray(watermark.add(pixels) if i % 6 == 0 else pixels).save(tmp_path / f"{i:02}.png")
    run = maps_of(
        detector, audited_images(tmp_path, detector), spectra=False, n_surrogates=19, path=None, progress=None
    )
    assert run.made["method"] == "anomaly_map"
    (found,) = run.flagged.values()
    members = {int(Path(run.names[i]).stem) for i in found.candidate.indices}
    carriers = set(range(0, 60, 6))
    assert len(members & carriers) >= 0.8 * max(len(members), len(carriers))


class Run:
    """What is asked of a run of SpRAy here."""

    spectra = False

    def __init__(self, data, maps):
        self.paths = data.category.test
        self.maps = maps


def test_what_lies_on_the_defects_is_what_the_detector_is_for(texture):
    images = AuditedImages(texture, True, texture.train)
    defects = np.flatnonzero(texture.labels)[:12]
    candidate = type("Candidate", (), {"indices": defects, "size": 12})()
    on = np.stack([np.asarray(Image.fromarray(texture.mask(i)).resize((24, 24)), float) for i in range(80)])
    even = np.ones_like(on)
    assert on_defects(Run(images, on), candidate, images)[1] > 0.5
    area = np.mean([texture.mask(i).mean() for i in defects])
    assert on_defects(Run(images, even), candidate, images) == pytest.approx((1.0, area), abs=0.01)
    judge = lambda inside: beside_defects(Run(images, on), candidate, images, "confirmed", 1.0, inside)[0]  # noqa: E731
    assert judge(0.8) == "clear"
    assert judge(0.1) == "confirmed"
    assert judge(float("nan")) == "candidate", "without masks it may be the defect itself"
    assert beside_defects(Run(images, on), candidate, images, "confirmed", 0.7, 0.8)[0] == "confirmed"


def test_a_mask_that_marks_nothing_is_left_out_and_told(texture, tmp_path):
    """One bad mask of a data set is no reason to tell nothing of its marks."""
    defects = np.flatnonzero(texture.labels)[:12]
    candidate = type("Candidate", (), {"indices": defects, "size": 12})()
    on = np.stack([np.asarray(Image.fromarray(texture.mask(i)).resize((24, 24)), float) for i in range(80)])
    whole = AuditedImages(texture, True, texture.train)
    assert unusable_masks(Run(whole, on), candidate, whole) == ""
    empty = tmp_path / "empty.png"
    Image.fromarray(np.zeros_like(texture.mask(defects[0]))).save(empty)
    masks = [empty if i == defects[0] else mask for i, mask in enumerate(texture.masks)]
    images = AuditedImages(replace(texture, masks=tuple(masks)), True, texture.train)
    told = unusable_masks(Run(images, on), candidate, images)
    assert told.startswith("1 of their masks is left out, the first as: The mask ")
    assert "marks nothing" in told
    assert on_defects(Run(images, on), candidate, images)[1] > 0.5


def test_what_cannot_be_audited_is_refused_before_any_work(nearest, texture, tmp_path):
    with pytest.raises(InputError, match="did you mean 'pillow-bilinear'"):
        audit_detector(nearest, texture, deploy=["pillow-biliner"])
    with pytest.raises(InputError, match="did you mean 'jpeg-90'"):
        audit_detector(nearest, texture, changes=["jpeg-9"])
    with pytest.raises(InputError, match="at least 10 images, and there are 3"):
        audit_detector(nearest, texture, limit=3)
    with pytest.raises(InputError, match="does not exist"):
        audit_detector(nearest, tmp_path / "nowhere")
