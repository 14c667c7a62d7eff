"""A table as CSV and as LaTeX."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from chinspect.files import replacing


def write_tables(table: pd.DataFrame, folder: Path, name: str) -> None:
    """Writes ``name.csv`` and ``name.tex`` (booktabs), numbers with two decimals."""
    with replacing(folder / f"{name}.csv") as path:
        table.to_csv(path, index=False)
    lines = [r"\begin{tabular}{" + "".join("r" if kind.kind in "iuf" else "l" for kind in table.dtypes) + "}"]
    lines += [r"\toprule", _row(table.columns), r"\midrule", *(_row(row) for row in table.itertuples(index=False))]
    lines += [r"\bottomrule", r"\end{tabular}"]
    with replacing(folder / f"{name}.tex") as path:
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _row(values: object) -> str:
    return " & ".join(map(_cell, values)) + r" \\"  # type: ignore[call-overload]


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "--" if pd.isna(value) else f"{value:.2f}"
    text = str(value)
    for sign in "&%_#":
        text = text.replace(sign, "\\" + sign)
    return text
