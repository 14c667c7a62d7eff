"""``chinspect audit``: the whole loop in one call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import typer

from chinspect.cli.frame import (
    ENCODER_HELP,
    MODEL,
    OUT,
    Answer,
    Device,
    Fitting,
    Out,
    check_detector,
    loading,
    resolve_device,
    staged,
    verb,
    without_effect,
)
from chinspect.files import check_output_file

if TYPE_CHECKING:
    from chinspect.audit import Plan, Status
    from chinspect.images import Fit

_OF_ENCODERS = ("model", "arch", "labels", "confounder", "workers", "fit", "device")


@verb("audit")
def audit_images(
    images: str = typer.Argument(metavar="IMAGES_DIR", help="Folder of images, or a list or table of paths."),
    model: str = typer.Option(MODEL, help=ENCODER_HELP),
    arch: str = typer.Option(None, help="Architecture, where the model is a checkpoint."),
    detector: str = typer.Option(None, metavar="FILE", help="A detector that 'chinspect fit' wrote, as the model."),
    deploy: list[str] = typer.Option(
        ["pillow-bilinear"], help="A resizer that the detector may meet; may be given again."
    ),
    labels: str = typer.Option(None, metavar="folder|FILE", help="Classes: folder, or a table path,label."),
    confounder: str = typer.Option(
        None, metavar="folder|CSV", help="What should not make neighbours: folder, or a table path,confounder."
    ),
    mitigate: bool = typer.Option(False, "--mitigate", help="Mend what is confirmed, and test again."),
    workers: int = typer.Option(0, min=0, help="Explain with this many workers on Ray."),
    budget: float = typer.Option(None, metavar="MINUTES", help="Sample images, and leave steps out, so that it fits."),
    surrogates: int = typer.Option(99, min=0, help="Data sets of moved maps that p-values come from."),
    seed: int = typer.Option(0, min=0, help="Of whatever chance decides."),
    fail_on: str = typer.Option(
        None,
        metavar="confirmed|stress|candidate",
        help="Exit with 1 if there is such a finding, or a graver one: confirmed > stress > candidate.",
    ),
    junit: str = typer.Option(None, metavar="FILE", help="Write the findings as test cases, too."),
    baseline: str = typer.Option(None, metavar="DIR", help="An earlier run: what is new, gone and changed?"),
    fit: Fitting = None,
    out: Out = OUT,
    force: bool = typer.Option(False, "--force", help="Start anew where the folder holds an audit of something else."),
    device: Device = "auto",
) -> Answer:
    """Find, prove and, if asked, mend what a model goes by that it should not.

    The same command goes on where it was stopped, as long as nothing about it or the images changes. Open report.html.
    """
    if junit is not None:
        check_output_file(junit)
    if detector is None:
        without_effect("without --detector", "deploy")
    else:
        without_effect("with --detector", *_OF_ENCODERS)
        check_detector(detector)
    with loading(detector or model):
        from chinspect.audit import audit_detector, audit_model, check_baseline, check_gate, write_audit

        gate = cast("Status | None", fail_on)
        check_gate(gate)
        if baseline is not None:
            check_baseline(baseline)
        subject = _subject(model, arch, detector, device, fit)
    options: dict[str, Any] = {"mitigate": mitigate, "n_surrogates": surrogates, "path": out}
    options |= {"budget": budget, "force": force, "announce": _announce}
    with staged() as progress:
        options["progress"] = progress
        if detector is not None:
            audit = audit_detector(subject, images, deploy=deploy, random_state=seed, **options)
        else:
            options |= {"labels": labels, "confounder": confounder, "workers": workers}
            audit = audit_model(subject, images, seed=seed, **options)
    written = write_audit(audit, out, baseline=baseline, junit=junit, fail_on=gate)
    notes = [] if written.changes is None else [written.changes.sentence]
    return Answer.of(audit, written.files, notes=notes, failed=written.failed, interrupted=audit.stopped)


def _subject(model: str, arch: str | None, detector: str | None, device: str, fit: str | None) -> Any:
    if detector is not None:
        from chinspect.anomaly import load_detector

        return load_detector(detector)
    from chinspect.encoders import load_encoder

    return load_encoder(model, arch=arch, device=resolve_device(device)).fitted(cast("Fit | None", fit))


def _announce(plan: Plan) -> None:
    """On standard error, so that --json prints one document and nothing else."""
    for row in plan.tables()["plan"].itertuples():
        typer.echo(f"{row.minutes:5.1f} min  {row.step}: {row.what}", err=True)
    typer.echo(plan.sentence, err=True)
