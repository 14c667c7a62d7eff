"""The template of a set of maps, and how far its members' overlap with it sets them apart from all other maps.

The *template* of a set C of maps is the relevance that most of its members have in common and the rest has not, cell by
cell: the lower quartile over C of positive relevance, less the mean over the rest, where that is above 0 (for negative
relevance the same with the signs turned). An artefact that lies in one position survives the quartile whatever else is
in the images; objects that lie elsewhere in each image do not.

    S = sum |T|                                     relevance that members have in common
    t_i = sum_cells min(|r_i|, |T|) / S             overlap: how much of the template is in map i, from 0 to 1
    gap = t of the member below which a quarter of C lies - t of the map outside above which as many lie
    distinctness = S * max(gap, 0)

A quarter, because what an artefact contributes to a network's output differs from image to image: where ImageNet-W's
watermark lies on a photograph, a tenth of the maps show nothing of it. A set cut out of a continuum has neighbours that
hold nearly as much of its template, and no gap; the same is true of objects that are centred for honest reasons. The
template also tells who belongs: the maps above the threshold that divides all t_i best (Otsu 1979) are the refined set.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from chinspect.spray.arrays import Floats, Indices, Rows

_QUARTILE = 0.25
_EDGE = 0.25  # of the members, and as many others, may lie on the wrong side of the gap
_SAMPLE = (
    512  # members that a quartile is taken over, evenly spaced: sorting more of them takes long, and changes little
)
_REFINEMENTS = 2  # sets hardly change after two


@dataclass(frozen=True, eq=False)
class Template:
    """What the members of a set have in common.

    Attributes:
        members: (m,), ascending.
        values: (d,), the relevance in common.
        mass: sum of its absolute values.
        overlap: (n,) of every map with the template, from 0 to 1.
        gap: by how much the overlap of members exceeds that of the nearest others, from -1 to 1.
        threshold: the overlap in the middle of the gap, above which a map counts as a member.
    """

    members: Indices
    values: Rows
    mass: float
    overlap: Rows
    gap: float
    threshold: float

    @property
    def distinctness(self) -> float:
        """``mass * max(gap, 0)``."""
        return self.mass * max(self.gap, 0.0)


def template_of(rows: Rows, members: Indices, total: Floats) -> Template:
    """The template of ``members`` of ``rows`` (n, d); ``total`` (d,) is the sum of all rows."""
    values = _common(rows, members, total)
    mass = float(np.abs(values).sum())
    if mass == 0:
        return Template(members, values, 0.0, np.zeros(len(rows), np.float32), 0.0, 0.0)
    overlap = overlaps(rows, values)
    weakest, rival = _edges(overlap, members)
    return Template(members, values, mass, overlap, weakest - rival, (weakest + rival) / 2)


def common_fractions(rows: Rows, sets: list[Indices]) -> list[Rows]:
    """For each set the template (d,) of the rows (n, d) as fractions of each row's relevance."""
    fractions = rows / np.abs(rows).sum(1, keepdims=True)
    total = fractions.sum(0, dtype=np.float64)
    return [_common(fractions, members, total) for members in sets]


def overlaps(rows: Rows, template: Rows) -> Rows:
    """How much of a template (d,) that is not zero is in each row (n, d): (n,), from 0 to 1."""
    cells = np.flatnonzero(template)
    strength = np.abs(template[cells])
    present = np.take(rows, cells, axis=1)
    present *= np.sign(template[cells])
    overlap: Rows = np.clip(present, 0, strength, out=present).sum(1) / strength.sum()
    return overlap


def refined(rows: Rows, members: Indices, total: Floats, smallest: int) -> Template:
    """The more distinct of ``members`` and of the set that its template divides from the rest."""
    best = template_of(rows, members, total)
    if best.mass == 0:
        return best
    for _ in range(_REFINEMENTS):
        divided = _divide(best.overlap, smallest)
        if np.array_equal(divided, best.members):
            break
        candidate = template_of(rows, divided, total)
        if candidate.distinctness <= best.distinctness:
            break
        best = candidate
    return best


def jaccard_masks(sets: list[Indices], n: int) -> Rows:
    """Sets of n maps as rows (s, n) of 0 and 1, whose products count common members."""
    masks = np.zeros((len(sets), n), dtype=np.float32)
    for mask, members in zip(masks, sets, strict=True):
        mask[members] = 1
    return masks


def _common(rows: Rows, members: Indices, total: Floats) -> Rows:
    """The values (d,) of the template of a set."""
    step = -(-len(members) // _SAMPLE)
    inside = np.sort(rows[members[::step]], axis=0)
    rank = int(_QUARTILE * (len(inside) - 1))
    low = inside[rank]
    high = inside[len(inside) - 1 - rank]
    rest = (total - rows[members].sum(0, dtype=np.float64)) / (len(rows) - len(members))
    positive = np.maximum(low - np.maximum(rest, 0), 0) * (low > 0)
    negative = np.minimum(high - np.minimum(rest, 0), 0) * (high < 0)
    values: Rows = (positive + negative).astype(np.float32)
    return values


def _edges(overlap: Rows, members: Indices) -> tuple[float, float]:
    """The overlap of the weakest member and of the strongest other map, up to a quarter of the members apart."""
    inside = overlap[members]
    outside = np.delete(overlap, members)
    spare = int(_EDGE * len(inside))
    rival = len(outside) - 1 - min(spare, len(outside) - 1)
    return float(np.partition(inside, spare)[spare]), float(np.partition(outside, rival)[rival])


def _divide(overlap: Rows, smallest: int) -> Indices:
    """The maps of largest overlap, as many as make the variance between them and the rest largest (Otsu 1979)."""
    order = np.argsort(-overlap, kind="stable")
    sums = np.cumsum(overlap[order], dtype=np.float64)
    n = len(overlap)
    sizes = np.arange(smallest, max(n // 2, smallest) + 1)
    above = sums[sizes - 1]
    between = (above / sizes - (sums[-1] - above) / (n - sizes)) ** 2 * sizes * (n - sizes)
    return np.sort(order[: sizes[np.argmax(between)]])
