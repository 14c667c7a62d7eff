"""One trial: an edit of some images, its placebos on the same images, and the test of the effect that decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from chinspect.artefacts.artefact import Artefact, Pixels, widened
from chinspect.errors import InputError
from chinspect.intervals import draws, interval, mean
from chinspect.proof.effects import DIRECTION, WORDS, Values, measure_effects
from chinspect.proof.placebos import elsewhere, mean_view, moved, own_content, random_patches
from chinspect.subjects import Subject

Edit = Literal["add", "remove"]
ARTEFACT, AREA, PLACE, PATCHES = "artefact", "area elsewhere", "artefact elsewhere", "random patches"
UNCHANGED = "unchanged"
OF_AREA: dict[Edit, str] = {"add": "the image's own content", "remove": "painted over"}
"""What the area elsewhere shows."""
_SHOWN = 3
_UNDECIDED = 0.25
"""Rank p-value up to which neither answer is safe."""


@dataclass(frozen=True)
class Rule:
    """How a trial is judged.

    Attributes:
        level: probability of `Trial.passed` without an effect of the artefact's own, for this trial.
        n_resamples: of the bootstrap.
        seed: of placebos and bootstrap.
    """

    level: float
    n_resamples: int
    seed: int


@dataclass(frozen=True, eq=False)
class Trial:
    """What an edit did, and whether it did more than its placebos.

    Attributes:
        edit: "add" or "remove".
        images: how many were edited.
        effect, low, high: of the effect that decides, with its interval at the rule's level.
        sign: of an effect that counts, 1 or -1.
        beyond_area: whether the paired difference to the area elsewhere has that sign, with its whole interval;
            None where the artefact leaves no room elsewhere.
        patches: number of random patches.
        patch_p: rank p-value of the effect among them, ``(1 + patches that do as much) / (1 + patches)``, twice that
            where both signs count.
        patch_norm: mean norm of a patch over that of the edit.
        moved_share: effect of the same artefact elsewhere over that of the artefact in its place; None as above, and
            for removals.
        leans: whether the interval leaves zero on the right side, and the area elsewhere and three quarters of the
            random patches are exceeded.
        passed: whether, besides, the effect ranks high enough among the random patches.
        rows: of the table of all effects.
        pictures: the first images under each condition, for figures.
    """

    edit: Edit
    images: int
    effect: float
    low: float
    high: float
    sign: int
    beyond_area: bool | None
    patches: int
    patch_p: float
    patch_norm: float
    moved_share: float | None
    leans: bool
    passed: bool
    rows: list[dict[str, Any]]
    pictures: dict[str, list[Pixels]]


def run_trial(
    subject: Subject, artefact: Artefact, edit: Edit, images: Sequence[Pixels], reference: Values | None, rule: Rule
) -> Trial:
    """Edit images, edit them in the ways of each placebo, and compare; the images themselves are the reference if None.

    Raises `InputError` for outputs of the model that are not finite.
    """
    rng = np.random.default_rng([rule.seed, edit == "add"])
    before = _respond(subject, images)
    bank = before if reference is None else reference
    edited = _conditions(artefact, edit, images, rng)
    measured = {
        name: measure_effects(subject, before, _respond(subject, pictures), bank) for name, pictures in edited.items()
    }
    sides = 1 if DIRECTION[subject.kind] else 2
    count = int(np.ceil(sides / rule.level - 1e-9)) - 1
    patches, ratio = _patches(artefact, edit, images, edited[ARTEFACT], count, rng)
    means = [_of_patch(subject, edit, patch, images, edited[ARTEFACT], before, bank) for patch in patches]
    counts = draws(len(images), rule.n_resamples, rule.seed)
    under = images if edit == "add" else edited[ARTEFACT]
    pictures = {UNCHANGED: images, **edited, PATCHES: [patches[0].add(x) for x in under[:_SHOWN]]}
    return Trial(
        edit=edit,
        images=len(images),
        **_judge(subject, edit, measured, means, counts, rule.level),
        patches=count,
        patch_norm=ratio,
        rows=_rows(edit, measured, means, counts),
        pictures={name: list(shown[:_SHOWN]) for name, shown in pictures.items()},
    )


def _conditions(
    artefact: Artefact, edit: Edit, images: Sequence[Pixels], rng: np.random.Generator
) -> dict[str, list[Pixels]]:
    """The images under the edit, and under the placebos that it has room for."""
    places = elsewhere(artefact, len(images), rng)
    pairs = [(image, place, moved(artefact, place)) for image, place in zip(images, places, strict=False)]
    if edit == "add":
        edited = {ARTEFACT: [artefact.add(image) for image in images]}
        if places:
            edited[AREA] = [own_content(artefact, image, place) for image, place, _ in pairs]
            edited[PLACE] = [there.add(image) for image, _, there in pairs]
        return edited
    edited = {ARTEFACT: [artefact.remove(image) for image in images]}
    if places:
        edited[AREA] = [there.remove(image) for image, _, there in pairs]
        edited[PLACE] = [there.add(without) for (*_, there), without in zip(pairs, edited[ARTEFACT], strict=True)]
    return edited


def _patches(
    artefact: Artefact,
    edit: Edit,
    images: Sequence[Pixels],
    edited: Sequence[Pixels],
    count: int,
    rng: np.random.Generator,
) -> tuple[list[Artefact], float]:
    """Random patches as large as the edit, for images without the artefact.

    What a removal takes away may be opaque wherever it paints, so its patches are.
    """
    without, carrying, shape = images, edited, artefact
    if edit == "remove":
        without, carrying = edited, images
        shape = replace(artefact, alpha=widened(artefact.alpha > 0).astype(np.float32))
    return random_patches(shape, mean_view(shape, without), mean_view(shape, carrying), count, rng)


def _of_patch(
    subject: Subject,
    edit: Edit,
    patch: Artefact,
    images: Sequence[Pixels],
    edited: Sequence[Pixels],
    before: Values,
    bank: Values,
) -> dict[str, float]:
    """Mean effects of adding a patch; or of removing it, had the images carried it instead of the artefact."""
    if edit == "add":
        measured = measure_effects(subject, before, _respond(subject, [patch.add(image) for image in images]), bank)
    else:
        carrying = _respond(subject, [patch.add(image) for image in edited])
        measured = measure_effects(subject, carrying, _respond(subject, edited), bank)
    return {name: mean(values) for name, values in measured.items()}


def _respond(subject: Subject, images: Sequence[Pixels]) -> Values:
    outputs = subject.respond(images)
    if not np.isfinite(outputs).all():
        raise InputError(f"The {subject.kind} gives outputs that are not finite: it cannot be tested on these images.")
    return outputs


def _judge(
    subject: Subject,
    edit: Edit,
    measured: dict[str, dict[str, Values]],
    means: Sequence[dict[str, float]],
    counts: Values,
    level: float,
) -> dict[str, Any]:
    """The fields of a `Trial` that the first effect decides."""
    name = next(iter(WORDS[subject.kind]))
    values = {condition: effects[name] for condition, effects in measured.items()}
    effect = mean(values[ARTEFACT])
    expected = DIRECTION[subject.kind] * (1 if edit == "add" else -1)
    sign = expected or (-1 if effect < 0 else 1)
    ranked = sign * np.array([patch[name] for patch in means])
    p = (1 + int((ranked >= sign * effect).sum())) / (1 + len(ranked)) * (1 if expected else 2)
    low, high = interval(values[ARTEFACT], counts, level)
    beyond_area = None
    if AREA in values:
        beyond_area = interval(sign * (values[ARTEFACT] - values[AREA]), counts, level)[0] > 0
    leans = min(sign * low, sign * high) > 0 and beyond_area is not False and min(p, 1.0) <= _UNDECIDED
    return {
        "effect": effect,
        "low": low,
        "high": high,
        "sign": sign,
        "beyond_area": beyond_area,
        "patch_p": min(p, 1.0),
        "moved_share": mean(values[PLACE]) / effect if edit == "add" and PLACE in values and effect else None,
        "leans": bool(leans),
        "passed": bool(leans and p <= level + 1e-9),
    }


def _rows(
    edit: Edit, measured: dict[str, dict[str, Values]], means: Sequence[dict[str, float]], counts: Values
) -> list[dict[str, Any]]:
    """Every effect of every condition, with a 95 % interval; of random patches mean, least and largest."""
    rows: list[dict[str, Any]] = []
    for condition, effects in measured.items():
        for name, values in effects.items():
            low, high = interval(values, counts, 0.05)
            row = {"edit": edit, "condition": condition, "effect": name, "estimate": mean(values), "low": low}
            rows.append(row | {"high": high, "n": len(values)})
    for name in means[0]:
        of_patches = [patch[name] for patch in means]
        row = {"edit": edit, "condition": PATCHES, "effect": name, "estimate": float(np.mean(of_patches))}
        rows.append(row | {"low": min(of_patches), "high": max(of_patches), "n": len(of_patches)})
    return rows
