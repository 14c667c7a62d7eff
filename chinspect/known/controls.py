"""What ImageNet-W's watermark is compared with: edits as large as it that differ from it in one thing each.

* strokes shuffled: the same ink in blocks of 4 pixels, each turned, in another order: no text;
* Latin text: "SHORTCUT", which is what the watermark says, white, of the same ink;
* elsewhere: the same watermark higher up, clear of its own place;
* random patches: in its place, with its norm and about its smoothness; see `chinspect.proof.random_patch`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from chinspect.artefacts import Artefact, Layer, Pixels
from chinspect.images import rendered_text
from chinspect.proof import random_patch

WATERMARK = "watermark"
STROKES = "strokes shuffled"
LATIN = "Latin text"
ELSEWHERE = "elsewhere"
PATCH = "random patch"
_BLOCK = 4  # pixels: smaller than a character, larger than a stroke
_TEXT = "SHORTCUT"
_PATCHES = 3  # random patches differ much from each other, and each costs as much as the watermark


def watermark_controls(mark: Artefact, pictures: Sequence[Pixels], seed: int = 0) -> dict[str, Artefact]:
    """The watermark and its controls by name.

    Args:
        mark: ImageNet-W's.
        pictures: what the network sees of some images, for the norm of the random patches.
        seed: of these patches.
    """
    patches = {f"{PATCH} {i + 1}": random_patch(mark, pictures, seed + i) for i in range(_PATCHES)}
    strokes = replace(mark, name=STROKES, alpha=shuffled_strokes(mark.alpha))
    return {WATERMARK: mark, STROKES: strokes, LATIN: latin(mark), ELSEWHERE: higher(mark), **patches}


def shuffled_strokes(alpha: Layer) -> Layer:
    """The blocks that hold ink and all between them, in another order, each turned by a quarter: (h, w)."""
    rows = np.flatnonzero(alpha.any(1))
    top = rows[0] // _BLOCK * _BLOCK
    bottom = -(-(rows[-1] + 1) // _BLOCK) * _BLOCK
    band = alpha[top:bottom]
    blocks = band.reshape(len(band) // _BLOCK, _BLOCK, -1, _BLOCK).swapaxes(1, 2).reshape(-1, _BLOCK, _BLOCK)
    order = np.random.default_rng(0).permutation(len(blocks))
    turned = blocks[order].swapaxes(1, 2)[:, ::-1]
    result = np.zeros_like(alpha)
    result[top:bottom] = turned.reshape(len(band) // _BLOCK, -1, _BLOCK, _BLOCK).swapaxes(1, 2).reshape(band.shape)
    return result


def latin(mark: Artefact) -> Artefact:
    """A Latin text around the centre of the mark: about as opaque, and of as much ink."""
    rows, columns = (np.flatnonzero(mark.alpha.any(axis)) for axis in (1, 0))
    width = int(columns[-1] - columns[0] + 1)
    ink = rendered_text(_TEXT, width)[0].sum() / 255
    # the ink of a text grows with the square of its width
    fitting = round(width * min(np.sqrt(mark.alpha.sum() / mark.alpha.max() / ink), 1))
    letters = rendered_text(_TEXT, fitting)[0] / np.float32(255)
    top = (rows[0] + rows[-1] + 1 - letters.shape[0]) // 2
    left = (columns[0] + columns[-1] + 1 - letters.shape[1]) // 2
    alpha = np.zeros_like(mark.alpha)
    # widths are whole pixels, so the opacity takes up what is left between the two inks
    alpha[top : top + letters.shape[0], left : left + letters.shape[1]] = letters * (mark.alpha.sum() / letters.sum())
    return Artefact(LATIN, np.ones_like(mark.rgb), alpha.clip(0, 1), mark.anchor)


def higher(mark: Artefact) -> Artefact:
    """The mark halfway between its place and the upper edge, or as far up as it needs to be clear of its place."""
    rows = np.flatnonzero(mark.alpha.any(1))
    height = rows[-1] - rows[0] + 1
    move = -int(min(max(rows[0] // 2, height), rows[0]))
    return replace(mark, name=ELSEWHERE, rgb=np.roll(mark.rgb, move, 0), alpha=np.roll(mark.alpha, move, 0))
