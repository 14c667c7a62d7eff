"""A trial: what an edit of some images and its placebos did, and what follows from that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd

from chinspect.artefacts import Pixels
from chinspect.intervals import draws, interval, mean
from chinspect.proof.effects import DIRECTION, Values, decisive_effect
from chinspect.subjects import Kind

Edit = Literal["add", "remove"]
Verdict = Literal["confirmed", "undecided", "not_causal", "untested"]
ARTEFACT = "artefact"
AREA = "area elsewhere"
MOVED = "artefact elsewhere"
CONTENT = "other content"
CONTENT_MOVED = "other content elsewhere"
SHUFFLED = "shuffled pieces"
UNCHANGED = "unchanged"
OF_AREA: Mapping[Edit, str] = {"add": "the image's own content", "remove": "painted over"}
"""What the area elsewhere shows."""
PICTURES = 3
"""Of each condition for figures, which draw two; the third is for those of one's own."""
_LEANS = 0.1  # rank p-value: of effects that are as rare as one in fifty among placebos, one in a hundred is above it
_LEVEL = 0.05  # of the questions that describe a trial and decide nothing
ROUNDING = 1e-9
"""Ranks over their number are compared with levels such as 0.05, and both are no binary fractions."""


@dataclass(frozen=True)
class Rule:
    """How a trial is judged.

    Attributes:
        level: of its family of trials, see `chinspect.proof.family`.
        trials: in this family.
        n_resamples: of the bootstrap.
        seed: of placebos and bootstrap.
    """

    level: float
    trials: int
    n_resamples: int
    seed: int


@dataclass(frozen=True, eq=False)
class Trial:
    """What an edit and its placebos did; whether the edit did more follows from that.

    Attributes:
        edit: "add" or "remove".
        kind: of the model.
        rule: of the judgement.
        measured: by condition and effect, values of images (n,) or of pairs of images (n, n).
        placebo_effects: by family of placebos, for each placebo the means of all effects.
        placebo_mean: mean over other contents of the effect that decides, of images (n,) or of pairs of images (n, n).
        placebo_norm: mean norm of other content over that of the edit.
        p_value: that the artefact is other content, corrected for all trials of the family.
        pictures: the first images under each condition, for figures.
    """

    edit: Edit
    kind: Kind
    rule: Rule
    measured: Mapping[str, Mapping[str, Values]]
    placebo_effects: Mapping[str, Sequence[Mapping[str, float]]]
    placebo_mean: Values
    placebo_norm: float
    p_value: float
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
    def effect(self) -> float:
        """The mean of the effect that decides."""
        return mean(self.values[ARTEFACT])

    @cached_property
    def bounds(self) -> tuple[float, float]:
        """The interval of `effect` at the family's level over its trials (Bonferroni)."""
        return self._interval(self.values[ARTEFACT])

    @property
    def sign(self) -> int:
        """Of an effect that counts, 1 or -1: that of the effect itself where both do."""
        expected = DIRECTION[self.kind] * (1 if self.edit == "add" else -1)
        return expected or (-1 if self.effect < 0 else 1)

    @cached_property
    def placebos(self) -> Values:
        """Mean effect of each other content, (K,)."""
        return self._means(CONTENT)

    @cached_property
    def excess(self) -> tuple[float, float, float]:
        """The effect less the mean of other contents', image by image, and its interval at the level of `bounds`."""
        difference = self.values[ARTEFACT] - self.placebo_mean
        return mean(difference), *self._interval(difference)

    @property
    def strength(self) -> float:
        """The excess in standard deviations of other contents' effects, positive on the side that counts.

        Infinite where other contents have no effect that varies.
        """
        spread = float(self.placebos.std())
        excess = self.sign * self.excess[0]
        return excess / spread if spread > 0 else float(np.copysign(np.inf, excess)) if excess else 0.0

    @property
    def exceeded(self) -> int:
        """How many other contents do less than the artefact."""
        return round((1 - self.rank_p) * (1 + len(self.placebos)))

    @property
    def rank_p(self) -> float:
        """Rank p-value of this trial alone, ``(1 + placebos that do as much) / (1 + placebos)``.

        Where both signs count, doing as much is being as far from the mean of all.
        """
        direction = (DIRECTION[self.kind] or 1) * (1 if self.edit == "add" else -1)
        statistics = direction * np.concatenate([[self.effect], self.placebos])
        return rank_p(standardised(statistics, two_sided=not DIRECTION[self.kind]))

    @cached_property
    def beyond_area(self) -> bool | None:
        """Whether the paired difference to the area elsewhere has that sign, with its whole interval.

        None where the artefact leaves no room elsewhere.
        """
        if AREA not in self.values:
            return None
        return self._beyond_zero(self._interval(self.values[ARTEFACT] - self.values[AREA]))

    @property
    def clear(self) -> bool:
        """Whether the effect, and its excess over other content and area elsewhere, leave zero on the right side."""
        return self._beyond_zero(self.bounds) and self._beyond_zero(self.excess[1:]) and self.beyond_area is not False

    @property
    def leans(self) -> bool:
        """Whether it is clear, and nine in ten other contents do less."""
        return self.clear and self.rank_p <= _LEANS + ROUNDING

    @property
    def passed(self) -> bool:
        """Whether it is clear, and the null that the artefact is other content is rejected."""
        return self.clear and self.p_value <= self.rule.level + ROUNDING

    @property
    def verdict(self) -> Verdict:
        """Of this trial alone."""
        if self.passed:
            return "confirmed"
        return "undecided" if self.leans else "not_causal"

    @property
    def moved_fraction(self) -> float | None:
        """Effect of the same artefact elsewhere over that in its place; None without room, and for removals."""
        return self._fraction(MOVED) if self.edit == "add" else None

    @cached_property
    def acts_elsewhere(self) -> bool | None:
        """Whether the artefact elsewhere does more than other content there; None where that was not measured."""
        if CONTENT_MOVED not in self.values:
            return None
        return self._beyond_zero(self._described(self.values[MOVED] - self.values[CONTENT_MOVED]))

    @property
    def place_fraction(self) -> float | None:
        """What other content does more in this place than elsewhere, over the effect; None where not measured."""
        if CONTENT_MOVED not in self.values or not self.effect:
            return None
        return mean(self.placebo_mean - self.values[CONTENT_MOVED]) / self.effect

    @property
    def shuffled_fraction(self) -> float | None:
        """Mean effect of the shuffled pieces over that of the artefact; None where they were not measured."""
        shuffles = self._means(SHUFFLED)
        return float(shuffles.mean()) / self.effect if len(shuffles) and self.effect else None

    @property
    def shuffled_p(self) -> float | None:
        """Rank p-value that what the artefact shows does not matter, at a level of its own; None if not measured."""
        shuffles = self._means(SHUFFLED)
        if not len(shuffles):
            return None
        return float(1 + (self.sign * shuffles >= self.sign * self.effect).sum()) / (1 + len(shuffles))

    @property
    def specific(self) -> bool | None:
        """Whether what the artefact shows matters, beyond its colours and strokes; None if that was not asked."""
        return None if self.shuffled_p is None else self.shuffled_p <= _LEVEL + ROUNDING

    def document(self) -> dict[str, Any]:
        """Numbers and judgement as JSON values."""
        low, high = self.bounds
        document = {"edit": self.edit, "images": self.images, "effect": self.effect, "low": low, "high": high}
        document |= dict(zip(("excess", "excess_low", "excess_high"), self.excess, strict=True))
        document |= {"placebos": len(self.placebos), "exceeded": self.exceeded, "strength": self.strength}
        names = ["sign", "beyond_area", "rank_p", "p_value", "placebo_norm", "leans", "passed"]
        names += ["acts_elsewhere", "place_fraction", "shuffled_fraction", "shuffled_p", "specific"]
        document |= {name: getattr(self, name) for name in names}
        return document | {"moved_share": self.moved_fraction}

    @cached_property
    def table(self) -> pd.DataFrame:
        """Every effect of every condition, with a 95 % interval; of placebos of a family mean, least and largest."""
        rows: list[tuple[Any, ...]] = []
        for condition, effects in self.measured.items():
            for name, values in effects.items():
                rows.append((condition, name, mean(values), *self._described(values), len(values)))
        for condition, placebos in self.placebo_effects.items():
            for name in placebos[0] if placebos else ():
                means = [placebo[name] for placebo in placebos]
                rows.append((condition, name, float(np.mean(means)), min(means), max(means), len(means)))
        table = pd.DataFrame(rows, columns=["condition", "effect", "estimate", "low", "high", "n"])
        table.insert(0, "edit", self.edit)
        return table

    def _means(self, family: str) -> Values:
        name = decisive_effect(self.kind)
        return np.array([placebo[name] for placebo in self.placebo_effects[family]])

    def _fraction(self, condition: str) -> float | None:
        if condition not in self.values or not self.effect:
            return None
        return mean(self.values[condition]) / self.effect

    def _interval(self, values: Values) -> tuple[float, float]:
        return interval(values, self._counts, self.rule.level / self.rule.trials)

    def _described(self, values: Values) -> tuple[float, float]:
        return interval(values, self._counts, _LEVEL)

    def _beyond_zero(self, bounds: tuple[float, float]) -> bool:
        return min(self.sign * bound for bound in bounds) > 0

    @cached_property
    def _counts(self) -> Values:
        """How often each image is drawn: one bootstrap for all effects and conditions."""
        return draws(self.images, self.rule.n_resamples, self.rule.seed)


def standardised(statistics: Values, *, two_sided: bool) -> Values:
    """Statistics (1 + K,) less their mean over their standard deviation, in absolute value for two sides.

    All are treated alike, the tested one among them, or they would not be exchangeable any more.
    """
    spread = float(statistics.std())
    z: Values = (statistics - statistics.mean()) / (spread or 1.0)  # all the same: zeros
    return np.abs(z) if two_sided else z


def rank_p(standardised_: Values) -> float:
    """``(1 + placebos that do as much) / (1 + K)`` of statistics (1 + K,), the tested one in front."""
    return float(1 + (standardised_[1:] >= standardised_[0]).sum()) / len(standardised_)
