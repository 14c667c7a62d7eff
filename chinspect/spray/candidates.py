"""Candidates: sets of maps that may be a strategy, with all that is known about them."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chinspect.spray.arrays import Floats, Indices, Maps, Rows
from chinspect.spray.proposals import MERGE, Proposal, nested
from chinspect.spray.significance import ALPHA, adjusted
from chinspect.spray.views import View

NOT_TESTED = "not tested"
_NAN = float("nan")
_RESAMPLES = 200  # bootstrap samples: enough for a 95 % quantile
_CONFIDENCE = 0.95
_LARGEST = 2_000  # maps that the bootstrap draws from; the errors of more are scaled from these
_MEDOIDS = 3
_ROWS = ("upper", "middle", "lower")
_COLUMNS = ("left", "centre", "right")
_FREQUENCIES = ("low", "middle", "high")
_HEADLINES = {
    "confirmed": "CONFIRMED: the model relies on what these images share",
    "not_causal": "NOT CAUSAL: the model reacts to it no more than to what other images show there",
    "undecided": "UNDECIDED: more than chance; the test on the model leans to reliance, but decides nothing",
    "candidate": "CANDIDATE: more than chance, but not tested on the model",
    "untested": "NOT FLAGGED: chance may explain it",
}
_NOT_COMPARED = "NOT TESTED: nothing was compared with chance"


@dataclass(frozen=True, eq=False)
class Candidate:
    """A set of maps that may be a strategy.

    Attributes:
        indices: (m,) of the members among all maps, ascending.
        source: the clusterings that proposed it.
        mean_map, template: (h, w), the mean of the members, and the relevance that they have in common and others have
            not, as a fraction of the relevance of a map.
        pattern, view: (h, w), the template in the view of the maps in which the set was found, see
            `chinspect.spray.views`; under the metric ``cosine`` it is that of maps of unit length.
        medoids: indices of the three members nearest to the mean map, nearest first.
        shared: the fraction of a member's relevance that the members have in common and others have not, from 0 to 1.
        gap: by how much members hold more of the pattern than the nearest others, from -1 to 1.
        threshold: how much of the pattern a map has to hold to count as a member, see `SpRAy.carriers`.
        effect: half of the absolute difference of the mean maps of members and others, over the mean relevance of a
            map: 0 where they are the same, 1 where they have no cell in common.
        effect_low, effect_high: its 95 % interval, for this set. The effect is a norm, which errors of the means can
            only blow up; so it is the effect less and plus the 95 % quantile of the errors' own norm over 200 bootstrap
            samples of members and others, which by the triangle inequality covers at least as often. The lower end is 0
            where random sets of this size differ as much.
        focus: 1 - 1 / (number of cells times the mean map's concentration): 0 for an even map, near 1 for one cell.
        stability: mean Jaccard similarity to the best set in subsamples of 80 %; nan where none were drawn.
        p_value: how often maps without a common position have any set like it, see `chinspect.spray.significance`; nan
            if untested.
        surrogates: how many such sets of maps it was compared with.
        q_value: the p-value after Benjamini and Hochberg's correction over all groups of maps that were analysed; nan
            if untested.
        flagged: whether ``q_value`` is at most 0.05.
        verdict: ``candidate`` where flagged, ``untested`` otherwise; an intervention turns the first into
            ``confirmed``, ``undecided`` or ``not_causal``, see `chinspect.proof.prove`.
        group: the class whose maps were analysed, None for all maps.
        label, purity, base_rate: the commonest label among the members, its fraction there and among all maps analysed;
            None and nan without labels.
    """

    indices: Indices
    source: str
    mean_map: Maps
    template: Maps
    pattern: Maps
    view: View
    medoids: tuple[int, ...]
    shared: float
    gap: float
    threshold: float
    effect: float
    effect_low: float
    effect_high: float
    focus: float
    stability: float
    p_value: float
    surrogates: int = 0
    q_value: float = _NAN
    flagged: bool = False
    verdict: str = "untested"
    group: Hashable = None
    label: Hashable = None
    purity: float = _NAN
    base_rate: float = _NAN

    @property
    def compared(self) -> bool:
        """Whether it was compared with chance."""
        return not np.isnan(self.p_value)

    @property
    def sampled(self) -> float:
        """The smallest p-value that so many surrogates can show: that of a set to which none comes up."""
        return 1 / (1 + self.surrogates)

    @property
    def extrapolated(self) -> bool:
        """Whether the p-value lies below all that was sampled, and comes from a distribution that was fitted."""
        return self.compared and self.p_value < self.sampled

    @property
    def chance_in_short(self) -> str:
        """The corrected p-value, no smaller than what was sampled."""
        if not self.compared:
            return NOT_TESTED
        return f"< {self.sampled:.2g}" if self.q_value < self.sampled else f"{self.q_value:.2g}"

    @property
    def size(self) -> int:
        """Number of members."""
        return len(self.indices)

    @property
    def headline(self) -> str:
        """The verdict, for a stranger."""
        return _HEADLINES[self.verdict] if self.compared else _NOT_COMPARED

    @property
    def outcome(self) -> str:
        """The verdict in a table: "not flagged" and "not tested" where there is none."""
        if self.flagged:
            return self.verdict.replace("_", " ")
        return "not flagged" if self.compared else NOT_TESTED

    @property
    def position(self) -> str:
        """Where the relevance lies that members have in common: a ninth of the image, or a range of a spectrum."""
        return position_in_words(self.template)

    @property
    def chance(self) -> str:
        """How it compares with maps that have no common reason."""
        if not self.compared:
            return "not compared with chance"
        short = self.chance_in_short
        p = f"p {short}" if short.startswith("<") else f"p = {short}"
        if self.extrapolated:
            p += f"; none of {self.surrogates} comes up to it, all below that is extrapolated"
        if self.flagged:
            return f"surrogates, maps without a common reason, have no such set ({p})"
        return f"surrogates, maps without a common reason, have such sets as well ({p})"

    def record(self) -> dict[str, Any]:
        """All but indices and maps, as a flat row."""
        return {name: getattr(self, name) for name in COLUMNS}


_ARRAYS = {"indices", "mean_map", "template", "pattern", "view", "medoids"}
COLUMNS = ("size", *(field.name for field in fields(Candidate) if field.name not in _ARRAYS), "extrapolated")
"""Of a candidate's row."""


def describe(
    proposal: Proposal,
    maps: Maps,
    common: Rows,
    *,
    p_value: float,
    stability: float,
    surrogates: int,
    random_state: int,
) -> Candidate:
    """A candidate of ``maps`` (n, h, w) from the set that was proposed; ``common`` (h * w,) is its template in them."""
    rows = maps.reshape(len(maps), -1)
    template = proposal.template
    members = template.members
    mean = rows[members].mean(0, dtype=np.float64)
    near = members[np.argsort(np.linalg.norm(rows[members] - mean, axis=1), kind="stable")[:_MEDOIDS]]
    effect, low, high = effect_interval(rows, members, np.random.default_rng(random_state))
    return Candidate(
        indices=members,
        source=", ".join(proposal.sources),
        mean_map=mean.reshape(maps.shape[1:]).astype(np.float32),
        template=common.reshape(maps.shape[1:]),
        pattern=template.values.reshape(maps.shape[1:]),
        view=proposal.view,
        medoids=tuple(near.tolist()),
        # cells that a quarter of the members lack in turn can add up to more
        shared=min(float(np.abs(common).sum()), 1.0),
        gap=template.gap,
        threshold=template.threshold,
        effect=effect,
        effect_low=low,
        effect_high=high,
        focus=focus(mean),
        stability=stability,
        p_value=p_value,
        surrogates=surrogates,
    )


def focus(mean: Floats) -> float:
    """How concentrated a map is, from 0 (even) to nearly 1 (one cell): ``1 - (sum |r|)^2 / (cells * sum r^2)``."""
    energy = float((mean**2).sum())
    return 1 - float(np.abs(mean).sum()) ** 2 / (mean.size * energy) if energy > 0 else 0.0


def with_labels(candidate: Candidate, labels: NDArray[Any]) -> Candidate:
    """The candidate with its commonest label, and how common that one is; ``labels`` (n,) of the maps analysed."""
    values, counts = np.unique(labels[candidate.indices], return_counts=True)
    label = values.tolist()[counts.argmax()]
    return replace(
        candidate,
        label=label,
        purity=float(counts.max() / counts.sum()),
        base_rate=float(np.mean(labels == label)),
    )


def flag(groups: list[list[Candidate]]) -> list[Candidate]:
    """All candidates, most significant first, flagged with one correction over the groups.

    A p-value covers all sets of its group already. What is left to correct for are the groups: Benjamini and Hochberg's
    procedure runs over the smallest p-value of each, and a candidate's q-value is its own p-value times the factor of
    its group's smallest. Of sets whose members overlap by at least 0.8 (Jaccard), one of all maps and one of a class,
    the most significant stays, and of nested sets (see `chinspect.spray.proposals.nested`) as well.
    """
    best = np.array([min((c.p_value for c in group), default=1.0) for group in groups])
    factors = np.maximum(adjusted(best) / np.maximum(best, np.finfo(float).tiny), 1)
    flagged = []
    for group, factor in zip(groups, factors, strict=True):
        for candidate in group:
            q = float(np.minimum(candidate.p_value * factor, 1.0))
            verdict = "candidate" if q <= ALPHA else "untested"
            flagged.append(replace(candidate, q_value=q, flagged=q <= ALPHA, verdict=verdict))
    flagged.sort(key=lambda c: (np.nan_to_num(c.q_value, nan=1.0), -c.shared * max(c.gap, 0)))
    different: list[Candidate] = []
    for candidate in flagged:
        if not any(_same(candidate, other) for other in different):
            different.append(candidate)
    return different


def effect_interval(rows: Rows, members: Indices, rng: np.random.Generator) -> tuple[float, float, float]:
    """The effect and its interval, see `Candidate`."""
    others = np.setdiff1d(np.arange(len(rows)), members)
    inside = rows[members].mean(0, dtype=np.float64)
    outside = (rows.sum(0, dtype=np.float64) - inside * len(members)) / len(others)
    scale = 2 * float(np.abs(rows).sum(dtype=np.float64)) / len(rows)
    effect = float(np.abs(inside - outside).sum()) / scale
    errors = _errors(rows, members, rng) - _errors(rows, others, rng)
    margin = float(np.quantile(np.abs(errors).sum(1), _CONFIDENCE)) / scale
    return effect, max(effect - margin, 0.0), effect + margin


def _same(a: Candidate, b: Candidate) -> bool:
    common = len(np.intersect1d(a.indices, b.indices, assume_unique=True))
    if common >= MERGE * (a.size + b.size - common):
        return True
    return nested(a.indices, a.template.ravel(), b.indices, b.template.ravel())


def _errors(rows: Rows, members: Indices, rng: np.random.Generator) -> Floats:
    """Bootstrap errors (200, d) of the mean of ``rows[members]``, from at most 2,000 of them."""
    sample = rows[members if len(members) <= _LARGEST else rng.choice(members, _LARGEST, replace=False)]
    n = len(sample)
    weights = rng.multinomial(n, np.full(n, 1 / n), _RESAMPLES) / n - 1 / n
    # n / (n - 1) makes the variance unbiased; n / len(members) scales it from the sample to all members.
    errors: Floats = weights @ sample * (n / np.sqrt((n - 1) * len(members)))
    return errors


def position_in_words(values: Rows) -> str:
    """Where the positive relevance of a map (h, w) lies: in a ninth of the image, or (1, B) a range of a spectrum."""
    weight = np.clip(values, 0, None).astype(float)
    if weight.sum() == 0:
        return "nowhere in particular"
    row, column = (_third(weight.sum(axis)) for axis in (1, 0))
    if len(weight) == 1:
        return f"in the {_FREQUENCIES[column]} frequencies"
    if row == 1 and column == 1:
        # A mean in the centre may also be that of relevance on all sides.
        spread = np.count_nonzero(weight > 0.25 * weight.max()) / weight.size
        return "in the centre" if spread < 0.25 else "all over the image"
    return f"at the {_ROWS[row]} {_COLUMNS[column]}"


def _third(weight: Floats) -> int:
    """In which third of a side, 0 to 2, the mean position of weights (n,) along it lies."""
    mean = weight @ (np.arange(len(weight)) + 0.5) / weight.sum()
    return int(3 * mean / len(weight))
