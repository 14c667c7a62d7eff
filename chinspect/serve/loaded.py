"""What pages load beside themselves: pictures, maps, figures, points, style and scripts."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response

from chinspect.serve.asked import candidate_asked, coloured_candidate, image_asked, listing_of, plane_of
from chinspect.serve.folder import FIGURES, SHEETS, file_of, map_of, report_of
from chinspect.serve.gallery import thumbnail
from chinspect.serve.guard import REPORT_POLICY
from chinspect.serve.pictures import SIDES, Pictures, map_png
from chinspect.serve.plane import COLOURS, points
from chinspect.serve.run import Run

_STATIC = {
    "style.css": "text/css",
    "icon.svg": "image/svg+xml",
    "image.js": "text/javascript",
    "plane.js": "text/javascript",
}
_LASTING = {"Cache-Control": "private, max-age=3600"}  # pictures of another run have other addresses
_SHOWN = 50  # letters of a wrong name that an error repeats


class Loaded:
    """The files, made or stored, of one run."""

    def __init__(self, run: Run, pictures: Pictures) -> None:
        self._run = run
        self._pictures = pictures
        folder = files("chinspect.serve").joinpath("static")
        self._static = {name: folder.joinpath(name).read_bytes() for name in _STATIC}
        self._points = lru_cache(maxsize=COLOURS)(self._points_of)

    def picture(self, request: Request) -> Response:
        i = image_asked(self._run, request)
        side = request.path_params["side"]
        if side not in SIDES:
            raise HTTPException(404, f"Pictures are {' or '.join(SIDES)}, not {side[:_SHOWN]!r}.")
        content, media_type = self._pictures.picture(i, side)
        lasting = media_type == "image/jpeg"  # a tile stands for a moved image until that is back
        return Response(content, media_type=media_type, headers=_LASTING if lasting else None)

    def overlay(self, request: Request) -> Response:
        i = image_asked(self._run, request)
        if self._run.maps is None or self._run.spectra:
            raise HTTPException(404, "The maps of this run have no position in an image.")
        return Response(self._pictures.overlay(i), media_type="image/png", headers=_LASTING)

    def figure(self, request: Request) -> Response:
        name = request.path_params["name"]
        homes = (self._run.home, self._run.analysis) if name in FIGURES else ()
        path = next(filter(None, (file_of(home, name) for home in homes)), None)
        if path is None:
            raise HTTPException(404, f"This run has no figure {name[:_SHOWN]!r}.")
        return FileResponse(path, media_type="image/png")

    def sheet(self, request: Request) -> Response:
        number = candidate_asked(self._run, request)
        name = request.path_params["name"]
        path = file_of(self._run.analysis, "candidates", str(number), name) if name in SHEETS else None
        if path is None:
            raise HTTPException(404, f"Candidate {number} has no figure {name[:_SHOWN]!r}.")
        return FileResponse(path, media_type="image/png")

    def candidate_map(self, request: Request) -> Response:
        number = candidate_asked(self._run, request)
        name = request.path_params["name"]
        values = map_of(self._run.analysis, number, f"{name}.npy")
        if values is None:
            raise HTTPException(404, f"Candidate {number} has no map {name[:_SHOWN]!r}.")
        return Response(map_png(values), media_type="image/png")

    def points(self, request: Request) -> Response:
        plane_of(self._run)
        content = self._points(coloured_candidate(self._run, request))
        return Response(content, media_type="application/octet-stream")

    def card(self, request: Request) -> Response:
        """What the plane says of a point."""
        image = thumbnail(listing_of(self._run), image_asked(self._run, request))
        return JSONResponse({"name": image.name, "label": image.label, "candidates": list(image.candidates)})

    def report(self, request: Request) -> Response:  # noqa: ARG002
        path = report_of(self._run.home)
        if path is None:
            raise HTTPException(404, "This run has no report of its own.")
        return FileResponse(path, media_type="text/html", headers={"Content-Security-Policy": REPORT_POLICY})

    def static(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in _STATIC:
            raise HTTPException(404, f"There is no file {name[:_SHOWN]!r}.")
        return Response(self._static[name], media_type=_STATIC[name])

    def _points_of(self, candidate: int) -> bytes:
        return points(plane_of(self._run), candidate)
