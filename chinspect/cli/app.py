"""The application: its verbs, and what an error looks like.

Exit status: 0 done, 1 a gate failed, 2 bad input or usage with one line of reason, 3 a crash or what the machine did
not allow (a full disk, a permission, memory, a worker that was killed) in one line, 130 interrupted. ``--debug`` shows
the traceback.
Verbs import what they need when they run, so that ``--help`` answers at once.
"""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from typing import Any

import typer

from chinspect import __version__
from chinspect.cli import (  # noqa: F401
    anomaly,
    audit,
    choice,
    evaluate,
    explain,
    faithfulness,
    groups,
    known,
    mitigate,
    models,
    serve,
    similarity,
    spray,
    stress,
    virelay,
)
from chinspect.cli.frame import INTERRUPTED, app
from chinspect.errors import ImageWarning, InputError, SlowWarning, failure

_UsageError: type[Exception] = typer.BadParameter.__mro__[
    1
]  # of click, or of the copy that newer versions of typer hold

_CRASHED = 3
_python_shows = warnings.showwarning


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"chinspect {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Show the version."),
) -> None:
    """Find, prove and fix Clever Hans effects in unsupervised vision models.

    Exit status: 0 done; 1 a gate failed (--fail-on), or no remedy helps; 2 bad input or usage; 3 a crash, or what the
    machine did not allow, such as a full disk; 130 interrupted.
    """


def _reason(error: Exception) -> str:
    """The error's sentence; newer versions of typer leave the bad value out of theirs, and keep it in the cause."""
    reason = error.format_message() if hasattr(error, "format_message") else str(error)
    details = getattr(error.__cause__, "errors", None)
    return reason if details is None else f"{reason}, not {details()[0]['input']!r}."


def _show(message: Warning | str, category: type[Warning], *place: Any, **options: Any) -> None:
    """A warning about the user's images or time as one line, all others as Python shows them."""
    if issubclass(category, ImageWarning | SlowWarning):
        typer.echo(f"chinspect: warning: {message}", err=True)
    else:
        _python_shows(message, category, *place, **options)


def main() -> None:
    """Entry point of the ``chinspect`` command."""
    debug = "--debug" in sys.argv
    warnings.showwarning = _show
    # what a network computes is read once, and not in each command: see `chinspect.relevance._stored`
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    os.environ.setdefault("CHINSPECT_GRAPHS", str(cache / "chinspect" / "graphs"))
    try:
        status = app(prog_name="chinspect", standalone_mode=False)
    except (InputError, _UsageError) as error:
        if debug:
            raise
        if type(error).__name__ == "NoArgsIsHelpError":
            typer.echo(_reason(error), err=True)
        elif reason := " ".join(_reason(error).split()):  # empty where the help was shown in its place
            typer.echo(f"chinspect: {reason}", err=True)
        sys.exit(2)
    except (typer.Abort, KeyboardInterrupt):
        status = INTERRUPTED
    except Exception as error:
        if debug:
            raise
        typer.echo(f"chinspect: {failure(error)}", err=True)
        sys.exit(_CRASHED)
    if status == INTERRUPTED:
        typer.echo("chinspect: interrupted; the same command goes on where it stopped, if it keeps results.", err=True)
    sys.exit(status or 0)
