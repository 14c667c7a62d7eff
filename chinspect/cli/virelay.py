"""``chinspect virelay``: a run of ``chinspect spray`` as a project of ViRelAy."""

from __future__ import annotations

from pathlib import Path

import typer

from chinspect.cli.frame import Answer, status, verb


@verb("virelay")
def write_project(
    run: str = typer.Argument(metavar="RUN_DIR", help="A folder that 'chinspect spray' wrote."),
    out: str = typer.Option(None, "--out", help="Folder of the project; virelay inside the run where none is given."),
) -> Answer:
    """Write a run of SpRAy as a project that the viewer ViRelAy opens."""
    from chinspect.export import export_virelay, read_run

    with status("writing"):
        project = export_virelay(read_run(run), out or Path(run) / "virelay")
    sentence = f"wrote {project}: look at it with 'virelay {project}'"
    return Answer({"project": str(project)}, lambda: typer.echo(sentence))
