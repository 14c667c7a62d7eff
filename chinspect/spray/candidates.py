"""Candidates: sets of maps that may be a strategy, with all that is known about them."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chinspect.spray._ensemble import MERGE, Proposal
from chinspect.spray._null import adjusted
from chinspect.spray._shared import Members, Rows
from chinspect.spray.pooling import Maps

ALPHA = 0.05
_RESAMPLES, _CONFIDENCE, _LARGEST, _MEDOIDS = 200, 0.95, 2_000, 3


@dataclass(frozen=True, eq=False)
class Candidate:
    """A set of maps that may be a strategy.

    Attributes:
        indices: (m,) places of the members among the maps given, ascending.
        source: the clusterings that proposed it.
        mean_map, template: (h, w), the mean of the members, and the relevance that they share and others have not; the
            latter of the maps as they are compared, which are of unit length under the metric ``cosine``.
        medoids: places of the three members nearest to the mean map, nearest first.
        shared: the share of a member's relevance that the members have in common and others have not, from 0 to 1.
        gap: by how much members hold more of the template than the nearest others, from -1 to 1.
        threshold: how much of the template a map has to hold to count as a member, see `SpRAy.carriers`.
        effect: half of the absolute difference of the mean maps of members and others, over the mean relevance of a
            map: 0 where they are the same, 1 where they have no cell in common.
        effect_low, effect_high: its 95 % interval, the set taken as given. The effect is a norm, which errors of the
            means can only blow up; so it is the effect less and plus the 95 % quantile of the errors' own norm over 200
            bootstrap samples of members and others, which by the triangle inequality covers at least as often. The
            lower end is 0 where random sets of this size differ as much.
        focus: 1 - 1 / (number of cells times the mean map's concentration): 0 for an even map, near 1 for one cell.
        stability: mean Jaccard similarity to the best set in subsamples of 80 %; nan where none were drawn.
        p_value: how often maps without a common place have any set like it, see `chinspect.spray._null`; nan if
            untested.
        q_value: the p-value after Benjamini and Hochberg's correction over all groups of maps that were analysed; nan
            if untested.
        flagged: whether ``q_value`` is at most 0.05.
        verdict: ``candidate`` where flagged, ``untested`` otherwise; an intervention turns the first into
            ``confirmed``, ``undecided`` or ``not_causal``, see `chinspect.stress.prove`.
        group: the class whose maps were analysed, None for all maps.
        label, purity, base_rate: the commonest label among the members, its share there and among all maps analysed;
            None and nan without labels.
    """

    indices: NDArray[np.int64]
    source: str
    mean_map: Maps
    template: Maps
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
    q_value: float = float("nan")
    flagged: bool = False
    verdict: str = "untested"
    group: Hashable = None
    label: Hashable = None
    purity: float = float("nan")
    base_rate: float = float("nan")

    @property
    def compared(self) -> bool:
        """Whether it was compared with chance."""
        return not np.isnan(self.p_value)

    @property
    def size(self) -> int:
        """Number of members."""
        return len(self.indices)

    def record(self) -> dict[str, Any]:
        """All but indices and maps, as a flat row."""
        return {name: getattr(self, name) for name in COLUMNS}


_ARRAYS = {"indices", "mean_map", "template", "medoids"}
COLUMNS = ("size", *(field.name for field in fields(Candidate) if field.name not in _ARRAYS))
"""Of a candidate's row."""


def describe(
    proposal: Proposal, maps: Maps, *, shared: float, p_value: float, stability: float, random_state: int
) -> Candidate:
    """A candidate of ``maps`` (n, h, w) from the set that was proposed."""
    rows, members = maps.reshape(len(maps), -1), proposal.shared.members
    mean = rows[members].mean(0, dtype=np.float64)
    near = members[np.argsort(np.linalg.norm(rows[members] - mean, axis=1), kind="stable")[:_MEDOIDS]]
    effect, low, high = _effect(rows, members, np.random.default_rng(random_state))
    return Candidate(
        indices=members,
        source=", ".join(proposal.sources),
        mean_map=mean.reshape(maps.shape[1:]).astype(np.float32),
        template=proposal.shared.template.reshape(maps.shape[1:]),
        medoids=tuple(int(i) for i in near),
        shared=shared,
        gap=proposal.shared.gap,
        threshold=proposal.shared.threshold,
        effect=effect,
        effect_low=low,
        effect_high=high,
        focus=focus(mean),
        stability=stability,
        p_value=p_value,
    )


def focus(mean: NDArray[np.float64]) -> float:
    """How concentrated a map is, from 0 (even) to nearly 1 (one cell): ``1 - (sum |r|)^2 / (cells * sum r^2)``."""
    energy = float((mean**2).sum())
    return 1 - float(np.abs(mean).sum()) ** 2 / (mean.size * energy) if energy > 0 else 0.0


def with_labels(candidate: Candidate, labels: NDArray[Any]) -> Candidate:
    """The candidate with its commonest label, and how common that one is; ``labels`` (n,) of the maps analysed."""
    values, counts = np.unique(labels[candidate.indices], return_counts=True)
    label = values[np.argmax(counts)]
    return replace(
        candidate,
        label=label.item() if hasattr(label, "item") else label,
        purity=float(counts.max() / counts.sum()),
        base_rate=float(np.mean(labels == label)),
    )


def flag(groups: list[list[Candidate]]) -> list[Candidate]:
    """All candidates, most significant first, flagged with one correction over the groups.

    A p-value covers all sets of its group already. What is left to correct for are the groups: Benjamini and Hochberg's
    procedure runs over the smallest p-value of each, and a candidate's q-value is its own p-value times the factor that
    its group's smallest was given. Of sets that share at least 0.8 of their members (Jaccard), one of all maps and one
    of a class, the most significant stays.
    """
    best = np.array([min((c.p_value for c in group), default=1.0) for group in groups])
    factors = np.maximum(adjusted(best) / np.maximum(best, np.finfo(float).tiny), 1)
    out = []
    for group, factor in zip(groups, factors, strict=True):
        for candidate in group:
            q = float(np.minimum(candidate.p_value * factor, 1.0))
            verdict = "candidate" if q <= ALPHA else "untested"
            out.append(replace(candidate, q_value=q, flagged=q <= ALPHA, verdict=verdict))
    return _different(sorted(out, key=lambda c: (np.nan_to_num(c.q_value, nan=1.0), -c.shared * max(c.gap, 0))))


def _different(ranked: list[Candidate]) -> list[Candidate]:
    """The first of candidates that have nearly the same members."""
    kept: list[Candidate] = []
    for candidate in ranked:
        if not any(_same(candidate.indices, other.indices) for other in kept):
            kept.append(candidate)
    return kept


def _same(a: NDArray[np.int64], b: NDArray[np.int64]) -> bool:
    common = len(np.intersect1d(a, b, assume_unique=True))
    return common >= MERGE * (len(a) + len(b) - common)


def _effect(rows: Rows, members: Members, rng: np.random.Generator) -> tuple[float, float, float]:
    """The effect and its interval, see `Candidate`."""
    others = np.setdiff1d(np.arange(len(rows)), members)
    inside = rows[members].mean(0, dtype=np.float64)
    outside = (rows.sum(0, dtype=np.float64) - inside * len(members)) / len(others)
    scale = 2 * float(np.abs(rows).sum(dtype=np.float64)) / len(rows)
    effect = float(np.abs(inside - outside).sum()) / scale
    errors = _errors(rows, members, rng) - _errors(rows, others, rng)
    margin = float(np.quantile(np.abs(errors).sum(1), _CONFIDENCE)) / scale
    return effect, max(effect - margin, 0.0), effect + margin


def _errors(rows: Rows, places: Members, rng: np.random.Generator) -> NDArray[np.float64]:
    """Bootstrap errors (200, d) of the mean of ``rows[places]``, from at most 2,000 of them."""
    sample = rows[places if len(places) <= _LARGEST else rng.choice(places, _LARGEST, replace=False)]
    n = len(sample)
    weights = rng.multinomial(n, np.full(n, 1 / n), _RESAMPLES) / n - 1 / n
    errors: NDArray[np.float64] = weights @ sample * (n / np.sqrt((n - 1) * len(places)))
    return errors
