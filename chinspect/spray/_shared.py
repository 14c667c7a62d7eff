"""What the members of a cluster share, and how far that sets them apart from all other maps.

The *template* of a set C of maps is the relevance that most of its members have in common and the rest has not, cell by
cell: the lower quartile over C of positive relevance, less the mean over the rest, where that is above 0 (for negative
relevance the same with the signs turned). An artefact that lies in one place survives the quartile whatever else is in
the images; objects that lie elsewhere in each image do not.

    S = sum |T|                                     relevance that members share; a share where maps are normalised
    t_i = sum_cells min(|r_i|, |T|) / S             how much of the template is in map i, from 0 to 1
    gap = t of the member below which a twentieth of C lies - t of the map outside above which as many lie
    distinctness = S * max(gap, 0)

A set cut out of a continuum has neighbours that hold nearly as much of its template, and no gap; the same is true of
objects that are centred for honest reasons. The template also tells who belongs: the maps above the threshold that
divides all t_i best (Otsu 1979) are the refined set.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float32]
Members = NDArray[np.int64]
_QUARTILE, _EDGE = 0.25, 0.05
_SAMPLE = 512  # members that a quartile is taken over, evenly spaced


@dataclass(frozen=True, eq=False)
class Shared:
    """What a set of maps shares.

    Attributes:
        members: (m,), ascending.
        template: (d,).
        overlap: (n,) of every map with the template, from 0 to 1.
        mass: sum of the template's absolute values.
        gap: by how much the overlap of members exceeds that of the nearest others, from -1 to 1.
        threshold: the overlap in the middle of the gap, above which a map counts as a member.
    """

    members: Members
    template: Rows
    overlap: Rows
    mass: float
    gap: float
    threshold: float

    @property
    def distinctness(self) -> float:
        """``mass * max(gap, 0)``."""
        return self.mass * max(self.gap, 0.0)


def shared(rows: Rows, members: Members, total: NDArray[np.float64]) -> Shared:
    """What ``members`` of ``rows`` (n, d) share; ``total`` (d,) is the sum of all rows."""
    template = _template(rows, members, total)
    mass = float(np.abs(template).sum())
    if mass == 0:
        return Shared(members, template, np.zeros(len(rows), np.float32), 0.0, 0.0, 0.0)
    overlap = overlaps(rows, template)
    weakest, rival = _edges(overlap, members)
    return Shared(members, template, overlap, mass, weakest - rival, (weakest + rival) / 2)


def shares(rows: Rows, sets: list[Members]) -> list[float]:
    """For each set how much of its relevance a member shares with the others, from 0 to 1, in any unit of ``rows``.

    That is S of the rows (n, d) divided by their relevance. Cells that a quarter of the members lack in turn can add up
    to more than 1, which counts as 1.
    """
    parts = rows / np.abs(rows).sum(1, keepdims=True)
    total = parts.sum(0, dtype=np.float64)
    return [min(float(np.abs(_template(parts, members, total)).sum()), 1.0) for members in sets]


def overlaps(rows: Rows, template: Rows) -> Rows:
    """How much of a template (d,) that is not zero is in each row (n, d): (n,), from 0 to 1."""
    cells = np.flatnonzero(template)
    strength, sign = np.abs(template[cells]), np.sign(template[cells])
    present = np.take(rows, cells, axis=1)
    present *= sign
    shares: Rows = np.clip(present, 0, strength, out=present).sum(1) / strength.sum()
    return shares


def refined(rows: Rows, members: Members, total: NDArray[np.float64], smallest: int) -> Shared:
    """The more distinct of ``members`` and of the set that its template divides from the rest."""
    first = shared(rows, members, total)
    if first.mass == 0:
        return first
    best = first
    for _ in range(2):
        again = _divide(best.overlap, smallest)
        if np.array_equal(again, best.members):
            break
        found = shared(rows, again, total)
        if found.distinctness <= best.distinctness:
            break
        best = found
    return best


def _template(rows: Rows, members: Members, total: NDArray[np.float64]) -> Rows:
    step = -(-len(members) // _SAMPLE)
    inside = np.sort(rows[members[::step]], axis=0)
    place = int(_QUARTILE * (len(inside) - 1))
    low, high = inside[place], inside[len(inside) - 1 - place]
    rest = (total - rows[members].sum(0, dtype=np.float64)) / (len(rows) - len(members))
    positive = np.maximum(low - np.maximum(rest, 0), 0) * (low > 0)
    negative = np.minimum(high - np.minimum(rest, 0), 0) * (high < 0)
    template: Rows = (positive + negative).astype(np.float32)
    return template


def _edges(overlap: Rows, members: Members) -> tuple[float, float]:
    """The overlap of the weakest member and of the strongest other map, up to a twentieth of the members apart."""
    inside, outside = overlap[members], np.delete(overlap, members)
    spare = int(_EDGE * len(inside))
    rival = len(outside) - 1 - min(spare, len(outside) - 1)
    return float(np.partition(inside, spare)[spare]), float(np.partition(outside, rival)[rival])


def _divide(overlap: Rows, smallest: int) -> Members:
    """The maps of largest overlap, as many as make the variance between them and the rest largest (Otsu 1979)."""
    order = np.argsort(-overlap, kind="stable")
    sums, n = np.cumsum(overlap[order], dtype=np.float64), len(overlap)
    sizes = np.arange(smallest, max(n // 2, smallest) + 1)
    above = sums[sizes - 1]
    between = (above / sizes - (sums[-1] - above) / (n - sizes)) ** 2 * sizes * (n - sizes)
    return np.sort(order[: sizes[np.argmax(between)]])
