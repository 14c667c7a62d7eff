"""From an artefact to a verdict: add it, remove it, and do as much with edits that are not the artefact.

Statistics of relevance maps only triage; an intervention decides. An edit alone proves nothing, since pasting and
inpainting themselves move images away from what a model knows; so each runs beside placebos on the same images.

**The verdict** answers one question: does the model react to the artefact more than to anything else that pictures of
this kind could show in its place? For each kind of model one effect decides (see `chinspect.proof.effects`), in the
direction that reliance has: adding raises it and removing lowers it; for anomaly scores both directions count. A trial,
adding or removing, passes if

1. the bootstrap interval over images of its effect lies on the right side of zero,
2. so does that of the paired difference to the area elsewhere, where there is room elsewhere,
3. so does that of the paired difference to the mean of other content in its place, and
4. the null that the artefact is *other content*, one draw of many, is rejected at the level over all trials that are
   made together (see `chinspect.proof.contents` for the null and `chinspect.proof.family` for the level).

All four have to hold, so the level of 4. is that of the verdict; 1. to 3. ask whether the effect would be there on
other images too. The verdict is ``confirmed`` if a trial passes; ``undecided`` if one leans that way: 1. to 3. hold,
and the effect exceeds nine in ten placebos, so that neither answer is safe; ``not_causal`` if none does; ``untested``
if there was no trial.

**What is relied on** are further questions, asked of what was confirmed, each with its control:

* *content or place*: the artefact elsewhere beside other content elsewhere, and other content here beside the same
  elsewhere. A logo that acts anywhere is relied on no less than one that acts in its corner.
* *what it shows*: its pieces shuffled. If they do as much, the model goes by marks of this kind, whatever they show.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import pandas as pd

from chinspect.artefacts import Artefact, Pixels, checked
from chinspect.errors import InputError
from chinspect.images import AnyImage, as_pixels
from chinspect.proof.effects import WORDS, decisive_effect
from chinspect.proof.experiment import Experiment
from chinspect.proof.family import decide
from chinspect.proof.sentences import next_step, questions, trial_clause
from chinspect.proof.trial import CONTENT, Edit, Rule, Trial, Verdict
from chinspect.report import Result
from chinspect.subjects import Kind, Subject, check_subject

MIN_IMAGES = 10
"""Fewer images give no bootstrap interval worth its name."""
_DOING: Mapping[Edit, str] = {"add": "Adding it", "remove": "Removing it"}
RELIES: Mapping[Verdict, str] = {
    "confirmed": "relies on",
    "undecided": "may rely on",
    "not_causal": "was not found to rely on",
}


@dataclass(frozen=True, eq=False, repr=False)
class Proof(Result):
    """The result of `prove`; the rule of the verdict stands above.

    Attributes:
        artefact: that was tested.
        subject: classifier, encoder or detector.
        trials: adding and removing, as far as there were images for them.
        missing: what could not be tested, and why.
    """

    artefact: Artefact
    subject: Kind
    trials: tuple[Trial, ...]
    missing: tuple[str, ...] = ()

    stem = "proof"
    drawing = "chinspect.proof.figure"
    composing = "chinspect.proof.page"

    @property
    def decides(self) -> str:
        """Name of the effect that decides."""
        return decisive_effect(self.subject)

    @property
    def verdict(self) -> Verdict:
        """The first of ``confirmed``, ``undecided`` and ``not_causal`` that a trial has; without any, ``untested``."""
        verdicts = {trial.verdict for trial in self.trials}
        return next(verdict for verdict in get_args(Verdict) if verdict in verdicts or verdict == "untested")

    @property
    def sentence(self) -> str:
        """The finding in words, for a reader who has not seen the table, and what to do next where it is undecided."""
        if not self.trials:
            return f"Whether the {self.subject} relies on {self.artefact.name!r} was not tested."
        clauses = "; ".join(trial_clause(trial) for trial in self.trials)
        effect = WORDS[self.subject][self.decides]
        found = f"The {self.subject} {RELIES[self.verdict]} {self.artefact.name!r} ({effect}): {clauses}."
        return " ".join([found, *(questions(trial) for trial in self.trials if trial.passed), self.next_step]).strip()

    @property
    def next_step(self) -> str:
        """What would decide an undecided proof; empty for others."""
        if self.verdict != "undecided":
            return ""
        return next_step(min((trial for trial in self.trials if trial.leans), key=lambda trial: trial.p_value))

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row for each edit, condition and effect with ``estimate``, ``low``, ``high`` and ``n``.

        These are a 95 % interval over images and their number; for a family of placebos the least and the largest of
        them, and their number.
        """
        tables = [trial.table for trial in self.trials]
        return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()

    def to_frame(self) -> pd.DataFrame:
        """A copy of `table`."""
        return self.table.copy()

    def document(self) -> dict[str, Any]:
        """Everything but pixels, as JSON values."""
        return {
            "artefact": self.artefact.name,
            "subject": self.subject,
            "decides": self.decides,
            "verdict": self.verdict,
            "sentence": self.sentence,
            "next_step": self.next_step,
            "missing": list(self.missing),
            "trials": [trial.document() for trial in self.trials],
            "effects": self.table.to_dict(orient="records"),
        }

    def tables(self) -> Mapping[str, pd.DataFrame]:
        """All effects."""
        return {"effects": self.table}

    def _save_rest(self, target: Path) -> list[Path]:
        """The artefact, which two files hold."""
        return [self.artefact.save(target / "artefact.png"), target / "artefact.json"]


@dataclass(frozen=True, eq=False)
class Case:
    """An artefact to prove, and the images to prove it on, as for `prove`."""

    artefact: Artefact
    clean: Sequence[Pixels]
    affected: Sequence[Pixels] = ()
    pool: Sequence[Pixels] = ()


def prove(
    subject: Subject,
    artefact: Artefact,
    clean: Sequence[AnyImage],
    affected: Sequence[AnyImage] = (),
    *,
    pool: Sequence[AnyImage] = (),
    seed: int = 0,
    n_resamples: int = 2000,
    level: float = 0.05,
) -> Proof:
    """Tests whether a model relies on an artefact.

    Every model, detectors included, is shown what it sees of the images, resized and cropped, and the artefact is laid
    on that: on an original it may lie where preprocessing cuts it away, and resizing would soften it.

    Args:
        subject: an `Encoder`, a `Classifier`, a fitted detector, or another `chinspect.subjects.Subject`.
        artefact: see `isolate` and `chinspect.artefacts.ARTEFACTS`.
        clean: images that do not carry it (paths, pictures or pixels, uint8 (H, W, 3)), for a classifier of other
            classes; it is added to them.
        affected: images that carry it, in the frame that the model sees; it is removed from them.
        pool: further images without it, which lend their content to placebos beside the clean ones: with fewer than 40
            in all the level is less exact.
        seed: of placebos and bootstrap.
        n_resamples: of the bootstrap.
        level: probability of ``confirmed`` for an artefact that does no more than other content in its place.

    Raises `InputError` for what is no model or whose outputs are not finite, for other images, an artefact that covers
    the images it shall be removed from, and a level or number of resamples out of range.

    Source: Anders et al. 2022, Tables 3 and 4, there without intervals and placebos.
    """
    case = Case(artefact, *([as_pixels(image) for image in images] for images in (clean, affected, pool)))
    return prove_all(subject, [case], seed=seed, n_resamples=n_resamples, level=level)[0]


def prove_all(
    subject: Subject,
    cases: Sequence[Case],
    *,
    seed: int = 0,
    n_resamples: int = 2000,
    level: float = 0.05,
    progress: Callable[[int, int], None] | None = None,
) -> list[Proof]:
    """Tests several artefacts as `prove` does, at one level for all of them together.

    Args:
        subject, seed, n_resamples: see `prove`.
        cases: the artefacts with their images.
        level: probability that any of the artefacts that do no more than other content in their place is confirmed.
        progress: called with the number of trials made and in all.

    Raises `InputError` as `prove` does.
    """
    check_subject(subject)
    if not 0.001 <= level < 1:  # below, more than 2000 placebos are needed for each trial
        raise InputError(f"The level of a proof lies between 0.001 and 1, not {level!r}.")
    if not 100 <= n_resamples <= 1_000_000:  # fewer have no 2.5 % quantile, more do not fit into memory
        raise InputError(f"A bootstrap needs 100 to 1000000 resamples, not {n_resamples!r}.")
    for case in cases:
        for image in (*case.clean, *case.affected, *case.pool):
            checked(image)
    images = [_seen(subject, case) for case in cases]
    experiments = [_experiments(subject, case, seen, seed) for case, seen in zip(cases, images, strict=True)]
    family = [experiment for of_case in experiments for experiment in of_case]
    rule = Rule(level, max(len(family), 1), n_resamples, seed)
    p_values = iter(decide(family, rule, progress))
    proofs = []
    for case, seen, of_case in zip(cases, images, experiments, strict=True):
        trials = _finished(of_case, rule, [next(p_values) for _ in of_case])
        proofs.append(Proof(case.artefact, subject.kind, trials, _missing(case.artefact, seen, trials)))
    return proofs


def _seen(subject: Subject, case: Case) -> dict[Edit, Sequence[Pixels]]:
    """What the model sees of the images of both edits."""
    return {"add": subject.see(case.clean), "remove": subject.see(case.affected)}


def _experiments(subject: Subject, case: Case, images: Mapping[Edit, Sequence[Pixels]], seed: int) -> list[Experiment]:
    """Those of both edits, as far as there are images for them."""
    edits = [edit for edit, seen in images.items() if len(seen) >= MIN_IMAGES and not case.artefact.empty]
    # neighbours are looked for among unchanged images: with both edits these are the clean ones
    reference = subject.respond(images["add"]) if len(edits) > 1 else None
    pool = [*images["add"], *subject.see(case.pool)] or [case.artefact.remove(image) for image in images["remove"]]
    return [
        Experiment(subject, case.artefact, edit, images[edit], pool, seed, None if edit == "add" else reference)
        for edit in edits
    ]


def _finished(experiments: Sequence[Experiment], rule: Rule, p_values: Sequence[float]) -> tuple[Trial, ...]:
    """The trials of one artefact; what it is that the model relies on is asked of the first that passed."""
    trials = [experiment.trial(rule, p) for experiment, p in zip(experiments, p_values, strict=True)]
    for number, trial in enumerate(trials):
        if trial.passed:
            experiments[number].ask_questions()
            trials[number] = experiments[number].trial(rule, trial.p_value)
            break
    return tuple(trials)


def _missing(artefact: Artefact, images: Mapping[Edit, Sequence[Pixels]], trials: Sequence[Trial]) -> tuple[str, ...]:
    """What could not be tested, and what it would need."""
    if artefact.empty:
        return (f"The artefact {artefact.name!r} is empty: it has no visible pixel to add or to remove.",)
    notes = [
        f"{_DOING[edit]} was not tested: {MIN_IMAGES} images are needed, and there are {len(pictures)}."
        for edit, pictures in images.items()
        if len(pictures) < MIN_IMAGES
    ]
    notes += [
        f"{_DOING[trial.edit]} was compared with {CONTENT} only: the artefact leaves no room elsewhere in the image."
        for trial in trials
        if trial.beyond_area is None
    ]
    return tuple(notes)
