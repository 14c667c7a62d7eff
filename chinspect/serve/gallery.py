"""What galleries say of images, and by what images can be picked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chinspect.serve.listing import Listing
from chinspect.serve.query import sort_keys

_LISTED = 1_000  # labels that can be picked from a list, the commonest
_CLUSTERS = 40  # of a clustering that can be picked, the largest


@dataclass(frozen=True)
class Thumbnail:
    """An image of a gallery.

    Attributes:
        i: its number.
        score: that images are sorted by; None for none.
        distance: to the image that it stands beside; None where it stands beside none.
    """

    i: int
    name: str
    label: str = ""
    state: str = ""
    candidates: Sequence[int] = field(default_factory=list)
    score: float | None = None
    distance: float | None = None


def thumbnail(listing: Listing, i: int, *, sort: str = "", distance: float | None = None) -> Thumbnail:
    """An image of a gallery that is sorted by a score, or that shows neighbours."""
    scores = listing.scores.get(sort)
    return Thumbnail(
        i,
        listing.name(i),
        "" if listing.labels is None else listing.labels.text(i),
        "" if listing.states is None else listing.states.text(i),
        listing.candidates_of(i),
        None if scores is None else float(scores[i]),
        distance,
    )


def thumbnails(listing: Listing, indices: Iterable[int], sort: str = "") -> list[Thumbnail]:
    """Images of a gallery, in their order."""
    return [thumbnail(listing, int(i), sort=sort) for i in indices]


def choices(listing: Listing) -> dict[str, Any]:
    """What images can be picked by, with counts."""
    clusters = {}
    for name, numbers in listing.clusterings.items():
        values, counts = np.unique(numbers, return_counts=True)
        largest = np.argsort(-counts, kind="stable")[:_CLUSTERS]
        clusters[name] = [(int(values[k]), int(counts[k])) for k in sorted(largest)]
    states = listing.states
    labels = listing.labels
    return {
        "states": [] if states is None else list(zip(states.values, states.counts, strict=True)),
        "labels": [] if labels is None else list(zip(labels.values, labels.counts, strict=True))[:_LISTED],
        "candidates": {number: len(rows) for number, rows in listing.members.items()},
        "clusters": clusters,
        "sort": sort_keys(listing),
    }
