"""What an address asks for: numbers of images, candidates and findings, each checked against the run."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request

from chinspect.serve.listing import Listing
from chinspect.serve.query import whole
from chinspect.serve.run import Document, Run


def listing_of(run: Run) -> Listing:
    """The images of a run. Raises `HTTPException` 404, as all here do, where it has none."""
    if run.listing is None:
        raise HTTPException(404, "This audit holds no analysis of maps, and so no images to show.")
    return run.listing


def plane_of(run: Run) -> Listing:
    """The images of a run that have positions in the plane."""
    listing = listing_of(run)
    if listing.plane is None:
        raise HTTPException(404, "The images of this run have no positions in a plane.")
    return listing


def image_asked(run: Run, request: Request) -> int:
    """The number of an image."""
    count = len(listing_of(run))
    i = whole(request.path_params["number"], "number of an image")
    if i >= count:
        raise HTTPException(404, f"There is no image {i}: they count from 0 to {count - 1}.")
    return i


def candidate_asked(run: Run, request: Request) -> int:
    """The number of a candidate."""
    number = whole(request.path_params["number"], "number of a candidate")
    if number not in run.candidates:
        raise HTTPException(404, f"There is no candidate {number} in this run.")
    return number


def finding_asked(run: Run, request: Request) -> tuple[int, Document]:
    """A finding, and its number from 1."""
    number = whole(request.path_params["number"], "number of a finding")
    if not 1 <= number <= len(run.findings):
        raise HTTPException(404, f"There is no finding {number}: this run has {len(run.findings)}.")
    return number, run.findings[number - 1]


def coloured_candidate(run: Run, request: Request) -> int:
    """The candidate whose members are coloured in the plane; 0 for all that are flagged."""
    number = whole(request.query_params.get("candidate", "0"), "number of a candidate")
    if number and number not in listing_of(run).members:
        raise HTTPException(404, f"There is no candidate {number} in this run.")
    return number
