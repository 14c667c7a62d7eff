"""All images as points, for a canvas: nine bytes each, so that 100,000 are sent in under a megabyte."""

from __future__ import annotations

import numpy as np

from chinspect.serve.listing import Listing

COLOURS = 8
"""Groups of points that have a colour: more are not told apart."""
_STEPS = 65535  # of sixteen bits: finer than any screen, also under the deepest zoom that shows single points


def coloured(listing: Listing, candidate: int) -> list[int]:
    """Candidates that have a colour, in the order of the colours: one that was asked for, else those flagged."""
    return [candidate] if candidate else list(listing.flagged[:COLOURS])


def points(listing: Listing, candidate: int) -> bytes:
    """n points: their images (n,) uint32, x and y (n,) uint16 each, group (n,) uint8, 0 for none; little-endian.

    Points of a group come last, and so lie on top.
    """
    assert listing.plane is not None
    group = np.zeros(len(listing), dtype=np.uint8)
    for colour, number in reversed(list(enumerate(coloured(listing, candidate), 1))):
        group[listing.members[number]] = colour
    shown = np.flatnonzero(np.isfinite(listing.plane[:, 0]))
    shown = shown[np.argsort(group[shown] > 0, kind="stable")]
    scaled = (listing.plane[shown] * _STEPS).round().astype("<u2")
    columns = (shown.astype("<u4"), scaled[:, 0], scaled[:, 1], group[shown])
    return b"".join(column.tobytes() for column in columns)
