"""``chinspect known``: published Clever Hans effects, measured again."""

from __future__ import annotations

import typer

from chinspect.cli._artefact import ARTEFACT_HELP
from chinspect.cli.frame import ENCODER_HELP, MODEL, OUT, Answer, Force, Out, app, loading, progress, verb
from chinspect.errors import InputError
from chinspect.files import claim_folder

known_app = typer.Typer(help="Published Clever Hans effects: a list, and 'run' to measure one on a model.")
app.add_typer(known_app, name="known")


@verb("known", of=known_app, default=True)
def list_known(
    data: str = typer.Option(None, metavar="DIR", help="Say which effects can be measured on this folder."),
) -> Answer:
    """List the known effects: what they are, what they need, and what is missing here."""
    from chinspect.known import list_effects

    effects = list_effects(data)
    return Answer(effects.document()["effects"], effects.show)


@verb("run", of=known_app)
def run_known(
    name: str = typer.Argument(metavar="NAME", help="An effect; see 'chinspect known'."),
    model: str = typer.Option(MODEL, help=ENCODER_HELP),
    data: str = typer.Option(..., metavar="DIR", help="The images of the effect; see 'chinspect known'."),
    images: int = typer.Option(1000, min=2, help="How many at most, drawn at random."),
    seed: int = typer.Option(0, help="Of what chance decides."),
    out: Out = OUT,
    force: Force = False,
) -> Answer:
    """Measure a known effect on a model, with intervals and controls, beside what is published."""
    claim_folder(out, ["known", "measured", "published"], inputs=[model, data], force=force)
    with loading(model):
        from chinspect.known import measure
    with progress("measuring") as count:
        measurement = measure(name, model, data, images=images, seed=seed, progress=count)
    return Answer.of(measurement, measurement.save(out))


@verb("compare")
def compare_models(
    models: list[str] = typer.Argument(metavar="MODEL...", help=ENCODER_HELP),
    data: str = typer.Option(
        ..., metavar="DIR", help="Images; in the layout of a known effect it is measured as well."
    ),
    artefact: str = typer.Option(None, help="Also measure the reliance on it: " + ARTEFACT_HELP),
    images: int = typer.Option(200, min=3, help="How many at most, drawn at random."),
    seed: int = typer.Option(0, help="Of what chance decides."),
    out: Out = OUT,
    force: Force = False,
) -> Answer:
    """Compare encoders: known effects, acquisition traces, reliance on an artefact, strategies, in one table."""
    repeated = [name for i, name in enumerate(models) if name in models[:i]]
    if repeated:
        raise InputError(f"the model {repeated[0]!r} is named twice: a comparison with itself says nothing.")
    claim_folder(out, ["comparison", "measured"], inputs=[*models, data, artefact], force=force)
    with loading("models"):
        from chinspect.artefacts import artefact_named
        from chinspect.known import compare

        overlay = None if artefact is None else artefact_named(artefact)
    with progress("comparing") as count:
        comparison = compare(models, data, artefact=overlay, images=images, seed=seed, progress=count)
    return Answer.of(comparison, comparison.save(out))
