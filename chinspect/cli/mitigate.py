"""``chinspect mitigate``: from a finding to an encoder that is free of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from chinspect.cli._artefact import ARTEFACT_HELP, load_artefact
from chinspect.cli._common import DEBUG, ENCODER_HELP, JSON, progress, resuming, status
from chinspect.cli._tables import print_table, records

if TYPE_CHECKING:
    import pandas as pd

    from chinspect.mitigate import PruningSearch

_PAIRS = 64
_EXPLAINED = 16
_COLUMNS = ["mitigation", "readout", "original", "shifted", "worst_group", "relevance_share", "similarity_shift"]
mitigate = typer.Typer(no_args_is_help=True, help="Remedies for encoders; the result is a folder that --model accepts.")


@mitigate.callback()
def _remedies() -> None:
    """Remedies for encoders."""


@mitigate.command("prune")
def prune(
    encoder: str = typer.Argument(metavar="ENCODER", help=ENCODER_HELP),
    artefact: str = typer.Option(..., help=ARTEFACT_HELP),
    data: str = typer.Option(..., metavar="DIR", help="Images in one folder a class, with train and test or without."),
    out: str = typer.Option(..., metavar="ENCODER_DIR", help="Folder of the mitigated encoder."),
    layer: list[str] = typer.Option([], help="A layer to choose from; may be given again. All of them by default."),
    k: str = typer.Option(
        "auto",
        help="How many channels: auto for the plateau on validation data, or a number, come what may.",
    ),
    rows: str = typer.Option("artefact", help="Prune the rows of a map that the artefact reaches, or all."),
    max_cost: float = typer.Option(0.01, help="Clean accuracy that the plateau may cost."),
    seed: int = typer.Option(0, help="Of splits and of the random control."),
    as_json: bool = JSON,
    debug: bool = DEBUG,  # noqa: ARG001, read by main
) -> None:
    """Silence the channels of an encoder that respond to an artefact, as many as validation data ask for.

    A quarter of the training images is held out to choose on; the test images judge the result, beside the encoder
    before and as many random channels. Exit with 1 if none helps by more than chance and
    --k names no number: then nothing is written.
    """
    from chinspect.encoders import load_encoder
    from chinspect.encoders.edits import edited
    from chinspect.errors import InputError
    from chinspect.mitigate import check_encoder_folder, compare_mitigations, finding, save_encoder, search_pruning
    from chinspect.readouts import folder_task, load_classes, split

    if rows not in ("artefact", "all"):
        raise InputError(f"--rows must be artefact or all, not {rows!r}.")
    check_encoder_folder(out)
    before, mark, whole = load_encoder(encoder), load_artefact(artefact), load_classes(data, seed=seed)
    view = before.preprocessing
    task = folder_task(split(whole.train, 0.25, seed=seed), mark).seen_by(view)
    pairs = task.test["shifted"][:_PAIRS], task.test["original"][:_PAIRS]
    with progress("judging prunings") as report:
        options: dict[str, Any] = {"layers": layer or None, "k": _count(k), "rows": rows, "max_cost": max_cost}
        found = search_pruning(before, task, *pairs, seed=seed, progress=report, **options)
    if found.edit is None or found.control is None:
        _print_search(found, as_json)
        raise typer.Exit(1)
    after = edited(before, found.edit)
    judged = folder_task(whole, mark).seen_by(view)
    shown = judged.test["shifted"][:_EXPLAINED], judged.test["original"][:_EXPLAINED]
    with status("judging the result"):
        remedies = {"none": before, "pruned": after, "random channels": edited(before, found.control)}
        table = compare_mitigations(remedies, judged, *shown, control="random channels")
    evidence = _searched(found) | {"table": records(table)}
    evidence |= {"finding": finding(table, "pruned", "random channels")}
    evidence |= {"artefact": mark.name, "data": str(data), "seed": seed}
    folder = save_encoder(after, out, evidence=evidence)
    _report(found, table, folder, evidence, as_json)


@mitigate.command("unlearn")
def unlearn(
    encoder: str = typer.Argument(metavar="ENCODER", help=ENCODER_HELP),
    artefact: str = typer.Option(..., help=ARTEFACT_HELP),
    data: str = typer.Option(..., metavar="DIR", help="Images in one folder a class, with train and test or without."),
    out: str = typer.Option(..., metavar="ENCODER_DIR", help="Folder of the mitigated encoder."),
    epochs: int = typer.Option(10, help="Passes over the training images."),
    learning_rate: float = typer.Option(1e-4, help="Of AdamW; large models want less, such as 1e-5."),
    batch_size: int = typer.Option(32, help="Images a step."),
    seed: int = typer.Option(0, help="Of the split, of order and places, and of the control."),
    as_json: bool = JSON,
    debug: bool = DEBUG,  # noqa: ARG001, read by main
) -> None:
    """Fine-tune an encoder until images with an artefact lie where they lie without it; classes are not used.

    The test images judge the result, beside the encoder before and a control, which unlearns a random patch that
    changes images as much. An interrupted run goes on at its last epoch.
    """
    from chinspect.encoders import load_encoder
    from chinspect.mitigate import RESUME, Schedule, check_encoder_folder, compare_mitigations, finding, save_encoder
    from chinspect.mitigate import unlearn as train
    from chinspect.proof import random_patch
    from chinspect.readouts import folder_task, load_classes, seen

    schedule = Schedule(epochs=epochs, learning_rate=learning_rate, batch_size=batch_size, seed=seed)
    check_encoder_folder(out)
    before, mark, whole = load_encoder(encoder), load_artefact(artefact), load_classes(data, seed=seed)
    task = folder_task(whole, mark).seen_by(before.preprocessing)
    patch = random_patch(mark, [seen(picture, before.preprocessing) for picture in task.train[:_PAIRS]], seed)
    with resuming(Path(out) / RESUME) as kept:
        with progress("unlearning") as report:
            found = train(before, mark, task, schedule=schedule, checkpoints=kept, progress=report)
        with progress("unlearning a random patch") as report:
            control = train(before, patch, task, schedule=schedule, checkpoints=kept, progress=report)
        shown = task.test["shifted"][:_EXPLAINED], task.test["original"][:_EXPLAINED]
        with status("judging the result"):
            remedies = {"none": before, "unlearnt": found.encoder, "random patch": control.encoder}
            table = compare_mitigations(remedies, task, *shown, control="random patch")
        evidence: dict[str, Any] = {"history": records(found.history), "table": records(table)}
        evidence |= {"finding": finding(table, "unlearnt", "random patch")}
        evidence |= {"artefact": mark.name, "data": str(data), "seed": seed}
        written = save_encoder(found.encoder, out, evidence=evidence)
    if as_json:
        typer.echo(json.dumps(evidence | {"encoder": str(written)}, indent=2))
        return
    print_table(found.history, "epochs; relevance and similarity on the test images")
    print_table(table[_COLUMNS], "on the test images")
    typer.echo(f"{evidence['finding']}\nwrote {written}")


def _count(k: str) -> int | None:
    from chinspect.errors import InputError

    if k == "auto":
        return None
    if not k.isdecimal() or int(k) < 1:
        raise InputError(f"--k must be a positive number or auto, not {k!r}.")
    return int(k)


def _searched(found: PruningSearch) -> dict[str, Any]:
    tables = {"layers": records(found.layers), "curve": records(found.curve)}
    return tables | {"k": found.k, "p_value": found.p_value}


def _report(found: PruningSearch, table: pd.DataFrame, folder: Path, evidence: dict[str, Any], as_json: bool) -> None:
    assert found.edit is not None
    if as_json:
        edit = {"layer": found.edit.layer, "channels": list(found.edit.channels), "rows": found.edit.rows}
        typer.echo(json.dumps(evidence | {"edit": edit, "encoder": str(folder)}, indent=2))
        return
    _print_search(found, as_json)
    print_table(table[_COLUMNS], "on the test images")
    where = "all rows" if found.edit.rows is None else f"rows {found.edit.rows[0]} to {found.edit.rows[1]}"
    channels = "1 channel" if found.k == 1 else f"{found.k} channels"
    typer.echo(f"{evidence['finding']}\npruned {channels} of {found.edit.layer} in {where}\nwrote {folder}")


def _print_search(found: PruningSearch, as_json: bool) -> None:
    if as_json:
        empty = {
            "layers": records(found.layers),
            "curve": records(found.curve),
            "k": 0,
            "p_value": found.p_value,
            "edit": None,
        }
        typer.echo(json.dumps(empty, indent=2))
        return
    print_table(found.layers.drop(columns="cheap"), "layers, on validation images")
    print_table(found.curve, "channels, on validation images")
    if found.edit is None:
        typer.echo(f"no pruning helps by more than chance (p = {found.p_value:.2g}): nothing is written")
