"""One trial: an edit of some images, its placebos on the same images, and the test of the effect that decides."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd

from chinspect.artefacts import Artefact, Pixels, widened
from chinspect.errors import InputError
from chinspect.intervals import draws, interval, mean
from chinspect.proof.effects import DIRECTION, Values, decisive_effect, measure_effects
from chinspect.proof.placebos import elsewhere, mean_view, moved, own_content, random_patches
from chinspect.subjects import Kind, Subject

Edit = Literal["add", "remove"]
Verdict = Literal["confirmed", "undecided", "not_causal", "untested"]
ARTEFACT = "artefact"
AREA = "area elsewhere"
MOVED = "artefact elsewhere"
PATCHES = "random patches"
UNCHANGED = "unchanged"
OF_AREA: dict[Edit, str] = {"add": "the image's own content", "remove": "painted over"}
"""What the area elsewhere shows."""
_DOING: dict[Edit, tuple[str, str]] = {"add": ("adding it to", "other"), "remove": ("removing it from", "affected")}
_PICTURES = 3  # of each condition for figures, which draw two; the third is for those of one's own
_ROUNDING = 1e-9  # levels such as 0.05 are no binary fractions, so 1 / level is an integer only up to this


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

    def patches(self, kind: Kind) -> int:
        """How many random patches it takes to reach the level, with one side or with two."""
        return math.ceil(_sides(kind) / self.level - _ROUNDING) - 1


@dataclass(frozen=True, eq=False)
class Trial:
    """What an edit and its placebos did; whether the edit did more follows from that.

    Attributes:
        edit: "add" or "remove".
        kind: of the model.
        rule: of the judgement.
        measured: by condition and effect, values of images (n,) or of pairs of images (n, n).
        patch_effects: of each random patch, the means of all effects.
        patch_norm: mean norm of a patch over that of the edit.
        pictures: the first images under each condition, for figures.
    """

    edit: Edit
    kind: Kind
    rule: Rule
    measured: Mapping[str, Mapping[str, Values]]
    patch_effects: Sequence[Mapping[str, float]]
    patch_norm: float
    pictures: Mapping[str, Sequence[Pixels]]

    @cached_property
    def values(self) -> dict[str, Values]:
        """The effect that decides, by condition: of images (n,), or of pairs of images (n, n)."""
        name = decisive_effect(self.kind)
        return {condition: effects[name] for condition, effects in self.measured.items()}

    @property
    def images(self) -> int:
        """How many were edited."""
        return len(self.values[ARTEFACT])

    @property
    def patches(self) -> int:
        """Number of random patches."""
        return len(self.patch_effects)

    @property
    def effect(self) -> float:
        """The mean of the effect that decides."""
        return mean(self.values[ARTEFACT])

    @cached_property
    def bounds(self) -> tuple[float, float]:
        """The interval of `effect` at the rule's level."""
        return interval(self.values[ARTEFACT], self._counts, self.rule.level)

    @property
    def sign(self) -> int:
        """Of an effect that counts, 1 or -1: that of the effect itself where both do."""
        expected = DIRECTION[self.kind] * (1 if self.edit == "add" else -1)
        return expected or (-1 if self.effect < 0 else 1)

    @cached_property
    def beyond_area(self) -> bool | None:
        """Whether the paired difference to the area elsewhere has that sign, with its whole interval.

        None where the artefact leaves no room elsewhere.
        """
        if AREA not in self.values:
            return None
        difference = self.sign * (self.values[ARTEFACT] - self.values[AREA])
        return interval(difference, self._counts, self.rule.level)[0] > 0

    @property
    def exceeded(self) -> int:
        """How many random patches do less than the artefact, in the direction of the sign."""
        name = decisive_effect(self.kind)
        return sum(self.sign * patch[name] < self.sign * self.effect for patch in self.patch_effects)

    @property
    def patch_p(self) -> float:
        """Rank p-value, ``(1 + patches that do as much) / (1 + patches)``, twice that where both signs count."""
        rank = (1 + self.patches - self.exceeded) / (1 + self.patches)
        return min(_sides(self.kind) * rank, 1.0)

    @property
    def moved_fraction(self) -> float | None:
        """Effect of the same artefact elsewhere over that in its place; None without room, and for removals."""
        if self.edit == "remove" or MOVED not in self.values or not self.effect:
            return None
        return mean(self.values[MOVED]) / self.effect

    @property
    def leans(self) -> bool:
        """Whether the interval leaves zero on the right side, and area and three quarters of patches are exceeded."""
        beyond_zero = min(self.sign * bound for bound in self.bounds) > 0
        return beyond_zero and self.beyond_area is not False and self.patch_p <= 0.25

    @property
    def passed(self) -> bool:
        """Whether, besides, the effect ranks high enough among the random patches."""
        return self.leans and self.patch_p <= self.rule.level + _ROUNDING

    @property
    def verdict(self) -> Verdict:
        """Of this trial alone."""
        if self.passed:
            return "confirmed"
        return "undecided" if self.leans else "not_causal"

    @property
    def sentence(self) -> str:
        """What was done and measured, as a clause of the proof's sentence."""
        doing, which = _DOING[self.edit]
        number = "all" if self.exceeded == self.patches else f"{self.exceeded} of"
        against = f"more than {number} {self.patches} {PATCHES} in its place"
        if self.exceeded < self.patches:
            against += f" (all {self.patches} are needed)"
        if self.beyond_area is not None:
            more = "more" if self.beyond_area else "not clearly more"
            against += f" and {more} than the {AREA} ({OF_AREA[self.edit]})"
        low, high = self.bounds
        interval_ = f"{1 - self.rule.level:.1%} interval {low:.3g} to {high:.3g}"
        return f"{doing} {self.images} {which} images gives {self.effect:+.3g} ({interval_}), {against}"

    def document(self) -> dict[str, Any]:
        """Numbers and judgement as JSON values."""
        low, high = self.bounds
        document = {"edit": self.edit, "images": self.images, "effect": self.effect, "low": low, "high": high}
        names = ("sign", "beyond_area", "patches", "patch_p", "patch_norm", "leans", "passed")
        document |= {name: getattr(self, name) for name in names}
        return document | {"moved_share": self.moved_fraction}

    @cached_property
    def table(self) -> pd.DataFrame:
        """Every effect of every condition, with a 95 % interval; of random patches mean, least and largest."""
        rows: list[tuple[Any, ...]] = []
        for condition, effects in self.measured.items():
            for name, values in effects.items():
                rows.append((condition, name, mean(values), *interval(values, self._counts, 0.05), len(values)))
        for name in self.patch_effects[0]:
            means = [patch[name] for patch in self.patch_effects]
            rows.append((PATCHES, name, float(np.mean(means)), min(means), max(means), len(means)))
        table = pd.DataFrame(rows, columns=["condition", "effect", "estimate", "low", "high", "n"])
        table.insert(0, "edit", self.edit)
        return table

    @cached_property
    def _counts(self) -> Values:
        """How often each image is drawn: one bootstrap for all effects and conditions."""
        return draws(self.images, self.rule.n_resamples, self.rule.seed)


def run_trial(
    subject: Subject,
    artefact: Artefact,
    edit: Edit,
    images: Sequence[Pixels],
    rule: Rule,
    reference: Values | None = None,
) -> Trial:
    """Edits images, edits them in the ways of each placebo, and measures; the images are the reference by default.

    Raises `InputError` for outputs of the model that are not finite.
    """
    rng = np.random.default_rng([rule.seed, edit == "add"])
    before = _respond(subject, images)
    bank = before if reference is None else reference
    pictures = _conditions(artefact, edit, images, rng)
    after = {condition: _respond(subject, edited) for condition, edited in pictures.items()}
    measured = {condition: measure_effects(subject, before, responses, bank) for condition, responses in after.items()}
    # Patches lie on images without the artefact. Adding is compared with adding a patch, removing with taking away one
    # that the image had instead of the artefact.
    adding = edit == "add"
    edited = pictures[ARTEFACT]
    without: Sequence[Pixels] = images if adding else edited
    carrying: Sequence[Pixels] = edited if adding else images
    # what a removal takes away may be opaque wherever it paints, so its patches are
    shape = artefact if adding else replace(artefact, alpha=widened(artefact.alpha > 0).astype(np.float32))
    views = mean_view(shape, without), mean_view(shape, carrying)
    patches, patch_norm = random_patches(shape, *views, rule.patches(subject.kind), rng)
    patch_effects = []
    for patch in patches:
        marked = _respond(subject, [patch.add(image) for image in without])
        change = (before, marked) if adding else (marked, after[ARTEFACT])
        effects = measure_effects(subject, *change, bank)
        patch_effects.append({name: mean(values) for name, values in effects.items()})
    marked_pictures = [patches[0].add(image) for image in without[:_PICTURES]]
    shown = {UNCHANGED: list(images), **pictures, PATCHES: marked_pictures}
    first = {condition: edited[:_PICTURES] for condition, edited in shown.items()}
    return Trial(edit, subject.kind, rule, measured, patch_effects, patch_norm, first)


def _conditions(
    artefact: Artefact, edit: Edit, images: Sequence[Pixels], rng: np.random.Generator
) -> dict[str, list[Pixels]]:
    """The images under the edit, and under the placebos that it has room for."""
    change = artefact.add if edit == "add" else artefact.remove
    edited = {ARTEFACT: [change(image) for image in images]}
    offsets = elsewhere(artefact, len(images), rng)
    if not offsets:
        return edited
    copies = [moved(artefact, offset) for offset in offsets]
    without = images
    if edit == "add":
        edited[AREA] = [own_content(artefact, *pair) for pair in zip(images, offsets, strict=True)]
    else:
        edited[AREA] = [copy.remove(image) for copy, image in zip(copies, images, strict=True)]
        without = edited[ARTEFACT]
    edited[MOVED] = [copy.add(image) for copy, image in zip(copies, without, strict=True)]
    return edited


def _respond(subject: Subject, images: Sequence[Pixels]) -> Values:
    outputs = subject.respond(images)
    if not np.isfinite(outputs).all():
        raise InputError(f"The {subject.kind} gives outputs that are not finite: it cannot be tested on these images.")
    return outputs


def _sides(kind: Kind) -> int:
    """Of the test: 2 where both signs of an effect are a finding."""
    return 1 if DIRECTION[kind] else 2
