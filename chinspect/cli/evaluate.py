"""``chinspect evaluate``: what readouts make of an encoder, by subgroup."""

from __future__ import annotations

import typer

from chinspect.cli._artefact import ARTEFACT_HELP
from chinspect.cli.frame import ENCODER_HELP, Answer, status, verb


@verb("evaluate")
def evaluate_encoder(
    encoder: str = typer.Argument(metavar="ENCODER", help=ENCODER_HELP),
    data: str = typer.Argument(metavar="DATA_DIR", help="One folder a class, with train and test or val, or without."),
    groups: str = typer.Option(None, metavar="CSV", help="Columns path and group for the test images."),
    artefact: str = typer.Option(None, help="Also judge with it on every test image: " + ARTEFACT_HELP),
    cache: str = typer.Option(None, metavar="DIR", help="Keep embeddings there."),
    seed: int = typer.Option(0, help="Of the split, where the data have none."),
) -> Answer:
    """Judge linear readouts on an encoder by subgroup; a mitigated encoder is judged beside the one it comes from."""
    from chinspect import readouts
    from chinspect.artefacts import artefact_named
    from chinspect.encoders import load_encoder

    model = load_encoder(encoder)
    overlay = None if artefact is None else artefact_named(artefact)
    with status("embedding and judging"):
        scores = readouts.evaluate(model, data, artefact=overlay, groups=groups, cache=cache, seed=seed)
    return Answer(scores.document(), scores.show)
