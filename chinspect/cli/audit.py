"""``chinspect audit``: the whole loop in one call."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import typer

from chinspect.cli.frame import (
    ENCODER_HELP,
    MODEL,
    OUT,
    Answer,
    Device,
    Fitting,
    Out,
    loading,
    resolve_device,
    staged,
    verb,
)
from chinspect.errors import InputError

if TYPE_CHECKING:
    from chinspect.audit import Plan
    from chinspect.images import Fit

_GATES = ("confirmed", "stress", "candidate")


@verb("audit")
def audit_images(
    images: str = typer.Argument(metavar="IMAGES_DIR", help="Folder of images, or a list or table of paths."),
    model: str = typer.Option(MODEL, help=ENCODER_HELP),
    labels: str = typer.Option(None, metavar="folder|FILE", help="Classes: folder, or a table path,label."),
    confounder: str = typer.Option(
        None, metavar="folder|CSV", help="What images should not be neighbours for: folder, or a table path,confounder."
    ),
    mitigate: bool = typer.Option(False, "--mitigate", help="Prune what is confirmed, and test again."),
    workers: int = typer.Option(0, min=0, help="Explain with this many workers on Ray."),
    budget: float = typer.Option(None, metavar="MINUTES", help="Sample images, and leave steps out, so that it fits."),
    surrogates: int = typer.Option(99, min=0, help="Data sets of moved maps that p-values come from."),
    seed: int = typer.Option(0, help="Of whatever chance decides."),
    fail_on: str = typer.Option(
        None,
        metavar="confirmed|candidate|stress",
        help="Exit with 1 if there is such a finding; for candidate also if one is confirmed.",
    ),
    fit: Fitting = None,
    out: Out = OUT,
    force: bool = typer.Option(False, "--force", help="Start anew where the folder holds an audit of something else."),
    device: Device = "auto",
) -> Answer:
    """Find, prove and, if asked, mend what an encoder goes by that it should not.

    The same command goes on where it was stopped, as long as nothing about it or the images changes.
    """
    if fail_on not in (None, *_GATES):
        raise InputError(f"--fail-on knows {', '.join(_GATES)}, not {fail_on!r}.")
    with loading(model):
        from chinspect.audit import audit_model
        from chinspect.encoders import load_encoder

        encoder = load_encoder(model, device=resolve_device(device)).fitted(cast("Fit | None", fit))
    with staged() as progress:
        audit = audit_model(
            encoder,
            images,
            labels=labels,
            confounder=confounder,
            mitigate=mitigate,
            path=out,
            budget=budget,
            workers=workers,
            n_surrogates=surrogates,
            seed=seed,
            force=force,
            announce=_announce,
            progress=progress,
        )
    files = audit.save(out)
    return Answer.of(audit, files, failed=audit.fails(fail_on), interrupted=audit.stopped)


def _announce(plan: Plan) -> None:
    """On standard error, so that --json prints one document and nothing else."""
    for row in plan.tables()["plan"].itertuples():
        typer.echo(f"{row.step:<11} {row.minutes:5.1f} min  {row.what}", err=True)
    typer.echo(plan.sentence, err=True)
