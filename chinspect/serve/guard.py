"""Who may ask, and what an answer allows: the server is for the browser of the user who started it.

* **Host**: a page of a stranger can have its own name point to 127.0.0.1 (DNS rebinding) and would then read what is
  served here. Its requests carry its name, and are refused: the header has to name this server with its port.
* **Sec-Fetch-Site**: browsers say which site a request comes from. Other sites may link to a page, and embed or fetch
  nothing.
* **Methods**: GET and HEAD; nothing here changes anything.
* **Content-Security-Policy** and its kin: pages load what this server has and nothing else, run no inline scripts, and
  stand in no frame.
"""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

NAMES = ("127.0.0.1", "localhost")
METHODS = ("GET", "HEAD")
POLICY = (
    "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
REPORT_POLICY = (
    "sandbox allow-scripts allow-downloads; default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Of a report, whose scripts stand in it: the sandbox makes it a site of its own, which can ask this server nothing."""
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}
"""Of each answer that does not say otherwise."""


class Guard:
    """Refuses what the module says, and puts the headers on all answers, also on refusals."""

    def __init__(self, app: ASGIApp, port: int) -> None:
        self._app = app
        self._hosts = {f"{name}:{port}" for name in NAMES}
        if port == 80:  # which browsers leave out
            self._hosts |= set(NAMES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # a web socket, which nothing here speaks
            await send({"type": "websocket.close", "code": 1008})
            return

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._refusal(scope)
        await (refusal or self._app)(scope, receive, answer)

    def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or hosts[0].lower() not in self._hosts:
            known = " or ".join(sorted(self._hosts))
            return PlainTextResponse(f"This server answers under {known} only.\n", 421)
        if scope["method"] not in METHODS:
            return PlainTextResponse("This server only shows: use GET.\n", 405, {"Allow": ", ".join(METHODS)})
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and not _followed(headers):
            return PlainTextResponse("Other sites may link to a page of this server, and load nothing of it.\n", 403)
        return None


def _followed(headers: Headers) -> bool:
    """Whether a user followed a link: the answer is a page of its own, which the other site cannot read."""
    return headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest", "document") == "document"
