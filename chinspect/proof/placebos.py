"""Edits as large as an artefact which are not the artefact: the same area elsewhere, the artefact elsewhere, noise.

* **area elsewhere**: the same edit without the artefact. Adding: the artefact's shape, elsewhere in the image,
  shows what the image has where the artefact belongs. Removing: the same shape is painted over elsewhere.
* **artefact elsewhere**: the same artefact at another position.
* **random patch**: noise in the artefact's place, with its outline, gaps filled. The change that an edit makes on
  average over images, D, is drawn anew with the same norm and about the same autocorrelation: its Fourier coefficients,
  padded to between one and two times the box, keep their magnitude and get random phases, and the three channels a
  random rotation or mirroring. It is the control of remedies. It decides no proof: noise that has the texture of
  letters is to a network more like letters than like anything that a photograph shows there.

What a proof compares with stands in `chinspect.proof.contents`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from chinspect.artefacts import Artefact, Layer, Mask, Pixels

TRIES = 10
"""Draws of a patch; the best is taken where none reaches the norm."""
ENOUGH = 0.95
"""Of the norm of a patch: where colours end at black and white, the full norm may be out of reach."""
_STEPS = 12  # of the search for the norm, which needs 2 or 3 unless colours clip

Offset = tuple[int, int]


def elsewhere(artefact: Artefact, count: int, rng: np.random.Generator) -> list[Offset]:
    """Moves (rows, columns) that keep the artefact's box on the canvas and off itself; none if there is no room.

    One for each image, drawn with equal probability.
    """
    box = bounding_box(artefact.alpha > 0)
    moves = [np.arange(-span.start, side - span.stop + 1) for span, side in zip(box, artefact.alpha.shape, strict=True)]
    rows, columns = np.meshgrid(*moves, indexing="ij")
    apart = (np.abs(rows) >= box[0].stop - box[0].start) | (np.abs(columns) >= box[1].stop - box[1].start)
    offsets = np.stack([rows[apart], columns[apart]], axis=1)
    if not len(offsets):
        return []
    return [(int(row), int(column)) for row, column in offsets[rng.integers(len(offsets), size=count)]]


def moved(artefact: Artefact, offset: Offset) -> Artefact:
    """The artefact elsewhere on its canvas."""
    rgb, alpha = (np.roll(values, offset, axis=(0, 1)) for values in (artefact.rgb, artefact.alpha))
    return replace(artefact, rgb=rgb, alpha=alpha)


def own_content(artefact: Artefact, image: Pixels, offset: Offset) -> Pixels:
    """The image with what it shows under the artefact put elsewhere, in the artefact's shape and opacity."""
    height, width = image.shape[:2]
    scale = np.array([height, width]) / artefact.alpha.shape
    if artefact.anchor is not None:  # the canvas keeps its aspect
        scale = scale.min()
    rows, columns = np.round(np.array(offset) * scale).astype(int)
    alpha = moved(artefact, offset).layer((height, width))[1][..., None]
    mixed = alpha * np.roll(image, (rows, columns), axis=(0, 1)) + (1 - alpha) * image
    return np.round(mixed).astype(np.uint8)


def random_patch(artefact: Artefact, images: Sequence[Pixels], seed: int = 0) -> Artefact:
    """A random patch, the same for all images, which changes such images as much as the artefact does; see the module.

    Of its norm it misses what colours that end at black and white do not allow.
    """
    before = mean_view(artefact, images)
    after = mean_view(artefact, [artefact.add(image) for image in images])
    outline = filled(artefact)
    box = bounding_box(outline.alpha > 0)
    change = (after - before)[box] * (artefact.alpha[box][..., None] > 0)
    rgb = outline.rgb.copy()
    rgb[box] = _patch(change, outline.alpha[box][..., None], before[box], np.random.default_rng(seed))
    return replace(outline, rgb=rgb)


def filled(artefact: Artefact) -> Artefact:
    """The artefact with gaps of up to a tenth of the canvas filled, for letters would be read in any colour.

    It is thinned to the same sum of squared opacities, so that it hides as much of an image, though over a larger area.
    """
    closed = artefact.closed()
    thinner = np.sqrt(np.square(artefact.alpha).sum() / np.square(closed.alpha).sum()).clip(0, 1)
    return replace(closed, alpha=closed.alpha * thinner)


def mean_view(artefact: Artefact, images: Sequence[Pixels]) -> Layer:
    """What images show under the canvas of an artefact, on average: (h, w, 3) in [0, 1]."""
    total = np.zeros(artefact.rgb.shape)  # in float64, and without holding all views
    for image in images:
        total += artefact.view(image)
    return (total / len(images)).astype(np.float32)


def _patch(change: Layer, alpha: Layer, start: Layer, rng: np.random.Generator) -> Layer:
    """Colours (h, w, 3): the first draw that reaches the norm, else the closest."""
    best: tuple[Layer, float] = start, 0.0
    for _ in range(TRIES):
        best = max(best, matched(_surrogate(change, rng), change, alpha, start), key=itemgetter(1))
        if best[1] >= ENOUGH:
            break
    return best[0]


def _surrogate(change: Layer, rng: np.random.Generator) -> NDArray[np.float64]:
    """A random field (h, w, 3) with the autocorrelation of a change, its colours turned."""
    height, width, _ = change.shape
    # padded by a random length, since a transform of one length would make all fields periodic in the box
    size = tuple(int(rng.integers(side, 2 * side + 1)) for side in (height, width))
    spectrum = np.fft.fft2(change, s=size, axes=(0, 1))
    phases = np.angle(np.fft.fft2(rng.standard_normal(size)))  # those of a real field, so that this one is real too
    field = np.fft.ifft2(spectrum * np.exp(1j * phases)[..., None], axes=(0, 1)).real[:height, :width]
    rotation, triangle = np.linalg.qr(rng.standard_normal((3, 3)))
    # with the signs of the diagonal, rotations and mirrorings are equally likely (Mezzadri 2007)
    turned: NDArray[np.float64] = field @ (rotation * np.sign(np.diag(triangle)))
    return turned


def matched(field: NDArray[np.float64], change: Layer, alpha: Layer, start: Layer) -> tuple[Layer, float]:
    """Colours (h, w, 3) that change the mean image along a field by the norm of a change, and the ratio reached."""
    norm = float(np.linalg.norm(change)) or 1.0
    direction = np.where(alpha > 0, field / np.maximum(alpha, 1 / 255), 0)  # 1 / 255 is the least opacity there is
    scale = norm / max(float(np.linalg.norm(alpha * direction)), 1e-12)  # a field of zeros stays one
    colours = start
    ratio = 0.0
    for _ in range(_STEPS):
        colours = (start + scale * direction).clip(0, 1).astype(np.float32)
        ratio = float(np.linalg.norm(alpha * (colours - start))) / norm
        if abs(ratio - 1) < 0.01 or ratio < 1e-6:  # near enough for an 8-bit image, or all colours clip
            break
        scale /= ratio
    return colours, ratio


def bounding_box(mask: Mask) -> tuple[slice, slice]:
    """The bounding box of a mask that is not empty."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
