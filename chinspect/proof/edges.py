"""Edges that images have in common: a mark that lies in one place has them, whatever is behind it.

What remains of an image without its blur, H I, is as often above zero as below in photographs, at any place. With the
mean and the variance of the n members of a set and of m other images, pixel by pixel and channel by channel,

    t = (mean H I - mean H I') / sqrt(var(H I) / n + var(H I') / m)        (Welch 1947)

tells where members agree, also of a translucent mark and of few members, whose spreads are too uncertain: of ten
photographs with ImageNet-W's watermark the median of |t| on its strokes is 5 to 6, and one pixel in a thousand comes up
to that elsewhere. The median of gradients shows watermarks for the same reason (Dekel et al. 2017).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from chinspect.artefacts import Artefact, Layer, Mask, Pixels, widened

_BLUR = 0.02  # of the side: strokes of letters are thinner, and what is lit evenly is not
_SEEN = 3.0  # |t| on strokes; one pixel in a hundred comes up to it by chance, and is no neighbour of others
_CHANCE = 1e-5  # of a pixel that begins a piece: a core has about a thousand that do not depend on each other
_APART = 0.01  # of the side, from both sides: strokes of a letter, and letters of a word, are nearer than 2 %


def inside_edges(members: Layer, others: Layer | None, core: Mask) -> Mask:
    """What lies at or inside edges that members have in common, (h, w), as far as these begin in the core.

    Args:
        members: images (n, h, w, 3) in [0, 1].
        others: other images (m, h, w, 3); None where there are none, and members are compared with zero.
        core: (h, w), where edges count as certain.
    """
    import cv2

    own, rest = _edges(members), None if others is None else _edges(others)
    mean, variance = own.mean(0), own.var(0, ddof=1) / len(own)
    if rest is not None:
        mean, variance = mean - rest.mean(0), variance + rest.var(0, ddof=1) / len(rest)
    # half a grey level, below which an agreement is one of rounding
    statistic = np.abs(mean / np.sqrt(variance + (0.5 / 255) ** 2 / len(own))).max(axis=2)
    limit = float(student.isf(_CHANCE / 2, len(own) - 1))
    strokes = pieces_with(statistic >= _SEEN, core & (statistic >= limit))
    outlines, _ = cv2.findContours(_joined(strokes).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = cv2.drawContours(np.zeros(core.shape, np.uint8), outlines, -1, 1, cv2.FILLED)
    return np.asarray(filled, dtype=bool)


def pieces_with(region: Mask, certain: Mask) -> Mask:
    """Pieces of a region (h, w), those less than 2 % of the side apart joined, that hold a certain pixel."""
    import cv2

    _, pieces = cv2.connectedComponents(_joined(region).astype(np.uint8))
    return np.isin(pieces, np.unique(pieces[certain & region])) & region


def _joined(region: Mask) -> Mask:
    return widened(region, max(round(_APART * max(region.shape)), 1))


def _edges(images: Layer) -> Layer:
    """Images (..., h, w, 3) without their blur."""
    import cv2

    sigma = max(_BLUR * max(images.shape[-3:-1]), 1.0)
    if images.ndim == 4:
        return np.stack([_edges(image) for image in images])
    return images - cv2.GaussianBlur(images, (0, 0), sigma)


def shows(artefact: Artefact, images: Sequence[Pixels]) -> NDArray[np.bool_]:
    """Which of some images (n,) of one kind carry an artefact, by a matched filter for its edges.

    With H what remains of an image without its blur, and m the mean of all images, an image I that carries it has

        <H I, H alpha (F - m)> / |H alpha (F - m)|^2 = 1    in the mean over what else it shows,

    and one that does not 0. Surfaces of the same colour have no edges in common, so that they do not count as carriers.
    """
    if artefact.empty or not images:
        return np.zeros(len(images), dtype=bool)
    views = np.stack([artefact.view(image) for image in images])
    template = _edges(artefact.alpha[..., None] * (artefact.rgb - views.mean(0)))
    norm = float(np.square(template).sum())
    return np.array([float((_edges(view) * template).sum()) > 0.5 * norm for view in views])
