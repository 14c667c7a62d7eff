"""How sure a set of maps is: beside chance, where maps are missing, and which artefact would have been found.

**Chance.** A surrogate data set moves each map round its torus by a random shift: every map keeps its shapes, sizes and
texture, and no two maps have a position in common for a reason. All steps that propose sets are run on each surrogate,
so that choosing the most distinct of many sets is part of the null. (Permuting cells, or principal components, would
break the maps themselves, and everything is significant against broken maps.)

What counts is the most distinct set of each surrogate, whatever its size: the p-value of a set says how often a data
set without a reason has any set like it, so that no set needs a correction for the others beside it (Westfall and Young
1993, single step). Where fewer than ten surrogates reach a set, the Gumbel distribution of their maxima, fitted by its
moments, continues the rank, which stops at one over their number.

A torus has no edge and an image has: objects that an edge cuts off resemble each other more. With smooth blobs the most
distinct sets were up to 1.8 times as distinct as on the torus. So a set is compared at 1/2 of its distinctness: the
hypothesis is that it is at most twice as distinct as chance makes one.

**Stability.** Are the same sets proposed where a fifth of the maps is missing?

**Power.** What is the smallest artefact that would have been found, planted into a surrogate of the maps?
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from joblib import Parallel, delayed
from scipy.stats import false_discovery_control

from chinspect.spray.arrays import Floats, Indices, Maps, Rows
from chinspect.spray.overlap import jaccard_masks
from chinspect.spray.proposals import SMALLEST, Proposal, Settings, propose, views

ALPHA = 0.05
LARGEST = 1_000  # maps of a surrogate
MARGIN = 2.0
"""How much more distinct than chance a set has to be."""
_ENOUGH = 10  # surrogates that reach a set: then the rank alone is precise
_LEAST = 1e-300  # p-values are divided by, and 0 would be the same for all sets
_RESAMPLES = 10
_RETAINED = 0.8  # of the maps, in each of them
_PLANTED = 0.5  # of the relevance of a map that carries the planted mark
_SIDE = 7  # the mark is a seventh as high and wide as the map
_INSET = 20  # and a twentieth of it away from its edges
_FOUND = 0.9  # F1 of the set that is found with the maps that carry the mark


def p_values(distinctness: Floats, maxima: Floats) -> Floats:
    """p-values (n,) of sets, from the largest distinctness in each surrogate (s,); nan where fewer than 2."""
    if len(maxima) < 2:
        return np.full(len(distinctness), np.nan)
    values = distinctness / MARGIN
    above = len(maxima) - np.searchsorted(np.sort(maxima), values, side="left")
    rank = (1 + above) / (1 + len(maxima))
    if maxima.std() == 0:
        return rank
    # The Gumbel distribution with the mean and standard deviation of the maxima.
    scale = float(maxima.std(ddof=1)) * np.sqrt(6) / np.pi
    location = float(maxima.mean()) - np.euler_gamma * scale
    with np.errstate(over="ignore"):  # far below all maxima, where the tail is 1
        tail = np.clip(-np.expm1(-np.exp(-(values - location) / scale)), _LEAST, rank)
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


def null(maps: Rows, count: int, settings: Settings, n_jobs: int | None = None) -> Floats:
    """The largest distinctness in each of ``count`` surrogates of ``maps`` (n, h, w), whatever ``n_jobs``."""
    seeds = ((settings.random_state, number) for number in range(count))
    return np.array(Parallel(n_jobs=n_jobs)(delayed(largest_by_chance)(maps, seed, settings) for seed in seeds))


def largest_by_chance(maps: Rows, seed: Sequence[int], settings: Settings) -> float:
    """The distinctness of the most distinct set in one surrogate of ``maps`` (n, h, w); 0 where it has none."""
    moved = _surrogate(maps, np.random.default_rng(seed))
    proposals = _proposals(moved.reshape(len(moved), -1), settings)
    return proposals[0].template.distinctness if proposals else 0.0


def shifted(maps: Rows, rng: np.random.Generator) -> Rows:
    """Maps (n, h, w), each moved round its torus by a shift of its own, drawn evenly from all."""
    n, h, w = maps.shape
    rows = (np.arange(h) + rng.integers(0, h, (n, 1))) % h
    columns = (np.arange(w) + rng.integers(0, w, (n, 1))) % w
    moved: Rows = maps[np.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]]
    return moved


def stability(proposals: list[Proposal], rows: Rows, settings: Settings) -> Floats:
    """For each set, the Jaccard similarity to the best set of a subsample of ``rows`` (n, d), averaged over 10: (s,).

    Subsamples hold 80 % of the rows, at most 1,000; members outside a subsample do not count.
    """
    masks = jaccard_masks([proposal.template.members for proposal in proposals], len(rows))
    rng = np.random.default_rng(settings.random_state)
    total = np.zeros(len(proposals))
    for _ in range(_RESAMPLES):
        sample = _drawn(len(rows), min(int(_RETAINED * len(rows)), LARGEST), rng)
        again = [proposal.template.members for proposal in _proposals(rows[sample], settings)]
        if again:
            others = jaccard_masks(again, len(sample))
            common = masks[:, sample] @ others.T
            union = masks[:, sample].sum(1)[:, None] + others.sum(1) - common
            total += (common / union).max(1)
    return total / _RESAMPLES


def min_detectable_size(maps: Maps, maxima: Floats, to_rows: Callable[[Maps], Rows], settings: Settings) -> int | None:
    """The smallest number of ``maps`` (n, h, w) that can carry a mark and be flagged with F1 of at least 0.9.

    ``to_rows`` makes of maps the rows (n, d) that are compared, those that ``maxima`` come from.
    The mark fills 1/7 of the height and width near a corner and holds half of the relevance of the maps that carry it.
    Sizes rise by half from 6 to a fifth of the maps; None where none is found. For more maps than a surrogate has, the
    size is that of the same prevalence.
    """
    rng = np.random.default_rng((settings.random_state, 1))
    moved = _surrogate(maps, rng)
    size = SMALLEST
    while size <= len(moved) // 5:
        members = _drawn(len(moved), size, rng)
        proposals = _proposals(to_rows(_marked(moved, members)), settings)
        p = p_values(np.array([proposal.template.distinctness for proposal in proposals]), maxima)
        scores = [_f1(x.template.members, members) for x, value in zip(proposals, p, strict=True) if value <= ALPHA]
        if max(scores, default=0) >= _FOUND:
            return -(-size * len(maps) // len(moved))
        size += size // 2
    return None


def _proposals(rows: Rows, settings: Settings) -> list[Proposal]:
    return propose(rows, views(rows, settings), settings.random_state)


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
