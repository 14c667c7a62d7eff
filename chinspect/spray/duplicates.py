"""Images and maps that are there twice: they form tight clusters that say nothing about a strategy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.neighbors import NearestNeighbors

from chinspect.images import open_image
from chinspect.spray.pooling import Maps, area_sum

_SIDE = 16
_DIGITS = 6
BITS_APART = 6
"""Hashes that differ in at most this many of 256 bits are near-duplicates; unrelated photographs differ in over 80."""


def difference_hash(image: Image.Image) -> NDArray[np.bool_]:
    """256 bits of a picture: whether brightness rises from each of 16 x 17 cells to its right neighbour.

    Survives another size, JPEG and a change of brightness or contrast (the "dHash" of image search).
    """
    grey = image.convert("L")
    if grey.width <= _SIDE or grey.height < _SIDE:
        grey = grey.resize((max(grey.width, _SIDE + 1), max(grey.height, _SIDE)))
    cells = area_sum(np.asarray(grey, dtype=np.float32), (_SIDE, _SIDE + 1))  # whole numbers would be equal too often
    return (np.diff(cells, axis=1) > 0).ravel()


def near_duplicates(images: Sequence[str | Path | Image.Image]) -> NDArray[np.int64]:
    """For each picture the place of the first that is nearly the same, its own where there is none: (n,)."""
    pictures = (image if isinstance(image, Image.Image) else open_image(image) for image in images)
    hashes = np.stack([difference_hash(picture) for picture in pictures]).astype(np.float32)
    search = NearestNeighbors(radius=np.sqrt(BITS_APART + 0.5), algorithm="brute").fit(hashes)
    return _firsts(search.radius_neighbors_graph(hashes).tocoo())


def same_maps(maps: Maps) -> NDArray[np.int64]:
    """For each map (n, h, w) the place of the first that is equal to six digits of its largest value: (n,)."""
    rows = maps.reshape(len(maps), -1)
    largest = np.abs(rows).max(1, keepdims=True)
    rounded = np.round(rows / np.where(largest > 0, largest, 1), _DIGITS) + 0.0  # -0.0 and 0.0 have other bytes
    first: dict[bytes, int] = {}
    return np.array([first.setdefault(row.tobytes(), i) for i, row in enumerate(rounded)])


def _firsts(pairs: coo_array) -> NDArray[np.int64]:
    labels = connected_components(pairs, directed=False)[1]
    return np.unique(labels, return_index=True)[1][labels]
