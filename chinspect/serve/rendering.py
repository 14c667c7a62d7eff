"""Pages from templates. All text of a run is data: templates escape it, and nothing else puts it into a page."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from chinspect.serve import words
from chinspect.serve.folder import report_of
from chinspect.serve.run import Run


class _Html(Response):
    """HTML, also of text that is no UTF-8, as documents of strangers can hold."""

    media_type = "text/html"

    def render(self, content: Any) -> bytes:
        return str(content).encode("utf-8", "backslashreplace")


class Renderer:
    """Renders pages of a run; ``limit`` is the fraction of a map's relevance at which its colours end."""

    def __init__(self, run: Run, limit: float) -> None:
        self._environment = Environment(
            loader=PackageLoader("chinspect.serve"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters |= {
            "number": words.number,
            "percent": words.percent,
            "words": words.spaced,
            "chance": words.chance,
            "outcome": words.outcome_of,
            "verdict": words.verdict_of,
        }
        self._environment.globals |= {
            "run": run,
            "version": run.version,
            "has_report": report_of(run.home) is not None,
            "limit": limit,
            "mapped": run.maps is not None and not run.spectra,
        }

    def page(self, template: str, status: int = 200, **values: Any) -> Response:
        """A template with its values."""
        return _Html(self._environment.get_template(template).render(status=status, **values), status)

    async def refused(self, request: Request, error: Exception) -> Response:  # noqa: ARG002
        """What was asked for is not there or makes no sense, in a sentence."""
        assert isinstance(error, HTTPException)
        own = error.detail.endswith(".")  # Starlette's own details are no sentences
        return self.page("error.html", error.status_code, sentence=error.detail if own else "There is no such page.")

    async def crashed(self, request: Request, error: Exception) -> Response:  # noqa: ARG002
        """A bug, whose traceback the server prints."""
        sentence = "This page crashed, which is a bug; what the server printed helps to mend it."
        return self.page("error.html", 500, sentence=sentence)
