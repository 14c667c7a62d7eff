"""What a proof compares an artefact with: other content in its place, and its own pieces in another order.

Each family of placebos stands for one null hypothesis, under which the artefact is one draw from the family. Its effect
then has the same chance to be the largest, the second largest, ... as that of each of K placebos, so that

    p = (1 + placebos that do as much) / (1 + K)

is at most a with a probability of at most a, whatever the model and the distribution of effects (a Monte Carlo test,
Dwass 1957). The level also holds for an artefact whose effects are smaller than that.

* **other content**. The null: *whatever pictures of this kind show in this place would do as much.* What another
  picture shows in the artefact's bounding box, mirrored or not, is laid over all images in the artefact's outline, gaps
  filled, with its opacity, in as much contrast as it takes to change the mean image by the norm by which the artefact
  changes it. So an artefact is set against honest content of equal strength, and against what pasting anything does:
  the middle of photographs shows objects, and an object there is one of many. Every picture is used once before any is
  used again, then a part of the box enlarged: several placebos from one picture are related, and with fewer pictures
  than placebos the level is about one in as many as there are pictures.
* **shuffled pieces**. The null: *what the artefact shows does not matter, only its colours and strokes.* The bounding
  box is cut into squares, whose side is a fifth to a quarter of the box's shorter side. Those that show anything are
  permuted, turned and mirrored at random. These operations are a group, so that the test is exact for any artefact
  whose effect does not change under them (Hoeffding 1952), among them one that was shuffled before.

Neither says anything about the other: letters may do what no other content does, and do it whatever they spell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from operator import itemgetter

import numpy as np

from chinspect.artefacts import Artefact, Layer, Pixels, resample
from chinspect.proof.placebos import ENOUGH, TRIES, bounding_box, filled, matched

_LEAST = 0.75  # of the box, where a picture is used again; always so, whole objects would stand out among enlarged ones
_PIECES = 4, 5  # along the shorter side: what is written in one line cannot be read any more, and strokes stay strokes


class Contents:
    """Content of other pictures in the place of an artefact.

    Args:
        artefact: whose outline and opacity it gets.
        before, after: mean over images of what the canvas shows before and after the edit, (h, w, 3) in [0, 1].
        pool: the pictures that content is taken from, uint8 (H, W, 3), without the artefact.
        rng: of pictures, regions and mirrorings.
    """

    def __init__(
        self, artefact: Artefact, before: Layer, after: Layer, pool: Sequence[Pixels], rng: np.random.Generator
    ) -> None:
        self._artefact = artefact
        self._outline = filled(artefact)
        self._box = bounding_box(self._outline.alpha > 0)
        self._start = before[self._box]
        self._change = (after - before)[self._box] * (artefact.alpha[self._box][..., None] > 0)
        self._pool = pool
        self._rng = rng
        self._order: list[int] = []
        self._rounds = 0

    def draw(self) -> tuple[Artefact, float]:
        """A placebo, and the ratio of its norm to that of the edit: 1 unless colours run out in all of ten draws."""
        alpha = self._outline.alpha[self._box][..., None]
        best: tuple[Layer, float] = self._start, 0.0
        for _ in range(TRIES):
            field = (self._region(self._next_picture()) - self._start) * alpha
            best = max(best, matched(field, self._change, alpha, self._start), key=itemgetter(1))
            if best[1] >= ENOUGH:
                break
        rgb = self._outline.rgb.copy()
        rgb[self._box] = best[0]
        return replace(self._outline, rgb=rgb), best[1]

    def _next_picture(self) -> Pixels:
        if not self._order:
            self._order = self._rng.permutation(len(self._pool)).tolist()
            self._rounds += 1
        return self._pool[self._order.pop()]

    def _region(self, picture: Pixels) -> Layer:
        """What a picture shows in the box, (h, w, 3); from the second round on in most of it."""
        view = self._artefact.view(picture)[self._box]
        height, width = view.shape[:2]
        scale = self._rng.uniform(_LEAST, 1) if self._rounds > 1 else 1.0
        rows, columns = (max(round(side * scale), 1) for side in (height, width))
        top = self._rng.integers(height - rows + 1)
        left = self._rng.integers(width - columns + 1)
        content = resample(view[top : top + rows, left : left + columns], (height, width))
        return content[:, ::-1] if self._rng.integers(2) else content


def shuffled(artefact: Artefact, rng: np.random.Generator) -> Artefact:
    """The artefact with its pieces in another order; rows and columns that fill no square stay as they are."""
    rows, columns = bounding_box(artefact.alpha > 0)
    height, width = rows.stop - rows.start, columns.stop - columns.start
    side = _side(height, width)
    down, across = height // side, width // side
    region = slice(rows.start, rows.start + down * side), slice(columns.start, columns.start + across * side)
    canvas = np.concatenate([artefact.rgb, artefact.alpha[..., None]], axis=2)
    pieces = canvas[region].reshape(down, side, across, side, 4).swapaxes(1, 2).reshape(-1, side, side, 4).copy()
    shown = np.flatnonzero(pieces[..., 3].any(axis=(1, 2)))
    pieces[shown] = [_turned(pieces[piece], rng) for piece in rng.permutation(shown)]
    canvas[region] = pieces.reshape(down, across, side, side, 4).swapaxes(1, 2).reshape(down * side, across * side, 4)
    return replace(artefact, rgb=canvas[..., :3], alpha=canvas[..., 3])


def _side(height: int, width: int) -> int:
    """Of the squares: of those of the right size the one that leaves the least of the box over."""
    shorter = min(height, width)
    fewest, most = _PIECES
    sides = range(max(shorter // most, 1), max(shorter // fewest, 1) + 1)
    return max(sides, key=lambda side: ((height // side) * (width // side) * side**2, side))


def _turned(piece: Layer, rng: np.random.Generator) -> Layer:
    """A square in one of its eight orientations."""
    quarter = np.rot90(piece, int(rng.integers(4)))
    return quarter[:, ::-1] if rng.integers(2) else quarter
