"""One edit of some images, under way: it gets placebos until it is decided, and is a `Trial` then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import numpy as np

from chinspect.artefacts import Artefact, Pixels, widened
from chinspect.errors import InputError
from chinspect.intervals import mean
from chinspect.proof.contents import Contents, shuffled
from chinspect.proof.effects import DIRECTION, Values, decisive_effect, measure_effects
from chinspect.proof.placebos import elsewhere, mean_view, moved, own_content
from chinspect.proof.trial import (
    AREA,
    ARTEFACT,
    CONTENT,
    CONTENT_MOVED,
    MOVED,
    PICTURES,
    SHUFFLED,
    UNCHANGED,
    Edit,
    Rule,
    Trial,
    rank_p,
    standardised,
)
from chinspect.subjects import Subject

_MOVED_CONTENTS = 4  # other contents that are laid elsewhere: their mean then varies half as much as one of them
_SHUFFLES = 39  # the least that gives p = .025, and a second shuffle in forty may do as much


class Experiment:
    """Images, and what a model answers before and after an edit of them.

    Placebos lie on images without the artefact: adding is compared with adding a placebo, removing with taking away one
    that the image had instead of the artefact.

    Raises `InputError` for outputs of the model that are not finite.
    """

    def __init__(
        self,
        subject: Subject,
        artefact: Artefact,
        edit: Edit,
        images: Sequence[Pixels],
        pool: Sequence[Pixels],
        seed: int,
        reference: Values | None = None,
    ) -> None:
        """The edit is made and measured, without placebos.

        The pool are pictures without the artefact that placebos are taken from. The reference is that of
        `measure_effects`, by default the responses to the images.
        """
        self.subject = subject
        self.artefact = artefact
        self.edit = edit
        self._rng = np.random.default_rng([seed, edit == "add"])
        self._before = self._respond(images)
        self._bank = self._before if reference is None else reference
        change = artefact.add if edit == "add" else artefact.remove
        edited = [change(image) for image in images]
        self._without: Sequence[Pixels] = images if edit == "add" else edited
        carrying: Sequence[Pixels] = edited if edit == "add" else images
        # what a removal takes away may be opaque wherever it paints, so its placebos are
        opaque = replace(artefact, alpha=widened(artefact.alpha > 0).astype(np.float32))
        shape = artefact if edit == "add" else opaque
        views = mean_view(shape, self._without), mean_view(shape, carrying)
        self._contents = Contents(shape, *views, pool, self._rng)
        self._after = self._respond(edited)
        self.measured = {ARTEFACT: self._effects(self._before, self._after)}
        self.pictures = {UNCHANGED: images[:PICTURES], ARTEFACT: edited[:PICTURES]}
        self._offsets = elsewhere(artefact, len(images), self._rng)
        if self._offsets:
            self._move(images)
        self.effects: dict[str, list[dict[str, float]]] = {CONTENT: [], SHUFFLED: []}
        self._ratios: list[float] = []
        self._placebos: list[Artefact] = []
        self._sum: Values = np.zeros_like(self.values)

    @property
    def values(self) -> Values:
        """The effect of the artefact that decides: of images (n,), or of pairs of images (n, n)."""
        return self.measured[ARTEFACT][decisive_effect(self.subject.kind)]

    def measure(self, count: int) -> None:
        """Adds placebos until there are so many."""
        for _ in range(count - len(self.effects[CONTENT])):
            placebo, ratio = self._contents.draw()
            self._sum = self._sum + self._measure(placebo, CONTENT)
            self._ratios.append(ratio)
            self._placebos = [*self._placebos, placebo][:_MOVED_CONTENTS]

    def shuffle(self, count: int) -> None:
        """Adds shuffles of the artefact's pieces until there are so many."""
        for _ in range(count - len(self.effects[SHUFFLED])):
            self._measure(shuffled(self.artefact, self._rng), SHUFFLED)

    def ask_questions(self) -> None:
        """Measures what tells the artefact from its place, and what it shows from its colours and strokes."""
        self.shuffle(_SHUFFLES)
        if self._offsets and self.edit == "add":
            elsewhere_ = [self._laid_elsewhere(placebo) for placebo in self._placebos]
            effects = [self._effects(self._before, self._respond(images)) for images in elsewhere_]
            self.measured[CONTENT_MOVED] = {
                name: cast(Values, np.mean([values[name] for values in effects], axis=0)) for name in effects[0]
            }

    @property
    def statistics(self) -> Values:
        """Mean effect of the artefact, and of each placebo: (1 + K,), larger where reliance makes it larger."""
        name = decisive_effect(self.subject.kind)
        means = [mean(self.values), *(placebo[name] for placebo in self.effects[CONTENT])]
        return self._direction * np.array(means)

    @property
    def standardised(self) -> Values:
        """The statistics less their mean over their standard deviation, in absolute value where both signs count."""
        return standardised(self.statistics, two_sided=not DIRECTION[self.subject.kind])

    @property
    def rank_p(self) -> float:
        """The p-value of this trial alone, as in `Trial.rank_p`."""
        return rank_p(self.standardised)

    def trial(self, rule: Rule, p_value: float = 1.0) -> Trial:
        """What was measured up to now."""
        return Trial(
            edit=self.edit,
            kind=self.subject.kind,
            rule=rule,
            measured=dict(self.measured),
            placebo_effects={name: tuple(effects) for name, effects in self.effects.items()},
            placebo_mean=self._sum / max(len(self.effects[CONTENT]), 1),
            placebo_norm=float(np.mean(self._ratios)),
            p_value=p_value,
            pictures=dict(self.pictures),
        )

    @property
    def _direction(self) -> int:
        return (DIRECTION[self.subject.kind] or 1) * (1 if self.edit == "add" else -1)

    def _move(self, images: Sequence[Pixels]) -> None:
        """The two placebos elsewhere, of which only the first decides."""
        copies = [moved(self.artefact, offset) for offset in self._offsets]
        if self.edit == "add":
            area = [own_content(self.artefact, *pair) for pair in zip(images, self._offsets, strict=True)]
        else:
            area = [copy.remove(image) for copy, image in zip(copies, images, strict=True)]
        there = [copy.add(image) for copy, image in zip(copies, self._without, strict=True)]
        for condition, edited in ((AREA, area), (MOVED, there)):
            self.measured[condition] = self._effects(self._before, self._respond(edited))
            self.pictures[condition] = edited[:PICTURES]

    def _laid_elsewhere(self, placebo: Artefact) -> list[Pixels]:
        pairs = zip(self._without, self._offsets, strict=True)
        return [moved(placebo, offset).add(image) for image, offset in pairs]

    def _measure(self, placebo: Artefact, condition: str) -> Values:
        """Measures a placebo, remembers the means of all effects, and returns the values of the one that decides."""
        marked = [placebo.add(image) for image in self._without]
        self.pictures.setdefault(condition, marked[:PICTURES])
        responses = self._respond(marked)
        change = (self._before, responses) if self.edit == "add" else (responses, self._after)
        effects = self._effects(*change)
        self.effects[condition].append({name: mean(values) for name, values in effects.items()})
        return effects[decisive_effect(self.subject.kind)]

    def _effects(self, before: Values, after: Values) -> dict[str, Values]:
        return measure_effects(self.subject, before, after, self._bank)

    def _respond(self, images: Sequence[Pixels]) -> Values:
        outputs = self.subject.respond(images)
        if not np.isfinite(outputs).all():
            raise InputError(
                f"The {self.subject.kind} gives outputs that are not finite: it cannot be tested on these images."
            )
        return outputs
