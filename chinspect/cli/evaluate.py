"""``chinspect evaluate``: what readouts make of an encoder by subgroup, and a confounder of its embeddings."""

from __future__ import annotations

import typer

from chinspect.cli._artefact import ARTEFACT_HELP
from chinspect.cli.frame import ENCODER_HELP, MODEL, Answer, Force, loading, status, verb, without_effect
from chinspect.files import claim_folder

_CONFOUNDER_HELP = (
    "Measure the robustness to it instead: a CSV with the columns path and confounder, or 'folder' for images in "
    "CLASS/CONFOUNDER/."
)


@verb("evaluate")
def evaluate_encoder(
    data: str = typer.Argument(
        metavar="DATA",
        help="One folder a class, with train and test or val, or without; with --confounder also a table with the "
        "columns path and label.",
    ),
    model: str = typer.Option(MODEL, help=ENCODER_HELP),
    groups: str = typer.Option(None, metavar="CSV", help="Columns path and group for the test images."),
    artefact: str = typer.Option(None, help="Also judge with it on every test image: " + ARTEFACT_HELP),
    confounder: str = typer.Option(None, metavar="CSV|folder", help=_CONFOUNDER_HELP),
    k: int = typer.Option(11, min=1, help="Neighbours of the robustness index, beside its curve."),
    cache: str = typer.Option(None, metavar="DIR", help="Keep embeddings there."),
    seed: int = typer.Option(0, help="Of the split, where the data have none, and of other draws."),
    out: str = typer.Option(None, "--out", metavar="DIR", help="Write tables, and the figure where there is one."),
    force: Force = False,
) -> Answer:
    """Judge linear readouts on an encoder by subgroup; a mitigated encoder is judged beside the one it comes from.

    With --confounder: does the class or the confounder, such as the hospital, make images neighbours?
    """
    from chinspect.errors import InputError

    if confounder is not None and (groups, artefact) != (None, None):
        raise InputError("--confounder asks another question than --groups and --artefact: give it alone.")
    if confounder is None:
        without_effect("without --confounder, whose neighbours it counts", "k")
    if out is None:
        without_effect("without --out", "force")
    else:
        names = ["readouts", "rows", "worst", "classes", "confusion"]
        if confounder is not None:
            names = ["confounding", "cells", "index", "measures"]
        claim_folder(out, names, inputs=[data, model, groups, artefact, confounder], force=force)
    with loading(model):
        from chinspect import readouts
        from chinspect.artefacts import artefact_named
        from chinspect.encoders import load_encoder
        from chinspect.report import Result

        encoder = load_encoder(model)
        overlay = None if artefact is None else artefact_named(artefact)
    scores: Result
    with status("embedding and judging"):
        if confounder is None:
            scores = readouts.evaluate(encoder, data, artefact=overlay, groups=groups, cache=cache, seed=seed)
        else:
            scores = readouts.confounding(encoder, data, confounder, k=k, cache=cache, seed=seed)
    if out is None:
        return Answer(scores.document(), scores.show)
    return Answer.of(scores, scores.save(out))
