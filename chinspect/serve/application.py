"""The application: which address shows what. Everything is read from the run's folder when it is asked for.

/                        verdict, findings, candidates, figures
/images?...              images page by page, see `chinspect.serve.query`
/images/NUMBER           one image with its map, and those that are alike
/candidates/NUMBER       what the members have in common, how sure that is, and who they are
/findings/NUMBER         of an audit
/plane                   all images as points
/made                    how it was computed
/report                  the run's own report, where it has one
/pictures/..., /maps/..., /figures/..., /plane/points, /cards/..., /static/...   what pages load
"""

from __future__ import annotations

from collections.abc import Callable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from chinspect.serve.guard import Guard
from chinspect.serve.loaded import Loaded
from chinspect.serve.pages import Pages
from chinspect.serve.pictures import Pictures
from chinspect.serve.rendering import Renderer
from chinspect.serve.run import Run


def build_application(run: Run, port: int) -> ASGIApp:
    """The application that serves a run under 127.0.0.1 and a port."""
    pictures = Pictures(run)
    renderer = Renderer(run, pictures.limit)
    pages = Pages(run, pictures, renderer)
    loaded = Loaded(run, pictures)
    addresses: dict[str, Callable[[Request], Response]] = {
        "/": pages.overview,
        "/images": pages.images,
        "/images/{number}": pages.image,
        "/candidates/{number}": pages.candidate,
        "/findings/{number}": pages.finding,
        "/plane": pages.plane,
        "/made": pages.made,
        "/report": loaded.report,
        "/plane/points": loaded.points,
        "/cards/{number}": loaded.card,
        "/pictures/{number}/{side}": loaded.picture,
        "/maps/{number}": loaded.overlay,
        "/figures/{name}": loaded.figure,
        "/candidates/{number}/maps/{name}": loaded.candidate_map,
        "/candidates/{number}/{name}": loaded.sheet,
        "/static/{name}": loaded.static,
    }
    routes = [Route(address, endpoint) for address, endpoint in addresses.items()]
    app = Starlette(routes=routes, exception_handlers={HTTPException: renderer.refused, Exception: renderer.crashed})
    app.router.redirect_slashes = False  # an address is right or wrong
    return Guard(app, port)
