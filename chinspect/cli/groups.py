"""``chinspect groups``: groups that nobody has labelled, and a head that is right for all of them."""

from __future__ import annotations

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


@verb("groups")
def find_groups(
    data: str = typer.Argument(metavar="DATA", help="One folder a class, with train and test or val, or without."),
    model: str = typer.Option(MODEL, help=ENCODER_HELP),
    method: str = typer.Option("exmap", help="Groups from explanations (exmap), features (george), loss, or class."),
    head: str = typer.Option("dfr", help="dfr, jtt, groupdro or afr."),
    groups: str = typer.Option(None, metavar="TRUE.csv", help="Columns path and group: true groups, which judge."),
    cache: str = typer.Option(None, metavar="DIR", help="Keep embeddings there."),
    seed: int = typer.Option(0, help="Of splits, clusterings and heads."),
    out: Out = OUT,
    force: Force = False,
    device: Device = "auto",
) -> Answer:
    """Group images by what a head decides them by, and fit a head that is right for every group (ExMap, DFR)."""
    claim_folder(out, ["regrouping", "accuracy", "each", "head.safetensors"], inputs=[data, model, groups], force=force)
    with loading(model):
        from chinspect.encoders import load_encoder
        from chinspect.groups import regroup

        encoder = load_encoder(model, device=resolve_device(device))
    with progress("explaining") as count:
        found = regroup(encoder, data, method=method, head=head, groups=groups, cache=cache, seed=seed, progress=count)
    return Answer.of(found, found.save(out))
