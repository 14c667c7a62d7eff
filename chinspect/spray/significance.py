"""How sure a set of maps is: beside chance, where maps are missing, and which artefact would have been found.

**Chance.** A surrogate data set moves each map round its torus by a random shift: every map keeps its shapes, sizes and
texture, and no two maps have a position in common for a reason. All steps that propose sets are run on each surrogate,
so that choosing the most distinct of many sets is part of the null. (Permuting cells, or principal components, would
break the maps themselves, and everything is significant against broken maps.)

What counts is the most distinct set of each surrogate: the p-value of a set says how often a data set without a reason
has any set like it, so that no set needs a correction for the others beside it (Westfall and Young 1993, single step).
The most distinct set by chance is nearly always one of six to eight maps, beside which a larger one counts for little.
So the test is balanced (Romano and Wolf 2010): a set is measured by what chance makes of sets of its size and view, and
the largest of these ratios over all sizes and both views is what a set is compared with:

    scale[v, c] = max(mean over surrogates of the largest distinctness in view v among sets of class c or larger,
                      floor_v times the same among sets of all sizes)
    ratio(C)    = distinctness(C) / scale[view, class of |C|]

Classes of sizes rise by half from 6. Scales fall with the size, since a class that holds few sets by chance says little
by itself. In maps as they are the floor is 1, and nothing is balanced: large sets are rare on the torus, but edges make
them. Where fewer than ten surrogates reach a set, the Gumbel distribution of their largest ratios, fitted by its
moments, continues the rank, which stops at one over their number. It is an extrapolation, and goes no further than to
``1 / (1 + s)^2`` of s surrogates: as far again as they reach themselves.

A torus has no edge and an image has: objects that an edge cuts off resemble each other more. In 96 sets of 50 to 150
maps without an artefact the largest ratio was, in the median, 1.1 times what it was on the torus (whitened: 1.2), in
one of ten more than 1.8 times (2.4); one in six would be flagged. So a set is compared at 1/2 of its distinctness, and
two of the 96 were flagged: the hypothesis is that a set is at most twice as distinct as chance makes one.

**Stability.** Are the same sets proposed where a fifth of the maps is missing?

**Power.** What is the smallest artefact that would have been found, planted into a surrogate of the maps?
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from joblib import Parallel, delayed
from scipy.stats import false_discovery_control

from chinspect.spray.arrays import Floats, Indices, Maps, Rows
from chinspect.spray.overlap import jaccard_masks
from chinspect.spray.proposals import SMALLEST, Proposal, Settings, propose
from chinspect.spray.views import VIEWS, views_of

ALPHA = 0.05
LARGEST = 1_000  # maps of a surrogate
MARGIN = 2.0
"""How much more distinct than chance a set has to be."""
# Of maps as they are, and whitened. The second weighs power against level on photographs: with a tenth, ImageNet-W's
# watermark on a fifth of 251 was flagged in 55 % of the draws, with an eighth in 20 %; of photographs of one class,
# which are centred for honest reasons, 0.34 and 0.15 candidates a draw were flagged that were no carriers.
_FLOORS = np.array([1.0, 0.125])
_CLASSES = SMALLEST * 1.5 ** np.arange(11)
"""The smallest size of each class of sets; the last one begins at a third of the largest surrogate."""
_ENOUGH = 10  # surrogates that reach a set: then the rank alone is precise
_LEAST = 1e-300  # p-values are divided by, and 0 would be the same for all sets
_RESAMPLES = 10
_RETAINED = 0.8  # of the maps, in each of them
_PLANTED = 0.5  # of the relevance of a map that carries the planted mark
_SIDE = 7  # the mark is a seventh as high and wide as the map
_INSET = 20  # and a twentieth of it away from its edges
_FOUND = 0.9  # F1 of the set that is found with the maps that carry the mark


@dataclass(frozen=True, eq=False)
class Chance:
    """What surrogates make by chance.

    Attributes:
        largest: (s, v, c), the largest distinctness in each of s surrogates, each view and each class of sizes; 0 where
            there is no set.
        maps: in each surrogate.
    """

    largest: Floats
    maps: int

    @property
    def scales(self) -> Floats:
        """(v, c), of sets of each view and class."""
        means = self.largest.mean(0)
        falling = np.maximum.accumulate(means[:, ::-1], axis=1)[:, ::-1]
        overall = self.largest.max(2).mean(0)[:, None]
        # a view without any set by chance has no scale, and whatever is there exceeds it
        return np.maximum(falling, np.maximum(_FLOORS[:, None] * overall, _LEAST))

    def ratios(self, proposals: Sequence[Proposal], n: int) -> Floats:
        """How distinct sets (p,) of ``n`` maps are, in units of what chance makes; nan with fewer than 2 surrogates."""
        if len(self.largest) < 2:
            return np.full(len(proposals), np.nan)
        scales = self.scales
        cells = [_cell(proposal, self.maps / n) for proposal in proposals]
        distinct = [proposal.template.distinctness for proposal in proposals]
        return np.array([value / (MARGIN * scales[cell]) for value, cell in zip(distinct, cells, strict=True)])

    def p_values(self, proposals: Sequence[Proposal], n: int) -> Floats:
        """p-values (p,) of sets of ``n`` maps; nan where there are fewer than 2 surrogates."""
        ratios = self.ratios(proposals, n)
        if len(self.largest) < 2:
            return ratios
        return p_values(ratios, (self.largest / self.scales).max((1, 2)))


def p_values(ratios: Floats, maxima: Floats) -> Floats:
    """p-values (n,) of sets, from the largest ratio in each surrogate (s,), at least 2."""
    above = len(maxima) - np.searchsorted(np.sort(maxima), ratios, side="left")
    rank = (1 + above) / (1 + len(maxima))
    if maxima.std() == 0:
        return rank
    # The Gumbel distribution with the mean and standard deviation of the maxima.
    scale = float(maxima.std(ddof=1)) * np.sqrt(6) / np.pi
    location = float(maxima.mean()) - np.euler_gamma * scale
    with np.errstate(over="ignore"):  # far below all maxima, where the tail is 1
        tail = np.clip(-np.expm1(-np.exp(-(ratios - location) / scale)), (1 + len(maxima)) ** -2.0, rank)
    return np.where(above >= _ENOUGH, rank, tail)


def adjusted(p: Floats) -> Floats:
    """p-values (n,) by Benjamini and Hochberg's step-up procedure: the false discovery rate at which each counts.

    NaN is not tested, stays NaN, and does not count as a test.
    """
    out = np.full_like(p, np.nan)
    tested = ~np.isnan(p)
    if tested.any():
        out[tested] = false_discovery_control(p[tested])
    return out


def null(
    maps: Maps,
    count: int,
    settings: Settings,
    n_jobs: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Chance:
    """What ``count`` surrogates of ``maps`` (n, h, w) make by chance, whatever ``n_jobs``; ``progress`` counts them."""
    seeds = ((settings.random_state, number) for number in range(count))
    jobs = (delayed(largest_by_chance)(maps, seed, settings) for seed in seeds)
    largest = []
    for made in Parallel(n_jobs=n_jobs, return_as="generator")(jobs):
        largest.append(made)
        if progress is not None:
            progress(len(largest), count)
    return Chance(np.array(largest).reshape(count, len(VIEWS), len(_CLASSES)), min(len(maps), LARGEST))


def largest_by_chance(maps: Maps, seed: Sequence[int], settings: Settings) -> Floats:
    """The largest distinctness (v, c) in one surrogate of ``maps`` (n, h, w), see `Chance`."""
    moved = _surrogate(maps, np.random.default_rng(seed))
    largest = np.zeros((len(VIEWS), len(_CLASSES)))
    for proposal in propose(moved, settings, views_of(moved, unit=settings.unit)):
        cell = _cell(proposal, 1.0)
        largest[cell] = max(largest[cell], proposal.template.distinctness)
    return largest


def shifted(maps: Rows, rng: np.random.Generator) -> Rows:
    """Maps (n, h, w), each moved round its torus by a shift of its own, drawn evenly from all."""
    n, h, w = maps.shape
    rows = (np.arange(h) + rng.integers(0, h, (n, 1))) % h
    columns = (np.arange(w) + rng.integers(0, w, (n, 1))) % w
    moved: Rows = maps[np.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]]
    return moved


def stability(proposals: list[Proposal], maps: Maps, settings: Settings) -> Floats:
    """For each set, the Jaccard similarity to the best set of a subsample of the maps, averaged over 10: (s,).

    Subsamples hold 80 % of the maps, at most 1,000; members outside a subsample do not count.
    """
    masks = jaccard_masks([proposal.template.members for proposal in proposals], len(maps))
    views = views_of(maps, unit=settings.unit)
    rng = np.random.default_rng(settings.random_state)
    total = np.zeros(len(proposals))
    for _ in range(_RESAMPLES):
        sample = _drawn(len(maps), min(int(_RETAINED * len(maps)), LARGEST), rng)
        again = [proposal.template.members for proposal in propose(maps[sample], settings, views)]
        if again:
            others = jaccard_masks(again, len(sample))
            common = masks[:, sample] @ others.T
            union = masks[:, sample].sum(1)[:, None] + others.sum(1) - common
            total += (common / union).max(1)
    return total / _RESAMPLES


def min_detectable_size(maps: Maps, chance: Chance, settings: Settings) -> int | None:
    """The smallest number of ``maps`` (n, h, w) that can carry a mark and be flagged with F1 of at least 0.9.

    ``chance`` is that of ``maps``.
    The mark fills 1/7 of the height and width near a corner and holds half of the relevance of the maps that carry it.
    Sizes rise by half from 6 to a fifth of the maps; None where none is found. For more maps than a surrogate has, the
    size is that of the same prevalence.
    """
    rng = np.random.default_rng((settings.random_state, 1))
    moved = _surrogate(maps, rng)
    size = SMALLEST
    while size <= len(moved) // 5:
        members = _drawn(len(moved), size, rng)
        planted = _marked(moved, members)
        proposals = propose(planted, settings, views_of(planted, unit=settings.unit))
        p = chance.p_values(proposals, len(moved))
        scores = [_f1(x.template.members, members) for x, value in zip(proposals, p, strict=True) if value <= ALPHA]
        if max(scores, default=0) >= _FOUND:
            return -(-size * len(maps) // len(moved))
        size += size // 2
    return None


def _cell(proposal: Proposal, fraction: float) -> tuple[int, int]:
    """View and class of a set; ``fraction`` of its maps would be in a surrogate."""
    size = max(len(proposal.template.members) * fraction, SMALLEST)
    return VIEWS.index(proposal.view.name), int(np.searchsorted(_CLASSES, size, side="right")) - 1


def _surrogate(maps: Rows, rng: np.random.Generator) -> Rows:
    """Shifted maps, as many as a surrogate has at most."""
    return shifted(maps if len(maps) <= LARGEST else maps[_drawn(len(maps), LARGEST, rng)], rng)


def _drawn(n: int, count: int, rng: np.random.Generator) -> Indices:
    return np.sort(rng.choice(n, count, replace=False))


def _marked(maps: Maps, members: Indices) -> Rows:
    """Maps (n, h, w) of which ``members`` hold half of their relevance in one position near the lower left corner."""
    out = maps.copy()
    _, h, w = maps.shape
    mark = np.zeros((h, w), dtype=np.float32)
    bottom = h - h // _INSET
    left = w // _INSET
    mark[bottom - max(h // _SIDE, 1) : bottom, left : left + max(w // _SIDE, 1)] = 1
    mass = np.abs(maps[members]).sum((1, 2), keepdims=True)
    out[members] = (1 - _PLANTED) * maps[members] + _PLANTED * mass * mark / mark.sum()
    return out


def _f1(proposed: Indices, true: Indices) -> float:
    return 2 * len(np.intersect1d(proposed, true)) / (len(proposed) + len(true))
