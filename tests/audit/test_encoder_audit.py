"""The audit of an encoder, end to end, on small scenes and a network of which it is known what it goes by."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
from _world import SIZE, draw, eye, mark

from chinspect.audit import Audit, Plan, audit_model
from chinspect.audit.evidence import Evidence
from chinspect.audit.measuring import confounder_measures
from chinspect.audit.plan import PlannedStep, fitted, spread
from chinspect.audit.records import Request, claim, planned
from chinspect.audit.remedies import repaired
from chinspect.audit.selecting import suspects
from chinspect.audit.steps import PlannedSteps
from chinspect.errors import InputError
from chinspect.execute import load_samples
from chinspect.proof import Case, prove_all, store_proofs, stored_proofs
from chinspect.report import json_text
from chinspect.spray import SprayRun, analyse
from chinspect.world import scenes

COUNT, CARRIERS = 60, 22


@pytest.fixture(scope="module", autouse=True)
def _no_text() -> Iterator[None]:
    """Text is not read and the run is not drawn: both take seconds, and are tested with SpRAy."""
    patch = pytest.MonkeyPatch()
    patch.setattr("chinspect.spray.ground.can_read", lambda: False)
    patch.setattr(SprayRun, "save", lambda *_: [])
    yield
    patch.undo()


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw(tmp_path_factory.mktemp("audit") / "scenes", COUNT, CARRIERS)


def audited(folder: Path, out: Path, gain: float = 5000.0, **options: object) -> Audit:
    return audit_model(eye(gain), folder, path=out, n_surrogates=9, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def audit(planted: Path) -> Audit:
    return audited(planted, planted.parent / "run")


def comparable(audit: Audit) -> str:
    """The document without times and the folder."""
    document = audit.document()
    document["steps"] = [{k: v for k, v in step.items() if k != "seconds"} for step in document["steps"]]
    del document["made"]["plan"]
    del document["made"]["command"]  # which names the folder
    return json_text(document)


def test_what_a_network_goes_by_is_confirmed(audit):
    found = audit.findings[0]
    assert audit.verdict == found.status == "confirmed"
    carriers = sum(int(name[:3]) < CARRIERS for name in found.members)
    assert carriers >= 0.9 * len(found.members)
    assert found.key == "artefact/lower-left"
    assert found.numbers["low"] > found.numbers["placebo_mean"]
    assert [finding.status for finding in audit.findings].count("confirmed") == 1


def test_the_sentence_states_one_level(audit):
    assert audit.level == 0.05
    assert "5 %" in audit.sentence


def test_a_stopped_audit_reports_and_goes_on_to_the_same_document(audit, planted, tmp_path):
    def stop(step: str, done: int, _total: int) -> None:
        if step.startswith("proof"):
            raise KeyboardInterrupt

    stopped = audited(planted, tmp_path, progress=stop)
    states = dict(zip(stopped.steps["step"], stopped.steps["state"], strict=True))
    assert stopped.stopped
    assert states == {"pairs": "done", "strategies": "done", "edges": "done", "proof": "stopped", "traces": "not begun"}
    assert "candidate" in {finding.status for finding in stopped.findings}
    assert comparable(audited(planted, tmp_path)) == comparable(audit)


def test_files(audit, tmp_path):
    audit.save(tmp_path)
    document = json.loads((tmp_path / "audit.json").read_text())
    assert document["verdict"] == "confirmed"
    assert document["made"]["model"] == eye(5000.0).fingerprint
    page = (tmp_path / "report.html").read_text()
    assert "confirmed" in page
    assert "mark" not in audit.title
    assert (tmp_path / "report.md").read_text().startswith("# eye on scenes")


def test_another_model_is_refused_in_the_same_folder(audit, planted):
    with pytest.raises(InputError, match="another model"):
        audited(planted, planted.parent / "run", gain=1.0)


def test_what_the_null_confirms(tmp_path):
    """Any set of clean scenes, proven with others at one level of 5 %: of 3 draws, 2 confirm with p = .007."""
    confirmed = 0
    for seed in range(3):
        folder = draw(tmp_path / str(seed), 40, seed=seed + 10)
        run = analyse(eye(0.0), folder, n_surrogates=0, check=False)
        forced = [replace(x, candidate=replace(x.candidate, flagged=True, verdict="candidate")) for x in run.findings]
        evidence = Evidence(eye(0.0), load_samples(folder), run=replace(run, findings=forced))
        _, selected = suspects(evidence, seed=seed)
        cases = [suspect.case for suspect in selected if suspect.case is not None]
        confirmed += any(proof.verdict == "confirmed" for proof in prove_all(eye(0.0), cases, n_resamples=200))
    assert confirmed < 2


def test_proofs_are_stored_as_they_are(audit, planted, tmp_path):
    folder = next((planted.parent / "run" / "stores").glob("*/proofs-*"))
    proofs = stored_proofs(folder)
    store_proofs(tmp_path, proofs)
    again = stored_proofs(tmp_path)
    assert [json_text(proof.document()) for proof in again] == [json_text(proof.document()) for proof in proofs]
    assert proofs[0].sentence in next(f.sentence for f in audit.findings if f.status == "confirmed")


def test_proofs_of_something_else_are_refused(tmp_path):
    (tmp_path / "proofs.json").write_text('{"proofs": [{"subject": 1}]}')
    with pytest.raises(InputError, match="no stored proofs"):
        stored_proofs(tmp_path)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"budget": 0.0}, "above 0"),
        ({"budget": 1e-6}, "raise it"),
        ({"labels": ["a"]}, "one for each"),
        ({"confounder": ["a"] * COUNT}, "labels"),
        ({"confounder": ["a"], "labels": ["a"] * COUNT}, "confounders are one for each"),
    ],
)
def test_options_that_do_not_fit_are_refused(planted, tmp_path, options, reason):
    with pytest.raises(InputError, match=reason):
        audited(planted, tmp_path, **options)


def test_too_few_images_are_refused(tmp_path):
    with pytest.raises(InputError, match="20 images at least"):
        audited(draw(tmp_path / "few", 5), tmp_path / "out")


def test_neighbours_by_origin_are_a_stress(tmp_path):
    folder = draw(tmp_path / "scenes", 40, 20)  # the first half has the mark, as if it came from one hospital
    labels = ["even", "odd"] * 20
    origins = ["marked"] * 20 + ["plain"] * 20
    told = {
        gain: confounder_measures(eye(gain), load_samples(folder), labels, origins, seed=0) for gain in (0.0, 5000.0)
    }
    assert not told[0.0].exceeding
    assert told[5000.0].exceeding == ["robustness index"]
    assert "robustness index" in told[5000.0].sentence
    assert told[5000.0].status == "stress"
    inside = confounder_measures(eye(0.0), load_samples(folder), origins, origins, seed=0)
    assert inside.status == "untested"
    assert "one origin" in " ".join(inside.notes)
    with pytest.raises(InputError, match="labels"):
        confounder_measures(eye(0.0), load_samples(folder), None, origins, seed=0)


def test_an_encoder_without_a_layer_to_prune_says_so(tmp_path):
    pictures = [scene.image for scene in scenes(24, seed=3, size=SIZE)]
    case = Case(mark(), pictures[:12], (), pictures[12:])
    with pytest.raises(InputError, match="no layer"):
        repaired(eye(5000.0), [(case, prove_all(eye(5000.0), [case])[0])], tmp_path, level=0.05, seed=0)


def plan(images: int, budget: float | None) -> Plan:
    steps = [
        PlannedStep("pairs", "", lambda n: 0.1 * n, optional=True),
        PlannedStep("strategies", "", lambda n: 0.02 * n),
        PlannedStep("traces", "", lambda n: 0.01 * min(n, 100), optional=True),
    ]
    return Plan(images, images, steps, budget)


def test_a_budget_samples_first_then_leaves_out_the_dearest():
    assert fitted(plan(1000, None)).images == 1000
    sampled = fitted(plan(1000, 30.0))
    assert sampled.includes("pairs")
    assert 100 <= sampled.images < 1000
    assert sampled.minutes <= 30
    tight = fitted(plan(1000, 8.0))
    assert not tight.includes("pairs")
    assert tight.includes("traces")
    assert tight.minutes <= 8
    assert "Left out: pairs" in tight.sentence
    with pytest.raises(InputError, match="even 40 images"):
        fitted(plan(1000, 0.1))


def test_a_budget_proves_as_many_artefacts_as_there_is_time_for():
    steps = [PlannedStep("strategies", "", lambda n: 0.02 * n), PlannedStep("proof", "", lambda n: 0.03 * n, cases=3)]
    plan = Plan(100, 100, steps, 5.0)  # 2 minutes, and 1 for each artefact: 3 are planned for
    assert fitted(plan).cases == 3
    assert "of 3 sets at most" in fitted(plan).sentence
    assert fitted(replace(plan, budget=60.0)).cases == fitted(replace(plan, budget=None)).cases == 8
    assert "at most" not in fitted(replace(plan, budget=None)).sentence


def test_only_the_clearest_are_proven(planted):
    run = analyse(eye(5000.0), planted, n_surrogates=0, check=False)
    forced = [replace(x, candidate=replace(x.candidate, flagged=True, verdict="candidate")) for x in run.findings]
    evidence = Evidence(eye(5000.0), load_samples(planted), run=replace(run, findings=forced))
    everyone = suspects(evidence, seed=0)[1]
    told, selected = suspects(evidence, seed=0, most=1)
    assert len(everyone) > 1
    assert [suspect.finding for suspect in selected] == [everyone[0].finding]
    assert sum("1 at most" in finding.note for finding in told.findings) == len(everyone) - 1


@pytest.mark.parametrize(
    ("minutes", "said"), [(0.2, "a minute"), (1.4, "a minute"), (1.6, "2 minutes"), (150, "2.5 hours")]
)
def test_minutes_are_said_in_words(minutes, said):
    assert (
        f"About {said} in all for 100 images." in Plan(100, 100, [PlannedStep("pairs", "", lambda _: minutes)]).sentence
    )


def test_a_step_that_comes_too_late_is_left_out_and_made_up_for(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("chinspect.audit.steps.time.perf_counter", lambda: clock[0])
    steps = PlannedSteps(plan(100, 12.0))  # pairs 10 minutes, strategies 2, traces 1
    assert steps.run("pairs", lambda _: 1) == 1
    clock[0] += 60 * 11.5
    assert steps.run("strategies", lambda _: 2) == 2  # which cannot be left out
    assert steps.run("traces", lambda _: 3) is None
    row = steps.table.iloc[-1]
    assert (row["step"], row["state"]) == ("traces", "left out")
    assert "the budget has 0.5 left" in row["note"]
    assert PlannedSteps(plan(100, 12.0)).run("traces", lambda _: 3) == 3


def test_a_step_that_was_left_out_is_made_up_for_where_there_is_time(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("chinspect.audit.steps.time.perf_counter", lambda: clock[0])
    steps = [
        PlannedStep("pairs", "", lambda n: 0.1 * n, optional=True, note="left out"),
        PlannedStep("proof", "", lambda n: 0.05 * n),
        PlannedStep("traces", "", lambda n: 0.02 * n, optional=True, note="left out"),
    ]
    tight = PlannedSteps(Plan(100, 100, steps, 6.0))
    assert tight.run("pairs", lambda _: 1) is None
    assert tight.run("proof", lambda _: 2) == 2  # in no time, as nothing called for it
    assert tight.run("traces", lambda _: 3) == 3
    clock[0] += 60 * 5.0
    assert tight.run("traces", lambda _: 3) is None
    assert tight.table["state"].tolist() == ["left out", "done", "left out"]


def test_a_budget_that_cannot_be_kept_leaves_no_folder(tmp_path):
    for budget in (1e-6, 30.0):
        folder = tmp_path / "run"
        claim(folder, Request({"budget": budget}))
        with nullcontext() if budget == 30 else pytest.raises(InputError, match="raise it"):
            planned(folder, plan(1000, budget))
        assert folder.exists() == (budget == 30)


def test_images_are_spread_evenly_and_seeded():
    rows = spread(1000, 10, seed=1)
    assert (rows == spread(1000, 10, seed=1)).all()
    assert set(rows[1:] - rows[:-1]) <= {100}
    assert spread(7, 7, seed=3).tolist() == list(range(7))


def test_a_step_that_fails_or_is_stopped_loses_no_other():
    steps = PlannedSteps(plan(10, None))

    def fails(_count: object) -> None:
        raise InputError("too few.")

    def stops(_count: object) -> None:
        raise KeyboardInterrupt

    assert steps.run("pairs", fails) is None
    assert steps.run("strategies", stops) is None
    assert steps.run("traces", lambda _: 1) is None
    assert steps.reasons == {"pairs": "too few."}
    assert steps.table["state"].tolist() == ["failed", "stopped", "not begun"]


def test_a_folder_goes_on_with_the_same_request_only(tmp_path):
    assert not claim(tmp_path, Request({"model": "a", "seed": 0}))
    assert claim(tmp_path, Request({"model": "a", "seed": 0}))
    with pytest.raises(InputError, match="another seed"):
        claim(tmp_path, Request({"model": "a", "seed": 1}))
    assert not claim(tmp_path, Request({"model": "a", "seed": 1}), force=True)
