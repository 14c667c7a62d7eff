"""Placebos: edits as large as the one under test, which differ from it in one thing each.

* **area elsewhere**: the same edit without the artefact. Adding: the artefact's shape, at another place of the image,
  shows what the image has at the artefact's own place. Removing: the same shape is painted over at another place.
* **artefact elsewhere**: the same artefact at another place.
* **random patches**: added, or removed again, in the artefact's place, with its outline, gaps filled (letters would be
  read in any colour). The change that an edit makes on average over images, D, is drawn anew with the same norm and
  about the same autocorrelation: its Fourier coefficients, padded to between one and two times the box, keep their
  magnitude and get random phases, and the three channels a random rotation or mirroring. A model that is linear, with
  no preference among directions, responds to such patches just as to the artefact, so that the rank of the artefact
  among them is a test. One patch is the same on all images, as the artefact is.

Where a linear model's weights are smooth on the scale of the artefact, one of a single colour is somewhat favoured over
its patches: in simulations the error rate is then about twice the level.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from chinspect.artefacts.artefact import Artefact, Layer, Pixels

_TRIES = 10
_ENOUGH = 0.95
"""Of the norm of a patch: where colours end at black and white, the whole norm may be out of reach."""

Offset = tuple[int, int]


def elsewhere(artefact: Artefact, count: int, rng: np.random.Generator) -> list[Offset]:
    """Moves (rows, columns) that keep the artefact's box on the canvas and off its own place; none if there is no room.

    One for each image, drawn with equal probability.
    """
    box = _box(artefact.alpha > 0)
    moves = [
        np.arange(-span.start, length - span.stop + 1) for span, length in zip(box, artefact.alpha.shape, strict=True)
    ]
    rows, columns = np.meshgrid(*moves, indexing="ij")
    apart = (np.abs(rows) >= box[0].stop - box[0].start) | (np.abs(columns) >= box[1].stop - box[1].start)
    places = np.stack([rows[apart], columns[apart]], axis=1)
    if not len(places):
        return []
    return [(int(row), int(column)) for row, column in places[rng.integers(len(places), size=count)]]


def moved(artefact: Artefact, offset: Offset) -> Artefact:
    """The artefact elsewhere on its canvas."""
    rgb, alpha = (np.roll(values, offset, axis=(0, 1)) for values in (artefact.rgb, artefact.alpha))
    return replace(artefact, rgb=rgb, alpha=alpha)


def own_content(artefact: Artefact, image: Pixels, offset: Offset) -> Pixels:
    """The image with what it shows at the artefact's place put elsewhere, in the artefact's shape and opacity."""
    size = image.shape[:2]
    scale = 1 / np.array(artefact.alpha.shape)
    if artefact.anchor is None:
        pixels = np.array(size)
    else:  # the canvas keeps its aspect
        pixels = np.array(artefact.alpha.shape) * min(np.array(size) * scale)
    rows, columns = np.round(np.array(offset) * scale * pixels).astype(int)
    alpha = moved(artefact, offset).layer((size[0], size[1]))[1][..., None]
    mixed: Pixels = np.round(alpha * np.roll(image, (rows, columns), axis=(0, 1)) + (1 - alpha) * image).astype(
        np.uint8
    )
    return mixed


def random_patches(
    artefact: Artefact, before: Layer, after: Layer, count: int, rng: np.random.Generator
) -> tuple[list[Artefact], float]:
    """Patches in the place of an artefact.

    Args:
        artefact: whose opacity the patches get, gaps of up to a tenth of the canvas filled.
        before, after: mean over images of what the canvas shows before and after the edit, (h, w, 3) in [0, 1].
        count: how many.
        rng: of phases and rotations.

    Returns:
        The patches, and the mean ratio of their norm to that of the edit, 1 unless colours run out.
    """
    filled = _filled(artefact)
    box = _box(filled.alpha > 0)
    alpha, start = filled.alpha[box][..., None], before[box]
    change = (after - before)[box] * (artefact.alpha[box][..., None] > 0)
    patches, ratios = [], []
    for _ in range(count):
        colours, ratio = _patch(change, alpha, start, rng)
        rgb = filled.rgb.copy()
        rgb[box] = colours
        patches.append(replace(filled, rgb=rgb))
        ratios.append(ratio)
    return patches, float(np.mean(ratios))


def random_patch(artefact: Artefact, images: Sequence[Pixels], seed: int = 0) -> Artefact:
    """One random patch, which changes such images as much as the artefact does; see the module."""
    before, after = (mean_view(artefact, some) for some in (images, [artefact.add(image) for image in images]))
    return random_patches(artefact, before, after, 1, np.random.default_rng(seed))[0][0]


def mean_view(artefact: Artefact, images: Sequence[Pixels]) -> Layer:
    """What images show under the canvas of an artefact, on average: (h, w, 3) in [0, 1]."""
    total = np.zeros(artefact.rgb.shape, dtype=np.float64)
    for image in images:
        total += artefact.view(image)
    return (total / len(images)).astype(np.float32)


def _filled(artefact: Artefact) -> Artefact:
    """The artefact with its gaps closed, thinned to the same sum of squared opacities.

    So a patch hides as much of the images as the artefact does, though over a larger area.
    """
    closed = artefact.closed()
    thinner = np.sqrt(np.square(artefact.alpha).sum() / np.square(closed.alpha).sum()).clip(0, 1)
    return replace(closed, alpha=closed.alpha * thinner)


def _patch(change: Layer, alpha: Layer, start: Layer, rng: np.random.Generator) -> tuple[Layer, float]:
    """Colours (h, w, 3) and the ratio of norms: the first draw that reaches the norm, else the closest."""
    best: tuple[Layer, float] = start, 0.0
    for _ in range(_TRIES):
        best = max(best, _matched(_surrogate(change, rng), change, alpha, start), key=itemgetter(1))
        if best[1] >= _ENOUGH:
            break
    return best


def _surrogate(change: Layer, rng: np.random.Generator) -> NDArray[np.float64]:
    """A random field (h, w, 3) with the autocorrelation of a change, its colours turned."""
    h, w, _ = change.shape
    size = tuple(int(rng.integers(side, 2 * side + 1)) for side in (h, w))
    spectrum = np.fft.fft2(change, s=size, axes=(0, 1))
    phases = np.angle(np.fft.fft2(rng.standard_normal(size)))
    field = np.fft.ifft2(spectrum * np.exp(1j * phases)[..., None], axes=(0, 1)).real[:h, :w]
    rotation, triangle = np.linalg.qr(rng.standard_normal((3, 3)))
    turned: NDArray[np.float64] = field @ (rotation * np.sign(np.diag(triangle)))
    return turned


def _matched(field: NDArray[np.float64], change: Layer, alpha: Layer, start: Layer) -> tuple[Layer, float]:
    """Colours (h, w, 3) that change the mean image along a field by the norm of a change, and the ratio reached."""
    wanted = float(np.linalg.norm(change)) or 1.0
    direction = np.where(alpha > 0, field / np.maximum(alpha, 1 / 255), 0)
    scale = wanted / max(float(np.linalg.norm(alpha * direction)), 1e-12)
    colours, reached = start, 0.0
    for _ in range(12):
        colours = (start + scale * direction).clip(0, 1).astype(np.float32)
        reached = float(np.linalg.norm(alpha * (colours - start))) / wanted
        if abs(reached - 1) < 0.01 or reached < 1e-6:
            break
        scale = scale / reached
    return colours, reached


def _box(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    """The bounding box of a mask that is not empty."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
