"""Edges that images have in common: a mark that lies in one place has them, whatever is behind it.

What remains of an image without its blur, H I, is as often above zero as below in photographs, at any place. With the
mean and the variance of the n members of a set and of m other images, pixel by pixel and channel by channel,

    t = (mean H I - mean H I') / sqrt(var(H I) / n + var(H I') / m)        (Welch 1947)

tells where members agree, also of a translucent mark and of few members, whose spreads are too uncertain: of ten
photographs with ImageNet-W's watermark the median of |t| on its strokes is 5 to 6, and one pixel in a thousand comes up
to that elsewhere. The median of gradients shows watermarks for the same reason (Dekel et al. 2017).

A piece of such pixels is common to the members where its mass, the sum of |t| less a threshold, exceeds that of the
largest piece in each of 99 sets that are drawn from members and others together (cluster mass: Bullmore et al. 1999;
one level for all pieces: Nichols and Holmes 2002). A pixel would have to be certain by itself, and is not where some
members do not carry the mark; a piece is: in 20 sets of 9 to 15 photographs, of which up to 7 in 15 did not carry the
watermark, its mass was 270 to 6,200, and that of the largest piece of any shuffled set 27.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from chinspect.artefacts import Artefact, Layer, Mask, Pixels, resample, widened

_BLUR = 0.02  # of the side: strokes of letters are thinner, and what is lit evenly is not
_SEEN = 3.0  # |t| on strokes; one pixel in a hundred comes up to it by chance, and is no neighbour of others
_SHUFFLES = 99  # a piece as large as the largest is then found by chance in one set of a hundred
_TOLD = 0.25  # of a carrier: what divides carriers from others is then two standard deviations from both
_APART = 0.01  # of the side, from both sides: strokes of a letter, and letters of a word, are nearer than 2 %

Sums = tuple[Layer, Layer, int]
"""Of edges and of their squares over images, and the number of images."""


def common_edges(members: Layer, others: Layer | None, core: Mask) -> Mask:
    """Strokes and edges that members have in common, (h, w), as far as they begin in the core.

    Args:
        members: images (n, h, w, 3) in [0, 1].
        others: other images (m, h, w, 3); None where there are none, and edges are compared with zero.
        core: (h, w), where edges count as certain.
    """
    own = _edges(members)
    rest = own[:0] if others is None else _edges(others)
    agreement = _agreement(_sums(own), _sums(rest))
    chance = max(float(_masses(shuffled, core).max()) for shuffled in _shuffled(own[:, core], rest[:, core]))
    return pieces_with(agreement >= _SEEN, _masses(agreement[core], core) > chance)


def _shuffled(own: Layer, rest: Layer) -> Iterator[Layer]:
    """|t| (k,) of sets drawn from members and others together (n, k, 3); without others, members get random signs."""
    rng = np.random.default_rng(0)
    values = np.ascontiguousarray(np.concatenate([own, rest]))  # or each sum copies all of it
    squared = np.square(values)
    total, squares, count = values.sum(0), squared.sum(0), len(own)
    for _ in range(_SHUFFLES):
        if len(rest):
            drawn = (rng.permutation(len(values)) < count).astype(np.float32)
            sums, of_squares = (np.tensordot(drawn, stack, axes=1) for stack in (values, squared))
            yield _agreement((sums, of_squares, count), (total - sums, squares - of_squares, len(rest)))
        else:
            signs = rng.choice([-1, 1], count).astype(np.float32)
            yield _agreement((np.tensordot(signs, values, axes=1), squares, count), (total, squares, 0))


def _sums(edges: Layer) -> Sums:
    return edges.sum(0), np.square(edges).sum(0), len(edges)


def _agreement(own: Sums, rest: Sums) -> Layer:
    """|t|, the largest of the channels, from sums of edges and of their squares (..., 3): (...)."""
    mean, variance = _moments(*own)
    if rest[2]:
        other, uncertain = _moments(*rest)
        mean, variance = mean - other, variance + uncertain
    # half a grey level, below which an agreement is one of rounding
    statistic: Layer = np.abs(mean / np.sqrt(variance + (0.5 / 255) ** 2 / own[2])).max(axis=-1)
    return statistic


def _moments(sums: Layer, squares: Layer, count: int) -> tuple[Layer, Layer]:
    """The mean, and the variance of the mean."""
    mean = sums / count
    return mean, (squares / count - np.square(mean)).clip(0) / (count - 1)


def _masses(agreement: Layer, core: Mask) -> Layer:
    """Of each pixel (h, w) the mass of its piece, the sum of |t| less the threshold, from |t| of the k in the core."""
    import cv2

    above = np.zeros(core.shape)
    above[core] = (agreement - _SEEN).clip(0)
    _, pieces = cv2.connectedComponents(_joined(above > 0).astype(np.uint8))
    masses = np.bincount(pieces.ravel(), weights=above.ravel())
    return np.where(above > 0, masses[pieces], 0)


def solid(strokes: Mask, opacity: Layer, least: float) -> Mask:
    """What outlines of strokes hold, (h, w), of those whose inside has a median opacity of at least ``least``.

    So a patch is a patch, and letters stay letters.
    """
    import cv2

    outlines, _ = cv2.findContours(_joined(strokes).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    result = np.zeros(strokes.shape, dtype=bool)
    for outline in outlines:
        filled = cv2.drawContours(np.zeros(strokes.shape, np.uint8), [outline], -1, 1, cv2.FILLED) > 0
        inside = filled & ~widened(strokes)
        if inside.any() and np.median(opacity[inside]) >= least:
            result |= filled
    return result


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
    return images - cv2.GaussianBlur(images, (0, 0), sigma).reshape(images.shape)  # OpenCV drops a single channel


def outlines(image: Pixels, side: int) -> Layer:
    """The brightness of an image, uint8 (H, W, 3), without its blur, at side x side pixels in [-1, 1]."""
    return resample(_edges(image.mean(axis=2, dtype=np.float32, keepdims=True) / 255)[..., 0], (side, side))


def carriers(images: Layer, deviation: Layer, region: Mask) -> NDArray[np.bool_]:
    """Which of some images (n, h, w, 3) show a deviation from others (h, w, 3) in a region, by its edges.

    With H what remains of an image without its blur, an image I that shows the deviation D has, over the region,

        <H I, H D> / |H D|^2 = 1    in the mean over what else it shows,

    and one that does not 0 (a matched filter). Surfaces of the same colour have no edges in common, so that they do not
    count.
    """
    return _matched(images, deviation, region) > 0.5  # midway between a carrier and other pictures


def tells(others: Layer, deviation: Layer, region: Mask) -> bool:
    """Whether `carriers` can tell a deviation from what else images show: it is 0 in others (m, h, w, 3) up to 1/4.

    Of a set the images that happen to look most alike can always be chosen, and these agree on something small.
    """
    # watermarks on photographs have .03 to .21, what scenes and photographs without a mark agree on .34 to .42
    return bool(region.any()) and float(_matched(others, deviation, region).std()) < _TOLD


def _matched(images: Layer, deviation: Layer, region: Mask) -> NDArray[np.float64]:
    template = _edges(deviation) * region[..., None]
    matched = np.array([float((_edges(image) * template).sum()) for image in images])
    return matched / max(float(np.square(template).sum()), 1e-12)


def shows(artefact: Artefact, images: Sequence[Pixels]) -> NDArray[np.bool_]:
    """Which of some images (n,) of one kind carry an artefact, see `carriers`."""
    if artefact.empty or not images:
        return np.zeros(len(images), dtype=bool)
    views = np.stack([artefact.view(image) for image in images])
    deviation = artefact.alpha[..., None] * (artefact.rgb - views.mean(0))
    return carriers(views, deviation, np.ones(artefact.alpha.shape, dtype=bool))
