"""``chinspect known``: published Clever Hans effects, measured again."""

from __future__ import annotations

import typer

from chinspect.cli.frame import ENCODER_HELP, OUT, Answer, Out, app, progress, verb

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
    model: str = typer.Option("efficientnet-lite0", help=ENCODER_HELP),
    data: str = typer.Option(..., metavar="DIR", help="The images of the effect; see 'chinspect known'."),
    images: int = typer.Option(1000, min=2, help="How many at most, drawn at random."),
    seed: int = typer.Option(0, help="Of what chance decides."),
    out: Out = OUT,
) -> Answer:
    """Measure a known effect on a model, with intervals and controls, beside what is published."""
    from chinspect.files import check_output_folder
    from chinspect.known import measure

    check_output_folder(out)
    with progress("measuring") as count:
        measurement = measure(name, model, data, images=images, seed=seed, progress=count)
    return Answer.of(measurement, measurement.save(out))
