"""``chinspect mitigate``: from a finding to an encoder that is free of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from chinspect.cli._artefact import ARTEFACT_HELP
from chinspect.cli.frame import ENCODER_HELP, MODEL, Answer, Force, app, loading, progress, verb, without_effect
from chinspect.errors import InputError
from chinspect.files import claim_folder

if TYPE_CHECKING:
    from chinspect.mitigate import Remedy

mitigate_app = typer.Typer(
    no_args_is_help=True, help="Remedies for encoders; the result is a folder that --model accepts."
)
app.add_typer(mitigate_app, name="mitigate")

_DATA_HELP = "Images in one folder a class, with train and test or without."
_OUT_HELP = "Folder of the mitigated encoder."


@mitigate_app.callback()
def _remedies() -> None:
    """Remedies for encoders."""


@verb("prune", of=mitigate_app)
def prune(
    model: str = typer.Option(MODEL, help=ENCODER_HELP),
    artefact: str = typer.Option(..., help=ARTEFACT_HELP),
    data: str = typer.Option(..., metavar="DIR", help=_DATA_HELP),
    out: str = typer.Option(..., metavar="ENCODER_DIR", help=_OUT_HELP),
    layer: list[str] = typer.Option([], help="A layer to choose from; may be given again. All of them by default."),
    k: str = typer.Option(
        "auto", help="How many channels: auto for the plateau on validation data, or a number, come what may."
    ),
    rows: str = typer.Option("artefact", help="Prune the rows of a map that the artefact reaches, or all."),
    max_cost: float = typer.Option(0.01, help="Clean accuracy that the plateau may cost."),
    seed: int = typer.Option(0, help="Of splits and of the random control."),
    force: Force = False,
) -> Answer:
    """Silence the channels of an encoder that respond to an artefact, as many as validation data ask for.

    A quarter of the training images is held out to choose on; the test images judge the result, beside the encoder
    before and as many random channels. Where none helps by more than chance, and --k names no number, nothing is
    written and the exit status is 1.
    """
    if rows not in ("artefact", "all"):
        raise InputError(f"--rows must be artefact or all, not {rows!r}.")
    if k != "auto" and not (k.isdecimal() and int(k) > 0):
        raise InputError(f"--k must be a positive number or auto, not {k!r}.")
    if k != "auto":
        without_effect("beside --k, which decides how many channels, come what may", "max_cost")
    claim_folder(out, ["card.toml"], inputs=[model, artefact, data], force=force)
    with loading(model):
        from chinspect.artefacts import artefact_named
        from chinspect.encoders import load_encoder
        from chinspect.mitigate import check_encoder_folder
        from chinspect.mitigate import prune as find_pruning

        check_encoder_folder(out)
    options: dict[str, Any] = {"layers": layer or None, "k": None if k == "auto" else int(k), "rows": rows}
    with progress("judging prunings") as report:
        remedy = find_pruning(
            load_encoder(model),
            artefact_named(artefact),
            data,
            **options,
            max_cost=max_cost,
            seed=seed,
            progress=report,
        )
    return _answer(remedy, out)


@verb("unlearn", of=mitigate_app)
def unlearn(
    model: str = typer.Option(MODEL, help=ENCODER_HELP),
    artefact: str = typer.Option(..., help=ARTEFACT_HELP),
    data: str = typer.Option(..., metavar="DIR", help=_DATA_HELP),
    out: str = typer.Option(..., metavar="ENCODER_DIR", help=_OUT_HELP),
    epochs: int = typer.Option(10, help="Passes over the training images."),
    learning_rate: float = typer.Option(1e-4, help="Of AdamW; large models want less, such as 1e-5."),
    batch_size: int = typer.Option(32, help="Images a step."),
    seed: int = typer.Option(0, help="Of the split, of the order of images, and of the control."),
    force: Force = False,
) -> Answer:
    """Fine-tune an encoder until images with an artefact lie where they lie without it; classes are not used.

    The test images judge the result, beside the encoder before and a control, which unlearns a random patch that
    changes images as much. An interrupted run goes on at its last epoch.
    """
    claim_folder(out, ["card.toml"], inputs=[model, artefact, data], force=force)
    with loading(model):
        from chinspect.artefacts import artefact_named
        from chinspect.encoders import load_encoder
        from chinspect.mitigate import RESUME, Schedule, check_encoder_folder
        from chinspect.mitigate import unlearn as train

        check_encoder_folder(out)
    schedule = Schedule(epochs=epochs, learning_rate=learning_rate, batch_size=batch_size, seed=seed)
    with progress("unlearning, then the control") as report:
        remedy = train(
            load_encoder(model),
            artefact_named(artefact),
            data,
            schedule=schedule,
            checkpoints=Path(out) / RESUME,
            progress=report,
        )
    return _answer(remedy, out)


def _answer(remedy: Remedy, out: str) -> Answer:
    """The remedy, written to a folder if there is one."""
    if not remedy.helps:
        return Answer(remedy.document(), remedy.show, failed=True)
    folder = Path(out)
    remedy.save(folder)

    def show() -> None:
        remedy.show()
        typer.echo(f"wrote {folder}")

    return Answer(remedy.document() | {"encoder": str(folder)}, show)
