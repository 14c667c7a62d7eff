"""Tables as JSON values and on the screen."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as JSON values, nan as null."""
    records: list[dict[str, Any]] = json.loads(table.to_json(orient="records"))
    return records


def print_table(frame: pd.DataFrame, title: str) -> None:
    """One line a row, numbers with three decimals, nan as a dash."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False, title=title, title_justify="left")
    for column in frame.columns:
        table.add_column(str(column).replace("_", " "))
    for row in frame.itertuples(index=False):
        table.add_row(*map(_cell, row))
    Console(highlight=False).print(table)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "-" if math.isnan(value) else f"{value:.3f}"
    return str(value)
