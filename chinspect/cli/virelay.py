"""``chinspect virelay``: a run of ``chinspect spray`` as a project of ViRelAy."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from chinspect.cli._common import DEBUG, JSON, status


def virelay(
    run: str = typer.Argument(metavar="RUN_DIR", help="A folder that 'chinspect spray' wrote."),
    out: str = typer.Option(None, "--out", help="Folder of the project; virelay inside the run where none is given."),
    as_json: bool = JSON,
    debug: bool = DEBUG,  # noqa: ARG001, read by main
) -> None:
    """Write a run of SpRAy as a project that the viewer ViRelAy opens."""
    from chinspect.report import export_virelay, read_run

    with status("writing"):
        project = export_virelay(read_run(run), out or Path(run) / "virelay")
    if as_json:
        typer.echo(json.dumps({"project": str(project)}))
    else:
        typer.echo(f"wrote {project}: look at it with 'virelay {project}'")
