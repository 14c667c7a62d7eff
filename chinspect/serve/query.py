"""Which images a page shows: what stands behind the question mark of an address, and nothing that does not fit."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any
from urllib.parse import urlencode

import numpy as np
from starlette.exceptions import HTTPException

from chinspect.errors import did_you_mean
from chinspect.serve.listing import Indices, Listing

PAGE = 48
"""Images on a page: whole rows of 2, 3, 4, 6 and 8."""
LONGEST = 300
"""Letters of a text that is searched for."""
NUMBER = "number"
ORDERS = ("up", "down")
_WHOLE = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True)
class Query:
    """Which images are shown, and in which order; an empty text is no condition.

    Attributes:
        page: counted from 1.
        sort: ``number``, ``name`` or a score.
        order: ``up`` or ``down``.
        name: what occurs in the name.
        label, state: as they stand in the run.
        candidate: number of one whose members are shown; 0 for no condition.
        cluster: ``CLUSTERING:NUMBER``.
        area: of the plane, ``left,bottom,right,top`` in [0, 1].
    """

    page: int = 1
    sort: str = NUMBER
    order: str = "up"
    name: str = ""
    label: str = ""
    state: str = ""
    candidate: int = 0
    cluster: str = ""
    area: str = ""

    @classmethod
    def of(cls, parameters: Mapping[str, str], listing: Listing) -> Query:
        """The query of an address. Raises `HTTPException`, 400 or 404, in a sentence for what does not fit the run."""
        known = asdict(cls())
        for parameter in parameters:
            if parameter not in known:
                hint = did_you_mean(parameter, known)
                raise HTTPException(400, f"There is no parameter {parameter!r}{hint}: use {', '.join(known)}.")
        texts: dict[str, Any] = {key: value for key, value in parameters.items() if value != ""}
        for key in ("page", "candidate"):
            if key in texts:
                texts[key] = whole(texts[key], key)
        query = cls(**texts)
        query._check(listing)
        return query

    def address(self, **changes: Any) -> str:
        """Of the page with these changes, which begins with the first images unless a page is named."""
        query = replace(self, **({"page": 1} | changes))
        usual = asdict(Query())
        named = {key: value for key, value in asdict(query).items() if value != usual[key]}
        return "/images" + (f"?{urlencode(named)}" if named else "")

    @property
    def conditions(self) -> bool:
        """Whether some images are left out."""
        return replace(self, page=1, sort=NUMBER, order="up") != Query()

    def _check(self, listing: Listing) -> None:
        keys = sort_keys(listing)
        if self.sort not in keys:
            raise HTTPException(400, f"Images are not sorted by {self.sort!r}: use {', '.join(keys)}.")
        if self.order not in ORDERS:
            raise HTTPException(400, f"The order is up or down, not {self.order!r}.")
        if len(self.name) > LONGEST:
            raise HTTPException(400, f"A name is searched for by {LONGEST} letters at most, not {len(self.name)}.")
        if self.state and (listing.states is None or self.state not in listing.states.values):
            raise HTTPException(404, f"No image of this run is in the state {self.state!r}.")
        if self.label and (listing.labels is None or self.label not in listing.labels.values):
            raise HTTPException(404, f"No image of this run has the label {self.label!r}.")
        if self.candidate and self.candidate not in listing.members:
            raise HTTPException(404, f"There is no candidate {self.candidate} in this run.")
        if self.cluster:
            _cluster(self.cluster, listing)
        if self.area:
            _corners(self.area, listing)


def sort_keys(listing: Listing) -> list[str]:
    """What images can be sorted by."""
    return [NUMBER, "name", *listing.scores]


def whole(text: str, what: str) -> int:
    """A number of at most nine digits. Raises `HTTPException` for anything else."""
    if not _WHOLE.fullmatch(text):
        raise HTTPException(400, f"The {what} is a whole number, not {text[:50]!r}.")
    return int(text)


def select(listing: Listing, query: Query) -> Indices:
    """The images that a query asks for, all pages of them, in its order."""
    wanted = np.ones(len(listing), dtype=bool)
    if query.name:
        wanted &= listing.named_like(query.name)
    if query.label and listing.labels is not None:
        wanted &= listing.labels.codes == listing.labels.values.index(query.label)
    if query.state and listing.states is not None:
        wanted &= listing.states.codes == listing.states.values.index(query.state)
    if query.candidate:
        wanted &= np.isin(np.arange(len(listing)), listing.members[query.candidate])
    if query.cluster:
        clustering, number = _cluster(query.cluster, listing)
        wanted &= listing.clusterings[clustering] == number
    if query.area and listing.plane is not None:
        left, bottom, right, top = _corners(query.area, listing)
        x, y = listing.plane.T
        wanted &= (left <= x) & (x <= right) & (bottom <= y) & (y <= top)  # NaN is in no area
    if query.sort == NUMBER:
        indices = np.flatnonzero(wanted).astype(np.int32)
    else:
        order = listing.order(query.sort)
        indices = order[wanted[order]]
    return indices if query.order == "up" else _downwards(indices, listing, query.sort)


def _downwards(indices: Indices, listing: Listing, sort: str) -> Indices:
    """The reverse, but images without the score stay last."""
    missing = np.isnan(listing.scores[sort][indices]) if sort in listing.scores else np.zeros(len(indices), dtype=bool)
    return np.concatenate([indices[~missing][::-1], indices[missing]])


def _cluster(text: str, listing: Listing) -> tuple[str, int]:
    clustering, _, number = text.rpartition(":")
    if clustering not in listing.clusterings:
        raise HTTPException(404, f"There is no clustering {clustering[:50]!r} in this run: write it as kmeans-8:3.")
    if number == "-1":  # what belongs to no cluster
        return clustering, -1
    return clustering, whole(number, "cluster")


def _corners(text: str, listing: Listing) -> list[float]:
    """Left, bottom, right and top of an area."""
    if listing.plane is None:
        raise HTTPException(404, "The images of this run have no positions in a plane.")
    try:
        corners = [float(corner) for corner in text.split(",")]
    except ValueError:
        corners = []
    if len(corners) != 4 or not all(map(math.isfinite, corners)):
        raise HTTPException(400, f"An area is left,bottom,right,top, not {text[:50]!r}.")
    return corners
