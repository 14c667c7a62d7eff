"""The server: one process that listens on 127.0.0.1, until Ctrl-C."""

from __future__ import annotations

import errno
import os
import socket
import warnings
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from chinspect.errors import ImageWarning, InputError

ADDRESS = "127.0.0.1"
"""Of this machine only: no other one reaches it."""
_WAITING = 256  # connections that the system holds until they are answered
_LAST_ANSWERS = 2  # seconds that answers may take after Ctrl-C


def serve(folder: str | Path, *, port: int = 8765, announce: Callable[[str], None] = print) -> None:
    """Shows a run in the browser, until it is interrupted.

    Args:
        folder: of a run of ``chinspect spray`` or ``chinspect audit``, or a `SimilarityIndex`.
        port: 0 for any that is free.
        announce: called with the address once it answers.

    Raises `InputError` where there is no run, the port is taken, or Starlette and uvicorn are not installed.
    """
    missing = [name for name in ("starlette", "uvicorn") if find_spec(name) is None]
    if missing:
        raise InputError(f"serving needs {' and '.join(missing)}, not installed: pip install chinspect[serve].")
    import uvicorn

    from chinspect.serve.application import build_application
    from chinspect.serve.opening import open_run

    run = open_run(folder)
    with _listening(port) as listener, warnings.catch_warnings():
        # what is unusual about an image was said when it was analysed
        warnings.simplefilter("ignore", ImageWarning)
        taken = listener.getsockname()[1]
        config = uvicorn.Config(
            build_application(run, taken),
            log_level="warning",
            access_log=False,
            server_header=False,
            lifespan="off",
            ws="none",
            timeout_graceful_shutdown=_LAST_ANSWERS,
        )
        announce(f"http://{ADDRESS}:{taken}/")
        with suppress(KeyboardInterrupt):  # which is how a server is ended
            uvicorn.Server(config).run(sockets=[listener])


def _listening(port: int) -> socket.socket:
    """A socket that connections can wait at, so that a browser may be sent there before the server answers."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if os.name == "posix":  # elsewhere it would let two servers have one port
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # of a server that has just ended
    try:
        listener.bind((ADDRESS, port))
        listener.listen(_WAITING)
    except (OSError, OverflowError) as error:
        listener.close()
        raise InputError(_unavailable(port, error)) from error
    return listener


def _unavailable(port: int, error: Exception) -> str:
    another = "choose another with --port, or --port 0 for any that is free"
    if isinstance(error, OverflowError):
        return f"a port is a number from 0 to 65535, not {port}."
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return f"the port {port} is taken, perhaps by another 'chinspect serve': {another}."
    return f"the port {port} cannot be used ({error}): {another}."
