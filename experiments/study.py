"""A table as CSV and as LaTeX."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from chinspect.files import replacing

INTERVALS = ("_low", "_high")
"""What the names of columns with the ends of intervals end with."""


def write_tables(table: pd.DataFrame, folder: Path, name: str, *, decimals: int = 2) -> None:
    """Writes ``name.csv``, and without the ends of intervals ``name.tex`` (booktabs), with some decimals."""
    with replacing(folder / f"{name}.csv") as path:
        table.to_csv(path, index=False)
    short = table[[column for column in table.columns if not column.endswith(INTERVALS)]]
    lines = [r"\begin{tabular}{" + "".join("r" if kind.kind in "iuf" else "l" for kind in short.dtypes) + "}"]
    lines += [r"\toprule", _row(short.columns, decimals), r"\midrule"]
    lines += [_row(row, decimals) for row in short.itertuples(index=False)]
    lines += [r"\bottomrule", r"\end{tabular}"]
    with replacing(folder / f"{name}.tex") as path:
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _row(values: Iterable[object], decimals: int) -> str:
    return " & ".join(_cell(value, decimals) for value in values) + r" \\"


def _cell(value: object, decimals: int) -> str:
    if isinstance(value, float):
        return "--" if pd.isna(value) else f"{value:.{decimals}f}"
    text = "--" if value is None else str(value)
    for sign in "&%_#":
        text = text.replace(sign, "\\" + sign)
    return text
