"""``chinspect mitigate prune`` and ``chinspect evaluate``: from a finding to an encoder that is free of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from chinspect.cli._common import DEBUG, JSON, progress, status

if TYPE_CHECKING:
    import pandas as pd

    from chinspect.mitigate import PruningSearch
    from chinspect.stress import Artefact

ARTEFACT_HELP = (
    "logo, watermark, border, rounded-corners, patch, annotation; an artefact with its .json; or a PNG file with "
    "transparency, which is put into the lower left corner."
)
_PAIRS = 64
_EXPLAINED = 16
_LOGO_WIDTH = 0.4  # of the image, as in Kauffmann et al. 2025
mitigate = typer.Typer(no_args_is_help=True, help="Remedies for encoders; the result is a folder that --model accepts.")


@mitigate.callback()
def _remedies() -> None:
    """Remedies for encoders."""


@mitigate.command("prune")
def prune(
    encoder: str = typer.Argument(metavar="ENCODER", help="An encoder (see 'chinspect models')."),
    artefact: str = typer.Option(..., help=ARTEFACT_HELP),
    data: str = typer.Option(..., metavar="DIR", help="Images in one folder a class, with train and test or without."),
    out: str = typer.Option(..., metavar="ENCODER_DIR", help="Folder of the mitigated encoder."),
    layer: list[str] = typer.Option([], help="A layer to choose from; may be given again. All of them by default."),
    k: str = typer.Option("auto", help="How many channels: a number, or auto for the plateau on validation data."),
    rows: str = typer.Option("artefact", help="Prune the rows of a map that the artefact reaches, or all."),
    max_cost: float = typer.Option(0.01, help="Clean accuracy that the plateau may cost."),
    seed: int = typer.Option(0, help="Of splits and of the random control."),
    as_json: bool = JSON,
    debug: bool = DEBUG,  # noqa: ARG001, read by main
) -> None:
    """Silence the channels of an encoder that respond to an artefact, as many as validation data ask for.

    A quarter of the training images is held out to choose on; the test images judge the result, beside the encoder
    before and as many random channels. Exit with 1 if no pruning helps: then nothing is written.
    """
    from chinspect.encoders import load_encoder
    from chinspect.errors import InputError
    from chinspect.mitigate import compare_mitigations, edited, save_encoder, search_pruning
    from chinspect.readouts import folder_task, load_classes, split

    if rows not in ("artefact", "all"):
        raise InputError(f"--rows must be artefact or all, not {rows!r}.")
    before, mark, whole = load_encoder(encoder), load_artefact(artefact), load_classes(data, seed=seed)
    task = folder_task(split(whole.train, 0.25, seed=seed), mark)
    pairs = task.test["shifted"][:_PAIRS], task.test["original"][:_PAIRS]
    with progress("judging prunings") as report:
        options: dict[str, Any] = {"layers": layer or None, "k": _count(k), "rows": rows, "max_cost": max_cost}
        found = search_pruning(before, task, *pairs, seed=seed, progress=report, **options)
    if found.edit is None or found.control is None:
        _print_search(found, as_json)
        raise typer.Exit(1)
    after = edited(before, found.edit)
    judged = folder_task(whole, mark)
    shown = judged.test["shifted"][:_EXPLAINED], judged.test["original"][:_EXPLAINED]
    with status("judging the result"):
        remedies = {"none": before, "pruned": after, "random channels": edited(before, found.control)}
        table = compare_mitigations(remedies, judged, *shown)
    evidence = _evidence(found, table) | {"artefact": mark.name, "data": str(data), "seed": seed}
    folder = save_encoder(after, out, evidence=evidence)
    _report(found, table, folder, evidence, as_json)


def evaluate(
    encoder: str = typer.Argument(metavar="ENCODER", help="An encoder, or the folder of a mitigated one."),
    data: str = typer.Argument(metavar="DATA_DIR", help="One folder a class, with train and test or val, or without."),
    groups: str = typer.Option(None, metavar="CSV", help="Columns path and group for the test images."),
    artefact: str = typer.Option(None, help="Also judge with it on every test image: " + ARTEFACT_HELP),
    cache: str = typer.Option(None, metavar="DIR", help="Keep embeddings there."),
    seed: int = typer.Option(0, help="Of the split, where the data have none."),
    as_json: bool = JSON,
    debug: bool = DEBUG,  # noqa: ARG001, read by main
) -> None:
    """Judge linear readouts on an encoder by subgroup; a mitigated encoder is judged beside the one it comes from."""
    import pandas as pd

    from chinspect.encoders import load_encoder
    from chinspect.mitigate import EditedEncoder
    from chinspect.readouts import folder_task, load_classes, read_groups

    loaded = load_encoder(encoder)
    chosen = load_classes(data, seed=seed)
    mark = None if artefact is None else load_artefact(artefact)
    task = folder_task(chosen, mark, None if groups is None else read_groups(groups, chosen.test))
    judged = {"": loaded}
    if isinstance(loaded, EditedEncoder):
        judged = {"": loaded.base, "mitigated, ": loaded}
    with status("embedding and judging"):
        tables = []
        for prefix, one in judged.items():
            table = task.score(one, cache=cache)
            tables.append(table.assign(state=prefix + table["state"]))
    table = pd.concat(tables, ignore_index=True)
    if as_json:
        document = {"encoder": encoder, "train": len(chosen.train), "test": len(chosen.test), "rows": _records(table)}
        typer.echo(json.dumps(document | {"worst": _records(_worst(table))}, indent=2))
        return
    _print_scores(table, f"{encoder}: {len(chosen.train)} images to fit on, {len(chosen.test)} to judge on")


def load_artefact(name: str) -> Artefact:
    """An artefact by its name, by its files, or from any PNG file with transparency."""
    from chinspect.stress import ARTEFACTS, Artefact

    if name in ARTEFACTS:
        return ARTEFACTS[name]()
    if Path(name).with_suffix(".json").is_file():
        return Artefact.load(name)
    return Artefact.from_file(name, width=_LOGO_WIDTH)


def _count(k: str) -> int | None:
    from chinspect.errors import InputError

    if k == "auto":
        return None
    if not k.isdecimal() or int(k) < 1:
        raise InputError(f"--k must be a positive number or auto, not {k!r}.")
    return int(k)


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as JSON values, nan as null."""
    records: list[dict[str, Any]] = json.loads(table.to_json(orient="records"))
    return records


def _worst(table: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    from chinspect.readouts import worst_group

    return pd.DataFrame([worst_group(rows) for _, rows in table.groupby(["readout", "state"], sort=False)])


def _evidence(found: PruningSearch, table: pd.DataFrame) -> dict[str, Any]:
    return {"layers": _records(found.layers), "curve": _records(found.curve), "k": found.k, "table": _records(table)}


def _report(found: PruningSearch, table: pd.DataFrame, folder: Path, evidence: dict[str, Any], as_json: bool) -> None:
    assert found.edit is not None
    if as_json:
        edit = {"layer": found.edit.layer, "channels": list(found.edit.channels), "rows": found.edit.rows}
        typer.echo(json.dumps(evidence | {"edit": edit, "encoder": str(folder)}, indent=2))
        return
    _print_search(found, as_json)
    columns = ["mitigation", "readout", "original", "shifted", "worst_group", "relevance_share", "similarity_shift"]
    _print_table(table[columns], "on the test images")
    where = "all rows" if found.edit.rows is None else f"rows {found.edit.rows[0]} to {found.edit.rows[1]}"
    typer.echo(f"pruned {found.k} channels of {found.edit.layer} in {where}\nwrote {folder}")


def _print_search(found: PruningSearch, as_json: bool) -> None:
    if as_json:
        empty = {"layers": _records(found.layers), "curve": _records(found.curve), "k": found.k, "edit": None}
        typer.echo(json.dumps(empty, indent=2))
        return
    _print_table(found.layers.drop(columns="cheap"), "layers, on validation images")
    _print_table(found.curve, "channels, on validation images")
    if found.edit is None:
        typer.echo("no pruning helps by more than chance: nothing is written")


def _print_scores(table: pd.DataFrame, title: str) -> None:
    """One row a readout and group, one column a state."""
    from chinspect.readouts import ALL

    states = table["state"].unique()
    wide = table.pivot(index=["readout", "group", "n"], columns="state", values="accuracy")[states].reset_index()
    wide = wide.sort_values(["readout", "group"], key=lambda column: column.where(column != ALL, ""), kind="stable")
    _print_table(wide, title)
    for row in _worst(table).itertuples():
        typer.echo(f"worst group, {row.readout}, {row.state}: {row.group} {row.accuracy:.1%}")


def _print_table(frame: pd.DataFrame, title: str) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False, title=title, title_justify="left")
    for column in frame.columns:
        table.add_column(str(column).replace("_", " "))
    for row in frame.itertuples(index=False):
        table.add_row(*(f"{value:.3f}" if isinstance(value, float) else str(value) for value in row))
    Console(highlight=False).print(table)
