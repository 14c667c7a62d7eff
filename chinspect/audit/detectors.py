"""The audit of an anomaly detector: what it goes by, and whether its decisions survive deployment.

score -> explanation -> SpRAy over maps and over spectra -> candidates proven, all in one family -> stress over
resizers and acquisition changes, with the shift that was predicted beside the measured one -> with ``mitigate`` a blur
and a new threshold, and the same tests again.

Three families of tests are judged, each at 5 %: with that probability, at most, is any candidate confirmed that does no
more than other content in its place (`chinspect.proof`), any change called a stress that turns no more decisions than
half of a grey level does (`chinspect.audit.decisions`), and any mark called one on normal images that raise no more
alarms than others (`chinspect.audit.detector_marks`). The sets of the last family are chosen by their maps, which are
not independent of alarms, so that its level is nominal; ``experiments/audit_detectors`` measures it on data without a
cause.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args

from sklearn.utils.validation import check_is_fitted

from chinspect.anomaly import Detector
from chinspect.audit.detector_images import AuditedImages, audited_images, subset
from chinspect.audit.detector_plan import BLUR, MAPS, PROOF, REMEDIES, SCORES, SPECTRA, detector_steps, time_detector
from chinspect.audit.detector_remedies import blurred, remedy_findings
from chinspect.audit.detector_scores import Scored, conditions_of, score_images, stress_section
from chinspect.audit.detector_strategies import maps_of, proven, strategy_findings
from chinspect.audit.detector_stress import ACQUISITION, stress_findings
from chinspect.audit.finding import LEVEL, AuditFinding, Status
from chinspect.audit.plan import Plan, fitted
from chinspect.audit.records import Request, claim, planned
from chinspect.audit.result import Audit
from chinspect.audit.steps import Count, PlannedSteps, Progress, Steps
from chinspect.datasets import MVTecCategory
from chinspect.errors import InputError
from chinspect.files import shown
from chinspect.images import check_resizer
from chinspect.report import Block, Paragraph, Section
from chinspect.spray import SprayRun
from chinspect.stress import Condition
from chinspect.stress.changes import check_changes
from chinspect.stress.resizing import evenly

_LIBRARIES = ("chinspect", "torch", "numpy", "scipy", "scikit-learn", "pillow", "opencv-python-headless")


def audit_detector(
    detector: Detector,
    images: str | Path | MVTecCategory,
    *,
    deploy: Sequence[str] = ("pillow-bilinear",),
    changes: Sequence[str] = ACQUISITION,
    mitigate: bool = False,
    normals: Sequence[str | Path] = (),
    limit: int | None = None,
    n_surrogates: int = 99,
    path: str | Path | None = None,
    budget: float | None = None,
    random_state: int = 0,
    force: bool = False,
    announce: Callable[[Plan], None] | None = None,
    progress: Progress | None = None,
) -> Audit:
    """Audits an anomaly detector.

    A step that fails becomes a finding ``untested`` with the reason; Ctrl-C leaves an audit of what is done, and with
    ``path`` the same call goes on there.

    Args:
        detector: fitted, see `chinspect.anomaly`.
        images: a category, a folder laid out as one (``train/good``, ``test/*``, ``ground_truth`` where there are
            masks), or any folder of images: then nothing is known of defects, and only decisions that turn and scores
            that move are told.
        deploy: names of `chinspect.images.RESIZERS` that the detector may meet in deployment.
        changes: names of `chinspect.stress.CHANGES`.
        mitigate: whether a blur and a new threshold are tried.
        normals: normal images that a remedy is fitted on; by default those that the detector was fitted on, where its
            files are still there, else the category's training images.
        limit: images at most, evenly spread.
        n_surrogates: data sets of moved maps that SpRAy's p-values come from; with 0 nothing is compared with chance,
            and nothing is a candidate.
        path: folder where scores and maps are stored as they are made; None stores nothing.
        budget: minutes that it may take: images are sampled, and spectra left out, until the estimates of the plan fit.
        random_state: of changes, placebos and bootstrap.
        force: start anew in a folder that holds an audit of something else.
        announce: called with the plan before anything long begins.
        progress: called with the step, the number done and in all.

    Raises `InputError`, before any work, for a detector that is not fitted, names that are not known, a folder that is
    missing or holds too few images, a budget that cannot be kept, and a ``path`` with an audit of something else.
    """
    check_is_fitted(detector, "threshold_")
    for resizer in deploy:
        check_resizer(resizer, detector.size)
    check_changes(changes)
    tested = audited_images(images, detector, normals=tuple(map(Path, normals)), limit=limit)
    conditions = conditions_of(detector, deploy, changes)
    made = _made(detector, tested, conditions=conditions, seed=random_state, n_surrogates=n_surrogates)
    plan = _planned(detector, tested, conditions, made | {"mitigate": mitigate, "budget": budget}, path, force=force)
    if announce is not None:
        announce(plan)
    if plan.images < len(tested.category.test):
        tested = replace(tested, category=subset(tested.category, evenly(len(tested.category.test), plan.images)))
    work = _Work(detector, tested, conditions, None if path is None else Path(path), random_state)
    steps = PlannedSteps(plan, progress)
    findings, sections = work.explain(steps, n_surrogates)
    scored = work.score(steps)
    if scored is not None:
        findings += steps.run("decisions", lambda _: stress_findings(scored, conditions, level=LEVEL)) or []
        sections.append(stress_section(scored))
    if mitigate:
        findings += work.remedy(steps, scored, findings)
    return Audit(
        title=f"{type(detector).__name__} on {shown(tested.category.name)}",
        subject="detector",
        findings=sorted([*findings, *_untested(steps)], key=lambda one: get_args(Status).index(one.status)),
        steps=steps.table,
        level=LEVEL,
        sections=sections,
        made=made | {"plan": plan.limits},
    )


def _planned(
    detector: Detector,
    tested: AuditedImages,
    conditions: Sequence[Condition],
    made: dict[str, Any],
    path: str | Path | None,
    *,
    force: bool,
) -> Plan:
    """The plan within the budget, or that of an earlier start in the same folder."""
    if path is not None:
        claim(Path(path), Request({name: value for name, value in made.items() if name != "versions"}), force=force)
    count = len(tested.category.test)
    steps = detector_steps(
        time_detector(detector, tested),
        conditions,
        trained=detector.resizer,
        surrogates=made["n_surrogates"],
        normals=len(tested.normals),
        mitigate=made["mitigate"],
    )
    plan = Plan(count, count, steps, made["budget"])
    return fitted(plan) if path is None else planned(Path(path), plan)


def _untested(steps: Steps) -> list[AuditFinding]:
    """A finding for each step that gave nothing, with the reason."""
    rows = steps.table[steps.table["state"] != "done"]
    names = [str(name).capitalize() for name in rows["step"]]
    return [
        AuditFinding(f"step/{step}", "untested", name, f"{name}: {note.rstrip('.')}.")
        for step, name, note in zip(rows["step"], names, rows["note"], strict=True)
    ]


@dataclass(eq=False)
class _Work:
    """The steps of an audit, in their order.

    Attributes:
        path: folder where scores and maps are stored; None stores nothing.
        maps: the run of SpRAy over maps, once it is there, with its proofs.
    """

    detector: Detector
    tested: AuditedImages
    conditions: Sequence[Condition]
    path: Path | None
    seed: int
    maps: SprayRun | None = None

    def explain(self, steps: Steps, n_surrogates: int) -> tuple[list[AuditFinding], list[Section]]:
        """Maps and spectra, what their scores have in common, and proofs."""
        self.maps = self._analysed(steps, n_surrogates, spectra=False)
        if self.maps is not None and self.maps.flagged:
            maps = self.maps
            tried = steps.run(PROOF, lambda count: proven(self.detector, maps, seed=self.seed, progress=count))
            self.maps = tried or maps
        findings: list[AuditFinding] = []
        for run in (self.maps, self._analysed(steps, n_surrogates, spectra=True)):
            if run is not None:
                findings += (
                    steps.run("candidates", partial(_candidates, run, self.tested, self.detector.threshold_)) or []
                )
        return findings, [] if self.maps is None else [_trust(self.maps)]

    def score(self, steps: Steps) -> Scored | None:
        """Scores under all conditions."""
        return steps.run(
            SCORES,
            lambda count: score_images(
                self.detector,
                self.tested,
                self.conditions,
                seed=self.seed,
                resume=self._folder("scores"),
                progress=count,
            ),
        )

    def remedy(self, steps: Steps, scored: Scored | None, findings: Sequence[AuditFinding]) -> list[AuditFinding]:
        """What remedies mend of decisions, and of what was confirmed."""
        behind = steps.run(BLUR, lambda _: blurred(self.detector, self.tested))
        remedied: list[AuditFinding] = []
        if scored is not None:
            before = scored
            remedied += (
                steps.run(
                    REMEDIES,
                    lambda count: remedy_findings(
                        before, behind, self.conditions, seed=self.seed, resume=self._folder("scores"), progress=count
                    ),
                )
                or []
            )
        confirmed = {one.key: one for one in findings if one.status == "confirmed"}
        if behind is not None and self.maps is not None and confirmed:
            run = self.maps
            again = steps.run("proof behind a blur", lambda count: proven(behind, run, seed=self.seed, progress=count))
            after = [] if again is None else strategy_findings(again, self.tested, behind.threshold_)
            remedied += [_proven_again(confirmed[one.key], one) for one in after if one.key in confirmed]
        return remedied

    def _analysed(self, steps: Steps, n_surrogates: int, *, spectra: bool) -> SprayRun | None:
        """SpRAy over maps or spectra."""
        path = self._folder("spectra" if spectra else "maps")

        def analysed(count: Count) -> SprayRun:
            return maps_of(
                self.detector, self.tested, spectra=spectra, n_surrogates=n_surrogates, path=path, progress=count
            )

        return steps.run(SPECTRA if spectra else MAPS, analysed)

    def _folder(self, name: str) -> Path | None:
        return None if self.path is None else self.path / name


def _candidates(run: SprayRun, tested: AuditedImages, threshold: float, _: Count) -> list[AuditFinding]:
    """A step of its own, as masks are read for it."""
    return strategy_findings(run, tested, threshold)


def _proven_again(before: AuditFinding, after: AuditFinding) -> AuditFinding:
    """What a blur makes of what was confirmed."""
    status: Status = "undecided" if after.status in ("confirmed", "undecided") else "clear"
    old, new = (one.numbers.get("estimate", math.nan) for one in (before, after))
    sentence = (
        f"Behind a blur, {after.title[0].lower()}{after.title[1:]} is {after.status.replace('_', ' ')}: the edit moves "
        f"scores by {new:+.2f} interquartile ranges, and by {old:+.2f} before."
    )
    key = f"remedy/blur/{after.key}"
    return AuditFinding(key, status, f"Remedy: blur, {after.key}", sentence, "", after.numbers)


def _trust(run: SprayRun) -> Section:
    """How far maps can be trusted, and what they could have shown."""
    sentence = run.sentence[:1].upper() + run.sentence[1:]
    blocks: list[Block] = [Paragraph(f"Explained: {run.explained}. {sentence}")]
    if run.faithfulness is not None:
        blocks.insert(0, Paragraph(run.faithfulness.sentence))
    return Section("How far the maps can be trusted", blocks)


def _made(detector: Detector, tested: AuditedImages, **settings: Any) -> dict[str, Any]:
    """How it was computed, as JSON values; ``model`` and ``images`` tell whether two audits ask the same."""
    conditions = [[one.resizer, one.change] for one in settings.pop("conditions")]
    return {
        "model": _fingerprint(detector),
        "images": tested.digest,
        "detector": type(detector).__name__,
        "explained_by": detector.explained_by,
        "resizer": detector.resizer,
        "threshold": detector.threshold_,
        "threshold_source": detector.threshold_source_,
        "labelled": tested.labelled,
        "masks": tested.masked,
        "conditions": conditions,
        "versions": {name: version(name) for name in _LIBRARIES},
        **settings,
    }


def _fingerprint(detector: Detector) -> str | None:
    """None of a function, which cannot be told from another."""
    try:
        return detector.fingerprint
    except InputError:
        return None
