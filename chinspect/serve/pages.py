"""The pages, each a method that answers a request."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property, lru_cache
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from chinspect.serve import words
from chinspect.serve.asked import (
    candidate_asked,
    coloured_candidate,
    finding_asked,
    image_asked,
    listing_of,
    plane_of,
)
from chinspect.serve.folder import figures, map_of, sheets
from chinspect.serve.gallery import choices, thumbnail, thumbnails
from chinspect.serve.listing import Indices
from chinspect.serve.pictures import Pictures, bars
from chinspect.serve.plane import coloured
from chinspect.serve.query import LONGEST, PAGE, Query, select
from chinspect.serve.rendering import Renderer
from chinspect.serve.run import Run

_ALIKE = 12  # neighbours of an image: two rows
_MEMBERS = 24  # of a candidate or finding, on its own page
_SELECTIONS = 64  # that are remembered, of 4 bytes an image


class Pages:
    """The pages of one run."""

    def __init__(self, run: Run, pictures: Pictures, renderer: Renderer) -> None:
        self._run = run
        self._pictures = pictures
        self._page = renderer.page
        self._select = lru_cache(maxsize=_SELECTIONS)(self._selected)

    def overview(self, request: Request) -> Response:  # noqa: ARG002
        return self._page("overview.html", figures=figures(self._run.home) | figures(self._run.analysis))

    def images(self, request: Request) -> Response:
        listing = listing_of(self._run)
        query = Query.of(request.query_params, listing)
        indices = self._select(replace(query, page=1))
        last = max(-(-len(indices) // PAGE), 1)
        if not 1 <= query.page <= last:
            raise HTTPException(404, f"There is no page {query.page}: these images fill {last}.")
        start = (query.page - 1) * PAGE
        return self._page(
            "images.html",
            query=query,
            count=len(indices),
            last=last,
            first=start + 1,
            images=thumbnails(listing, indices[start : start + PAGE], query.sort),
            choices=self._choices,
            longest=LONGEST,
            scores=words.SCORES,
            states=words.STATES,
        )

    def image(self, request: Request) -> Response:
        listing = listing_of(self._run)
        i = image_asked(self._run, request)
        near = [thumbnail(listing, j, distance=distance) for j, distance in listing.nearest(i, _ALIKE)]
        return self._page(
            "image.html",
            image=thumbnail(listing, i),
            path=listing.path(i),
            problem="" if listing.paths is None else self._pictures.problem(i),
            repeats=-1 if listing.duplicates is None else int(listing.duplicates[i]),
            clusters={name: int(clusters[i]) for name, clusters in listing.clusterings.items()},
            scores={name: (float(values[i]), words.SCORES.get(name, "")) for name, values in listing.scores.items()},
            near=near,
            states=words.STATES,
            bars=bars(self._run.maps[i]) if self._run.maps is not None and self._run.spectra else (),
        )

    def candidate(self, request: Request) -> Response:
        number = candidate_asked(self._run, request)
        listing = listing_of(self._run)
        members = listing.members.get(number, ())
        home = self._run.analysis
        maps = {name: map_of(home, number, f"{name}.npy") for name in ("mean_map", "template")}
        return self._page(
            "candidate.html",
            number=number,
            candidate=self._run.candidates[number],
            numbers=words.NUMBERS,
            members=thumbnails(listing, members[:_MEMBERS]),
            count=len(members),
            sheets=sheets(home, number),
            maps={
                name: bars(values) if self._run.spectra else () for name, values in maps.items() if values is not None
            },
        )

    def finding(self, request: Request) -> Response:
        number, finding = finding_asked(self._run, request)
        members = finding.get("members")
        names = [str(name) for name in members] if isinstance(members, list) else []
        numbers = finding.get("numbers")
        listing = self._run.listing
        return self._page(
            "finding.html",
            number=number,
            finding=finding,
            numbers=numbers if isinstance(numbers, dict) else {},
            names=names,
            members=[] if listing is None else thumbnails(listing, listing.numbered(names[:_MEMBERS])),
        )

    def plane(self, request: Request) -> Response:
        listing = plane_of(self._run)
        candidate = coloured_candidate(self._run, request)
        return self._page("plane.html", candidate=candidate, groups=coloured(listing, candidate))

    def made(self, request: Request) -> Response:  # noqa: ARG002
        return self._page("made.html")

    def _selected(self, query: Query) -> Indices:
        return select(listing_of(self._run), query)

    @cached_property
    def _choices(self) -> dict[str, Any]:
        return choices(listing_of(self._run))
