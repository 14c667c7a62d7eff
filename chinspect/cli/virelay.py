"""``chinspect virelay``: a run of ``chinspect spray`` as a project of ViRelAy."""

from __future__ import annotations

from pathlib import Path

import typer

from chinspect.cli.frame import Answer, Force, status, verb
from chinspect.files import claim_folder


@verb("virelay")
def write_project(
    run: str = typer.Argument(metavar="RUN_DIR", help="A folder that 'chinspect spray' wrote."),
    out: str = typer.Option(None, "--out", help="Folder of the project; virelay inside the run where none is given."),
    force: Force = False,
) -> Answer:
    """Write a run of SpRAy as a project that the viewer ViRelAy opens."""
    target = out or Path(run) / "virelay"
    claim_folder(target, ["project.yaml", "data.h5", "attributions.h5", "analysis.h5"], force=force)
    with status("writing"):
        from chinspect.export import export_virelay, read_run

        project = export_virelay(read_run(run), target)
    sentence = f"wrote {project}: look at it with 'virelay {project}'"
    return Answer({"project": str(project)}, lambda: typer.echo(sentence))
