"""Images and maps that are there twice: they form tight clusters that say nothing about a strategy.

Two images repeat each other if all of this holds:

* *the same scene*: their difference hashes of 16 x 16 cells differ in at most 6 of 256 bits;
* *the same picture of it*: of the bits that are set in either hash of 64 x 64 cells, at most 4 in 10 differ (Jaccard
  distance). Pictures of aligned parts share the scene, and differ in grain, scratches and light;
* *the same map*, where there are maps: their cosine is at least 0.9.

The second condition decides where parts are aligned. Of 40 generated images of an industrial part half of all pairs
share the scene, and maps of different ones have cosines of up to 0.999, so that no limit on maps divides them from
copies. Their fine hashes are at least 0.58 apart (other X-rays 0.47, other magnetic tiles 0.52); those of a picture and
its copy as JPEG of quality 60, resized by 1.1 or 5 % brighter are at most 0.32 apart. The maps of these copies have
cosines of at least 0.90, those of a detector and those of a small CLIP to its neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize

from chinspect.explain import area_sum
from chinspect.images import open_image
from chinspect.spray.arrays import Indices, Maps

_COARSE = 16
_FINE = 64
_DIGITS = 6  # of single precision, which has seven
_BLOCK = 512  # pictures that are compared with all others at once
BITS_APART = 6
"""Coarse hashes of one scene differ in at most this many of 256 bits; those of unrelated photographs in over 80."""
APART = 0.4
"""Fine hashes of one picture are at most this far apart."""
ALIKE = 0.9
"""Maps of one picture have at least this cosine."""

Bits = NDArray[np.bool_]


def difference_hash(image: Image.Image, side: int = _COARSE) -> Bits:
    """``side^2`` bits of a picture: whether brightness rises from each of its cells to the right neighbour.

    Survives another size, JPEG and a change of brightness or contrast (the "dHash" of image search).
    """
    grey = image.convert("L")
    if grey.width <= side or grey.height < side:
        grey = grey.resize((max(grey.width, side + 1), max(grey.height, side)))
    cells = area_sum(np.asarray(grey, dtype=np.float32), (side, side + 1))  # whole numbers would be equal too often
    return (np.diff(cells, axis=1) > 0).ravel()


def near_duplicates(images: Sequence[str | Path | Image.Image], maps: Maps | None = None) -> Indices:
    """For each picture the index of the first that it repeats, its own where there is none: (n,).

    ``maps`` (n, h, w) are theirs; without, pictures alone decide. See the module.
    """
    pictures = (image if isinstance(image, Image.Image) else open_image(image) for image in images)
    hashes = [(difference_hash(one), np.packbits(difference_hash(one, _FINE))) for one in pictures]
    coarse, fine = (np.stack(column) for column in zip(*hashes, strict=True))
    cells = coarse.astype(np.float32)
    words = fine.view(np.uint64)  # which are counted eight bytes at once
    rows = None if maps is None else normalize(maps.reshape(len(maps), -1))
    search = NearestNeighbors(radius=np.sqrt(BITS_APART + 0.5), algorithm="brute").fit(cells)
    first = np.arange(len(hashes))
    for start in range(0, len(hashes), _BLOCK):  # where parts are aligned, nearly all pairs are of one scene
        scenes = search.radius_neighbors(cells[start : start + _BLOCK], return_distance=False)
        repeats = [_repeats(i, others, words, rows) for i, others in enumerate(scenes, start)]
        first = _firsts([_pairs(first), *repeats], len(first))
    return first


def same_maps(maps: Maps) -> Indices:
    """For each map (n, h, w) the index of the first that is equal to six digits of its largest value: (n,)."""
    rows = maps.reshape(len(maps), -1)
    largest = np.abs(rows).max(1, keepdims=True)
    rounded = np.round(rows / np.where(largest > 0, largest, 1), _DIGITS) + 0.0  # -0.0 and 0.0 have other bytes
    first: dict[bytes, int] = {}
    return np.array([first.setdefault(row.tobytes(), i) for i, row in enumerate(rounded)])


def joined(*firsts: Indices) -> Indices:
    """For each picture the index of the first that it repeats by any of these answers (n,), directly or not: (n,)."""
    return _firsts([_pairs(first) for first in firsts], len(firsts[0]))


def _pairs(first: Indices) -> Indices:
    """Each index and that of the one that it repeats: (n, 2)."""
    return np.stack([np.arange(len(first)), first], axis=1)


def _repeats(i: int, others: Indices, fine: NDArray[np.uint64], rows: Maps | None) -> Indices:
    """The pairs (p, 2) of i and the later ``others`` of its scene that are one picture.

    ``fine`` are packed fine hashes, ``rows`` maps of unit length.
    """
    others = others[others > i]
    differing = np.bitwise_count(fine[others] ^ fine[i]).sum(1, dtype=np.int64)
    either = np.bitwise_count(fine[others] | fine[i]).sum(1, dtype=np.int64)
    others = others[differing <= APART * either]
    if rows is not None:
        others = others[rows[others] @ rows[i] >= ALIKE]
    return np.stack([np.full(len(others), i), others], axis=1)


def _firsts(pairs: Sequence[Indices], n: int) -> Indices:
    """For each of n the lowest index that any of the pairs (p, 2) join it to."""
    edges = np.concatenate(pairs)
    graph = coo_array((np.ones(len(edges)), edges.T), shape=(n, n))
    labels = connected_components(graph, directed=False)[1]
    return np.unique(labels, return_index=True)[1][labels]
