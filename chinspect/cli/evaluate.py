"""``chinspect evaluate``: what readouts make of an encoder, by subgroup."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import typer

from chinspect.cli._artefact import ARTEFACT_HELP, load_artefact
from chinspect.cli._common import DEBUG, ENCODER_HELP, JSON, status
from chinspect.cli._tables import print_table, records

if TYPE_CHECKING:
    import pandas as pd

    from chinspect.encoders import Encoder
    from chinspect.readouts import Task


def evaluate(
    encoder: str = typer.Argument(metavar="ENCODER", help=ENCODER_HELP),
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
    from chinspect.encoders.edits import EditedEncoder
    from chinspect.readouts import folder_task, load_classes, read_groups

    loaded = load_encoder(encoder)
    chosen = load_classes(data, seed=seed)
    mark = None if artefact is None else load_artefact(artefact)
    task = folder_task(chosen, mark, None if groups is None else read_groups(groups, chosen.test))
    judged = {"": loaded}
    if isinstance(loaded, EditedEncoder):
        judged = {"": loaded.base, "mitigated, ": loaded}
    with status("embedding and judging"):
        predicted = pd.concat([_predicted(task, one, prefix, cache) for prefix, one in judged.items()])
    table, errors = task.score_predictions(predicted), _errors(predicted)
    if as_json:
        document = {"encoder": encoder, "train": len(chosen.train), "test": len(chosen.test), "rows": records(table)}
        document |= {
            "worst": records(_worst(table)),
            "classes": records(errors),
            "confusion": records(_confusion(predicted)),
        }
        typer.echo(json.dumps(document, indent=2))
        return
    _print_scores(table, errors, f"{encoder}: {len(chosen.train)} images to fit on, {len(chosen.test)} to judge on")


def _predicted(task: Task, encoder: Encoder, prefix: str, cache: str | None) -> pd.DataFrame:
    table = task.predict(encoder, cache=cache)
    return table.assign(state=prefix + table["state"])


def _worst(table: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    from chinspect.readouts import worst_group

    return pd.DataFrame([worst_group(rows) for _, rows in table.groupby(["readout", "state"], sort=False)])


def _errors(predicted: pd.DataFrame) -> pd.DataFrame:
    from chinspect.readouts import each_state, score_classes

    return each_state(predicted, lambda rows: score_classes(rows["label"], rows["predicted"]))


def _confusion(predicted: pd.DataFrame) -> pd.DataFrame:
    """Numbers of images by label and prediction, those that are not 0."""
    from chinspect.readouts import confusion, each_state

    def counts(rows: pd.DataFrame) -> pd.DataFrame:
        return confusion(rows["label"], rows["predicted"]).reset_index().melt("label", value_name="n")

    table = each_state(predicted, counts)
    return table[table["n"] > 0]


def _print_scores(table: pd.DataFrame, errors: pd.DataFrame, title: str) -> None:
    """One row a readout and group, one column a state; below, who pays, and what they are taken for."""
    from chinspect.readouts import ALL

    states = table["state"].unique()
    wide = table.pivot(index=["readout", "group", "n"], columns="state", values="accuracy")[states].reset_index()
    wide = wide.sort_values(["readout", "group"], key=lambda column: column.where(column != ALL, ""), kind="stable")
    print_table(wide, title)
    for row in _worst(table).itertuples():
        own = errors[(errors["readout"] == row.readout) & (errors["state"] == row.state)]
        most = own.sort_values("fpr", na_position="first").iloc[-1]
        called = "no false calls"
        if most["fpr"] > 0:
            called = f"most false calls {most['class']}, {most['fpr']:.1%} of all others"
        typer.echo(f"{row.readout}, {row.state}: worst group {row.group}, {row.accuracy:.1%} right; {called}")
