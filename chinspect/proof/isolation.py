"""From a cluster to the artefact that its members share, by what a matting equation does to the spread of pixels.

Where every member I_i shows the same layer (F, alpha) over its own picture B_i,

    I_i = alpha F + (1 - alpha) B_i    =>    sd(I) = (1 - alpha) sd(B),    median(I) = alpha F + (1 - alpha) median(B),

so opacity follows from the spread of members against that of other pictures, and colours from the two medians.
Relevance says *which* of the regions where members agree is meant: sky is the same in many pictures too.

The rule, in order:

1. Images and maps are brought to one size, the median of the members' sizes.
2. The core is where relevance, positive part, each map with mean 1, median over members less that of the rest,
   slightly smoothed, reaches a quarter of its maximum.
3. The region is where the estimated alpha is at least `MIN_ALPHA`; pieces less than 2 % of the side apart count as
   one, and a piece is dropped unless alpha exceeds, somewhere in the core, three standard errors of a spread from n
   members, 3 / sqrt(2 n). Few members have uncertain spreads and certain edges (`chinspect.proof.edges`): where there
   are edges in common in the core that other pictures do not show by chance, the region is these, what they enclose
   where its median alpha exceeds two standard errors, and of pieces what exceeds three.
4. Members that do not carry it are set aside: those that do not show the common deviation from other pictures, where
   there are edges in common by its edges, else in the region; 2. and 3. are done again with the others, until these
   stay the same.

Few members have pictures of their own colours behind the layer: median(B) under it is that of other pictures, plus the
difference of the two medians just beside the layer.

The first spreads are distances of quartiles, which tolerate that a quarter of the members does not carry the artefact;
later ones are standard deviations, which are more exact.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from chinspect.artefacts import Artefact, Layer, Mask, Pixels, checked, painted, resample, widened
from chinspect.errors import InputError
from chinspect.images import AnyImage, as_pixels
from chinspect.proof.edges import carriers, common_edges, pieces_with, solid, tells

MIN_MEMBERS = 8
"""Fewer members tell an artefact from a coincidence no more."""
MIN_CARRIERS = 4
"""Members that carry it, and a third of all: of 13 photographs that one place led to, 5 did."""
MIN_ALPHA = 0.25
"""Lower opacity than this drowns in the error of spreads."""
_OPAQUE = 0.9  # with 30 members a spread of nothing is estimated below a tenth of that of others
_CORE = 0.25  # of the maximal relevance: coarse maps fall to this half a patch beside the artefact
_BESIDE = 0.02  # of the side: what is behind strokes is what is between them
_ROUNDS = 5  # members were the same after two or three, or came and went, where there was no artefact to cut out
_QUARTILE = 0.6745  # of the standard normal distribution
_LEVEL = 1 / 255  # of 8-bit pixels


def isolate(
    images: Sequence[AnyImage],
    maps: Sequence[ArrayLike],
    *,
    rest: Sequence[AnyImage] = (),
    rest_maps: Sequence[ArrayLike] = (),
    name: str = "isolated",
) -> Artefact:
    """The artefact that the members of a cluster have in common.

    Args:
        images: the members, paths, pictures or pixels, uint8 (H, W, 3), of any sizes; most of them carry the artefact.
        maps: of each member, relevance (h, w) at any resolution.
        rest: other pictures of the same kind. With at least `MIN_MEMBERS` of them opacity is judged pixel by pixel;
            without, against the members' own spread elsewhere, which takes smooth surroundings for a piece of the
            artefact more easily.
        rest_maps: relevance maps of other pictures, whose common regions do not count.
        name: of the artefact.

    Returns:
        An artefact on a canvas of the members' median size, stretched over images. It is empty if members have no
        pixels in common where their relevance is: freely placed objects cannot be isolated in this way.

    Raises `InputError` for too few members, numbers that differ, and maps that are not finite or have no positive part.

    Source: the isolation of artefacts by hand in Anders et al. 2022, section 3.2.
    """
    if len(images) != len(maps):
        raise InputError(f"Each member needs one map, and there are {len(images)} images and {len(maps)} maps.")
    if len(images) < MIN_MEMBERS:
        raise InputError(f"An artefact is isolated from at least {MIN_MEMBERS} members, not from {len(images)}.")
    pixels = [as_pixels(image) for image in images]
    size = tuple(int(np.median([image.shape[axis] for image in pixels])) for axis in (0, 1))
    members = _stack(pixels, size)
    others = _stack([as_pixels(image) for image in rest], size) if len(rest) >= MIN_MEMBERS else None
    relevance = _relevance(maps, size)
    common = np.median(_relevance(rest_maps, size), axis=0) if len(rest_maps) else np.zeros(size, np.float32)

    median, background, alpha, region = _shared(members, others, relevance, common)
    background = background + _nearby(median - background, region)
    veil = (1 - alpha)[..., None] * background
    rgb = (median - veil) / np.maximum(alpha, MIN_ALPHA)[..., None]
    return Artefact(name, (rgb * region[..., None]).clip(0, 1), alpha)


def _shared(members: Layer, others: Layer | None, relevance: Layer, common: Layer) -> tuple[Layer, Layer, Layer, Mask]:
    """What the members that carry it share: their median, that of other pictures, opacity, and region."""
    carries = np.ones(len(members), dtype=bool)
    opaque = np.zeros(common.shape, dtype=bool)
    for repeated in range(_ROUNDS):
        robust = repeated == 0
        core = _core(relevance[carries], common)
        median, spread = _median_and_spread(members[carries], robust)
        if others is None:
            background, usual = _surroundings(median, spread, core)
        else:
            background, usual = _median_and_spread(others, robust)
        alpha = np.where(opaque, 1, _opacity(spread, usual)).astype(np.float32)
        opaque = alpha > _OPAQUE  # one stray member inflates a deviation, but no distance of quartiles
        edges = common_edges(members[carries], others, core)
        if others is not None and not tells(others, median - background, edges):
            edges[:] = False
        region = _region(alpha, core, int(carries.sum()), edges)
        # Quartiles of few carriers among others are those of any pictures, and so is a region by them. Without other
        # pictures, or edges, nothing but themselves says that images which were told are alike.
        certain = others is not None and bool(edges.any())
        where, least = (edges, max(len(members) / 3, MIN_CARRIERS)) if certain else (region, len(members) / 2)
        told = _carriers(members, others, median, background, where)
        told |= told.sum() < least
        if repeated and ((told == carries).all() or not certain):
            break
        carries = told
    return median, background, (np.where(opaque, 1, alpha) * region).astype(np.float32), region


def _stack(images: Sequence[Pixels], size: tuple[int, ...]) -> Layer:
    """Images of one size: (n, h, w, 3) in [0, 1]."""
    for image in images:
        checked(image)
    return np.stack([resample(image.astype(np.float32) / 255, size) for image in images])


def _relevance(maps: Sequence[ArrayLike], size: tuple[int, ...]) -> Layer:
    """Positive relevance of mean 1: (n, h, w). Maps without any are left at 0."""
    sized = []
    for number, values in enumerate(maps):
        array = np.asarray(values, dtype=np.float32)
        if array.ndim != 2 or array.size == 0:
            raise InputError(f"A relevance map has the shape (h, w), and map {number} has {array.shape}.")
        if not np.isfinite(array).all():
            raise InputError(f"Map {number} holds NaN or infinity: leave it out, and its image.")
        positive = resample(array.clip(0), size)
        sized.append(positive / max(float(positive.mean()), 1e-12))  # leaves a map of zeros at zero
    relevance = np.stack(sized)
    if not relevance.any():
        raise InputError("No map has positive relevance: there is nothing to isolate.")
    return relevance


def _core(relevance: Layer, common: Layer) -> Mask:
    """Where members agree that relevance lies, (h, w)."""
    import cv2

    # smoothed over a hundredth of the side, and half a pixel at least: maps of single pixels are noisy
    excess = cv2.GaussianBlur(np.median(relevance, axis=0) - common, (0, 0), 0.01 * max(common.shape) + 0.5)
    return np.asarray(excess >= max(_CORE * float(excess.max()), 1e-9))  # nowhere, where nothing exceeds the rest


def _median_and_spread(stack: Layer, robust: bool) -> tuple[Layer, Layer]:
    """Median (h, w, 3) and spread (h, w) of images (n, h, w, 3).

    The spread is the distance of the quartiles as that of a normal distribution, or the standard deviation; of the
    channels, and lightly of neighbours, the root mean square.
    """
    import cv2

    if robust:
        low, high = np.percentile(stack, [25, 75], axis=0)
        spread = (high - low) / (2 * _QUARTILE)
    else:
        spread = stack.std(axis=0)
    smooth = cv2.GaussianBlur(np.square(spread).mean(axis=2).astype(np.float32), (3, 3), 0.5)
    return np.median(stack, axis=0), np.sqrt(smooth)


def _surroundings(median: Layer, spread: Layer, core: Mask) -> tuple[Layer, Layer]:
    """A stand-in for other pictures: the median painted over the core, and the typical spread outside."""
    outside = ~widened(core, max(max(core.shape) // 20, 1))  # the core is where relevance is, coarser than the artefact
    if not outside.any():
        outside = ~core
    level = float(np.median(spread[outside])) if outside.any() else float(spread.max())
    repainted = painted(np.round(median * 255).astype(np.uint8), ~outside)
    return repainted.astype(np.float32) / 255, np.full(spread.shape, level, np.float32)


def _opacity(members: Layer, others: Layer) -> Layer:
    """``1 - sd(members) / sd(others)``, at least 0; 0 also where others show no spread that could shrink."""
    floor = np.maximum(others, 2 * _LEVEL)  # the spread of rounding alone is below this
    return (1 - members / floor).clip(0, 1) * (others > _LEVEL)


def _region(alpha: Layer, core: Mask, members: int, edges: Mask) -> Mask:
    """Pieces with opacity that are certain somewhere in the core; beside edges, if there are any, what is certain."""
    seen = alpha >= MIN_ALPHA
    error = 1 / np.sqrt(2 * members)
    certain = alpha >= max(3 * error, MIN_ALPHA)
    pieces = pieces_with(seen, core & certain)
    # two errors: between letters on 10 photographs the median is .3 at most, in patches of .5 and more it is above .55
    marked = edges | solid(edges, alpha, max(2 * error, MIN_ALPHA))
    return (seen & marked) | (pieces & certain) if edges.any() else pieces


def _nearby(difference: Layer, region: Mask) -> Layer:
    """What a difference (h, w, 3) is just outside of a region, continued into it, and fading to 0 in its depth."""
    import cv2

    # a pixel apart, where resizing has softened the edge; the blur spans what lies between strokes
    outside = (~widened(region)).astype(np.float32)
    sigma = _BESIDE * max(region.shape)
    total = cv2.GaussianBlur(np.float32(difference) * outside[..., None], (0, 0), sigma)
    weight = cv2.GaussianBlur(outside, (0, 0), sigma)
    return np.asarray(total / np.maximum(weight, 1e-3)[..., None])  # three standard deviations inside, and further


def _carriers(members: Layer, others: Layer | None, median: Layer, without: Layer, region: Mask) -> Mask:
    """Which members show the common deviation from other pictures, where there is one."""
    if others is not None:
        return carriers(members, median - without, region)
    # what stands in for other pictures is painted and has no edges: the deviation itself is compared
    common = (median - without)[region]
    return np.tensordot(members[:, region] - without[region], common, axes=2) > 0.5 * np.square(common).sum()
