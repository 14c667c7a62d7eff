"""The application: its verbs, and what an error looks like.

Exit status: 0 done, 1 a gate failed, 2 bad input or usage with one line of reason. ``--debug`` shows the traceback.
Verbs import what they need when they run, so that ``--help`` answers at once.
"""

from __future__ import annotations

import sys

import click
import typer

from chinspect import __version__
from chinspect.cli import models, similarity
from chinspect.errors import InputError

app = typer.Typer(
    name="chinspect",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Find, prove and fix Clever Hans effects in unsupervised vision models.",
)
app.command("explain-similarity")(similarity.explain_similarity)
app.command("models")(models.models)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"chinspect {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Show the version."),
) -> None:
    """Find, prove and fix Clever Hans effects in unsupervised vision models."""


def main() -> None:
    """Entry point of the ``chinspect`` command."""
    debug = "--debug" in sys.argv
    try:
        status = app(standalone_mode=False)
    except (InputError, click.ClickException) as error:
        if debug:
            raise
        reason = error.format_message() if isinstance(error, click.ClickException) else str(error)
        typer.echo(f"chinspect: {' '.join(reason.split())}", err=True)
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        typer.echo("chinspect: interrupted", err=True)
        sys.exit(130)
    sys.exit(status or 0)
