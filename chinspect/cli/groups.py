"""``chinspect groups``: groups that nobody has labelled, and a head that is right for all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from chinspect.cli.frame import (
    ENCODER_HELP,
    MODEL,
    OUT,
    Answer,
    Device,
    Force,
    Out,
    loading,
    progress,
    resolve_device,
    verb,
)
from chinspect.files import claim_folder

_METHOD_HELP = (
    "Groups from explanations of a head (exmap) or of similarities, without any head (neighbours), from features "
    "(george), loss, or class."
)


@verb("groups")
def find_groups(
    data: str = typer.Argument(metavar="DATA", help="One folder a class, with train and test or val, or without."),
    model: str = typer.Option(MODEL, help=ENCODER_HELP),
    method: str = typer.Option("exmap", help=_METHOD_HELP),
    head: str = typer.Option("dfr", help="dfr, jtt, groupdro or afr; with --train all jtt or groupdro."),
    train: str = typer.Option(
        "head",
        metavar="head|all",
        help="Fit a head on frozen embeddings, or train the entire network, which is slow.",
    ),
    groups: str = typer.Option(None, metavar="TRUE.csv", help="Columns path and group: true groups, which judge."),
    cache: str = typer.Option(None, metavar="DIR", help="Keep embeddings there."),
    seed: int = typer.Option(0, help="Of splits, clusterings and heads."),
    out: Out = OUT,
    force: Force = False,
    device: Device = "auto",
) -> Answer:
    """Group images by what a head decides them by, and fit a head that is right for every group (ExMap, DFR).

    With --train all the folder is also an encoder, which --model accepts; an interrupted run goes on at its last epoch.
    """
    names = ["regrouping", "accuracy", "each", "head.safetensors", "card.toml"]
    claim_folder(out, names, inputs=[data, model, groups], force=force)
    with loading(model):
        from chinspect.encoders import load_encoder
        from chinspect.mitigate import RESUME, check_encoder_folder, group_remedy

        if train == "all":
            check_encoder_folder(out)
        encoder = load_encoder(model, device=resolve_device(device))
    options: dict[str, Any] = {"method": method, "head": head, "train": train, "seed": seed}
    with progress("explaining, then training") as count:
        remedy = group_remedy(
            encoder, data, **options, groups=groups, cache=cache, checkpoints=Path(out) / RESUME, progress=count
        )
    return Answer.of(remedy, remedy.save(out))
