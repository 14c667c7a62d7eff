"""From an artefact to a verdict: add it, remove it, and do as much with edits that are not the artefact.

Statistics of relevance maps only triage; an intervention decides. An edit alone proves nothing, since pasting and
inpainting themselves move images away from what a model knows; so each runs against three placebos on the same images,
see `chinspect.proof.placebos`.

**The rule.** For each kind of model one effect decides (see `chinspect.proof.effects`), in the direction that reliance
has: adding raises it and removing lowers it; for anomaly scores both directions count. A trial, adding or removing,
passes at a level if

1. the bootstrap interval of its effect lies on the right side of zero,
2. so does that of the paired difference to the area elsewhere, where there is room elsewhere, and
3. its effect exceeds that of every one of ``1 / level - 1`` random patches in its place (twice as many where both
   directions count), that is, its rank p-value is at most the level.

The verdict is ``confirmed`` if a trial passes; ``undecided`` if one leans that way: 1. and 2. hold, and the effect
exceeds three quarters of the random patches, only not every one, so that neither answer is safe; ``not_causal`` if none
does; ``untested`` if there was no trial. With two trials each runs at half of the level (Bonferroni), so that without
an effect ``confirmed`` is reached at most with the probability `level`. All other effects are reported with intervals
and decide nothing.

The same artefact elsewhere is reported, and is *no* reason against: a logo that acts anywhere is relied on no less. It
tells whether the place matters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import pandas as pd

from chinspect.artefacts import Artefact, Pixels, checked
from chinspect.errors import InputError
from chinspect.proof.effects import WORDS, decisive_effect
from chinspect.proof.trial import MOVED, PATCHES, Edit, Rule, Trial, Verdict, run_trial
from chinspect.report import Result
from chinspect.subjects import Kind, Subject, check_subject

MIN_IMAGES = 10
"""Fewer images give no bootstrap interval worth its name."""
_DOING: Mapping[Edit, str] = {"add": "Adding it", "remove": "Removing it"}
_RELIES: Mapping[Verdict, str] = {
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
        """The finding in words, for a reader who has not seen the table."""
        if not self.trials:
            return f"Whether the {self.subject} relies on {self.artefact.name!r} was not tested."
        clauses = "; ".join(trial.sentence for trial in self.trials)
        elsewhere = "".join(
            f" The {MOVED} has {trial.moved_fraction:.0%} of that effect."
            for trial in self.trials
            if trial.leans and trial.moved_fraction is not None
        )
        effect = WORDS[self.subject][self.decides]
        return f"The {self.subject} {_RELIES[self.verdict]} {self.artefact.name!r} ({effect}): {clauses}.{elsewhere}"

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row for each edit, condition and effect with ``estimate``, ``low``, ``high`` and ``n``.

        These are a 95 % interval over images and their number; for random patches the least and the largest of them,
        and the number of patches.
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


def prove(
    subject: Subject,
    artefact: Artefact,
    clean: Sequence[Pixels],
    affected: Sequence[Pixels] = (),
    *,
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
        clean: images that do not carry it, uint8 (H, W, 3), for a classifier of other classes; it is added to them.
        affected: images that carry it, in the frame that the model sees; it is removed from them.
        seed: of placebos and bootstrap.
        n_resamples: of the bootstrap.
        level: probability of ``confirmed`` for an artefact without an effect of its own.

    Raises `InputError` for what is no model or whose outputs are not finite, for other images, an artefact that covers
    the images it shall be removed from, and a level or number of resamples out of range.

    Source: Anders et al. 2022, Tables 3 and 4, there without intervals and placebos.
    """
    check_subject(subject)
    if not 0.001 <= level < 1:  # below, more than 1000 patches are needed for each trial
        raise InputError(f"The level of a proof lies between 0.001 and 1, not {level!r}.")
    if not 100 <= n_resamples <= 1_000_000:  # fewer have no 2.5 % quantile, more do not fit into memory
        raise InputError(f"A bootstrap needs 100 to 1000000 resamples, not {n_resamples!r}.")
    for image in (*clean, *affected):
        checked(image)
    images: dict[Edit, Sequence[Pixels]] = {"add": subject.see(clean), "remove": subject.see(affected)}
    edits = [edit for edit, pictures in images.items() if len(pictures) >= MIN_IMAGES and not artefact.empty]
    rule = Rule(level / max(len(edits), 1), n_resamples, seed)  # Bonferroni
    # neighbours are looked for among unchanged images: with both edits these are the clean ones
    reference = subject.respond(images["add"]) if len(edits) > 1 else None
    trials = tuple(
        run_trial(subject, artefact, edit, images[edit], rule, None if edit == "add" else reference) for edit in edits
    )
    return Proof(artefact, subject.kind, trials, _missing(artefact, images, trials))


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
        f"{_DOING[trial.edit]} was compared with {PATCHES} only: the artefact leaves no room elsewhere in the image."
        for trial in trials
        if trial.beyond_area is None
    ]
    return tuple(notes)
