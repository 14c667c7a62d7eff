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

from collections.abc import Sequence

import pandas as pd

from chinspect.artefacts.artefact import Artefact, Pixels, checked
from chinspect.errors import InputError
from chinspect.proof.effects import WORDS
from chinspect.proof.result import Proof, Verdict
from chinspect.proof.trial import AREA, OF_AREA, PATCHES, PLACE, Edit, Rule, Trial, run_trial
from chinspect.subjects import Subject, check_subject

MIN_IMAGES = 10
"""Fewer images give no bootstrap interval worth its name."""
_WORDS = {
    "confirmed": "relies on",
    "undecided": "may rely on",
    "not_causal": "was not found to rely on",
}
_DOING: dict[Edit, str] = {"add": "Adding it", "remove": "Removing it"}


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
    """Test whether a model relies on an artefact.

    Args:
        subject: a `Classifier`, an `Encoder` or a fitted detector.
        artefact: see `isolate` and `ARTEFACTS`.
        clean: images that do not carry it, uint8 (H, W, 3), for a classifier of other classes; it is added to them.
        affected: images that carry it; it is removed from them. Of both kinds an encoder is shown what it sees of them
            (see `chinspect.proof.effects`), and that is where the artefact lies.
        seed: of placebos and bootstrap.
        n_resamples: of the bootstrap.
        level: probability of ``confirmed`` for an artefact without an effect of its own.

    Raises `InputError` for a model of another kind or whose outputs are not finite, for other images, an artefact that
    covers the images it shall be removed from, and a level or number of resamples out of range.

    Source: Anders et al. 2022, Tables 3 and 4, there without intervals and placebos.
    """
    check_subject(subject)
    _check(level, n_resamples)
    for image in (*clean, *affected):
        checked(image)
    clean = subject.see(clean)
    affected = subject.see(affected)
    wanted: list[tuple[Edit, Sequence[Pixels]]] = [("add", clean), ("remove", affected)]
    usable = [(edit, images) for edit, images in wanted if len(images) >= MIN_IMAGES and not artefact.empty]
    rule = Rule(level / max(len(usable), 1), n_resamples, seed)
    reference = subject.respond(clean) if len(clean) >= MIN_IMAGES and len(usable) > 1 else None
    trials = tuple(
        run_trial(subject, artefact, edit, images, None if edit == "add" else reference, rule)
        for edit, images in usable
    )
    return Proof(
        artefact=artefact,
        subject=subject.kind,
        decides=next(iter(WORDS[subject.kind])),
        verdict=_verdict(trials),
        sentence=_sentence(subject, artefact, trials, rule.level),
        missing=_missing(artefact, wanted, trials),
        trials=trials,
        table=pd.DataFrame([row for trial in trials for row in trial.rows]),
    )


def _check(level: float, n_resamples: int) -> None:
    if not 0.001 <= level < 1:
        raise InputError(f"The level of a proof lies between 0.001 and 1, not {level!r}.")
    if not 100 <= n_resamples <= 1_000_000:
        raise InputError(f"A bootstrap needs 100 to 1000000 resamples, not {n_resamples!r}.")


def _verdict(trials: Sequence[Trial]) -> Verdict:
    if not trials:
        return "untested"
    if any(trial.passed for trial in trials):
        return "confirmed"
    return "undecided" if any(trial.leans for trial in trials) else "not_causal"


def _sentence(subject: Subject, artefact: Artefact, trials: Sequence[Trial], level: float) -> str:
    """What was found, for a reader who has not seen the table."""
    if not trials:
        return f"Whether the {subject.kind} relies on {artefact.name!r} was not tested."
    word = _WORDS[_verdict(trials)]
    effect = next(iter(WORDS[subject.kind].values()))
    parts = "; ".join(_part(trial, level) for trial in trials)
    place = "".join(_place(trial) for trial in trials if trial.leans)
    return f"The {subject.kind} {word} {artefact.name!r} ({effect}): {parts}.{place}"


def _part(trial: Trial, level: float) -> str:
    doing, whom = ("adding it to", "other") if trial.edit == "add" else ("removing it from", "affected")
    less = round((1 + trial.patches) * (1 - trial.patch_p / (1 if trial.patches < 1.5 / level else 2)))
    enough = "all" if less == trial.patches else f"{less} of"
    against = f"more than {enough} {trial.patches} {PATCHES} in its place"
    if less < trial.patches:
        against += f" (all {trial.patches} are needed)"
    if trial.beyond_area is not None:
        against += f" and {'more' if trial.beyond_area else 'not clearly more'} than the {AREA} ({OF_AREA[trial.edit]})"
    bounds = f"{trial.low:.3g} to {trial.high:.3g}"
    return (
        f"{doing} {trial.images} {whom} images gives {trial.effect:+.3g} ({1 - level:.1%} interval {bounds}), {against}"
    )


def _place(trial: Trial) -> str:
    if trial.moved_share is None:
        return ""
    return f" The {PLACE} has {trial.moved_share:.0%} of that effect."


def _missing(
    artefact: Artefact, wanted: Sequence[tuple[Edit, Sequence[Pixels]]], trials: Sequence[Trial]
) -> tuple[str, ...]:
    """What could not be tested, and what it would need."""
    if artefact.empty:
        return (f"The artefact {artefact.name!r} is empty: it has no visible pixel to add or to remove.",)
    notes = [
        f"{_DOING[edit]} was not tested: {MIN_IMAGES} images are needed, and there are {len(images)}."
        for edit, images in wanted
        if len(images) < MIN_IMAGES
    ]
    notes += [
        f"{_DOING[trial.edit]} was compared with {PATCHES} only: the artefact leaves no room elsewhere in the image."
        for trial in trials
        if trial.beyond_area is None
    ]
    return tuple(notes)
