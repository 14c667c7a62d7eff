"""Tables: as JSON values, as files, and on the screen."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from chinspect.files import replacing
from chinspect.report.documents import plain

_UNBOUNDED = 10_000  # letters: no file name is longer than 4,096


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as JSON values, NaN as None."""
    rows: list[dict[str, Any]] = plain(table.to_dict("records"))
    return rows


def write_table(folder: Path, name: str, table: pd.DataFrame) -> list[Path]:
    """Writes ``name.csv`` and ``name.parquet``; of a table without rows, removes what an earlier run left."""
    csv = folder / f"{name}.csv"
    parquet = folder / f"{name}.parquet"
    if not len(table):
        csv.unlink(missing_ok=True)
        parquet.unlink(missing_ok=True)
        return []
    with replacing(csv) as temporary:
        table.to_csv(temporary, index=False)
    with replacing(parquet) as temporary:
        table.to_parquet(temporary, index=False)
    return [csv, parquet]


def print_table(table: pd.DataFrame, title: str = "") -> None:
    """One line a row, numbers with three decimals, NaN as a dash; text is shown as it is, whatever it holds.

    A terminal wraps what is too wide for it; in a pipe or a file lines are as long as they are.
    """
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_UNBOUNDED)
    if title:
        console.print(escape(title), style="bold")
    shown = Table(box=None, header_style="dim", pad_edge=False)
    for column in table.columns:
        shown.add_column(escape(str(column).replace("_", " ")), overflow="fold")
    for row in table.itertuples(index=False):
        shown.add_row(*(escape(cell(value)) for value in row))
    console.print(shown)


def cell(value: Any) -> str:
    """A value as it stands in a table."""
    if isinstance(value, float):
        return "-" if math.isnan(value) else f"{value:.3f}"
    return "" if value is None else str(value)
