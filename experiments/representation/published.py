"""How the tables of the representation study are written, and which of the paper's encoders stands beside which."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
from spray_tables import INTERVALS, write_tables

KINDS = ("clip", "simclr", "barlowtwins", "supervised")


def kind_of(name: str) -> str:
    """The objective that a name such as "tiny-clip" or "clip-rn50-gap" speaks of, or nothing."""
    return next((part for part in re.split(r"[\W_]", name.lower()) if part in KINDS), "")


def write(table: pd.DataFrame, out: Path, name: str, *, decimals: int = 2) -> None:
    """A table as CSV, and without its intervals as LaTeX and on the screen."""
    write_tables(table, out, name, decimals=decimals)
    short = table[[column for column in table.columns if not column.endswith(INTERVALS)]]
    print(f"\n{name}\n{short.round(decimals).to_string(index=False)}", flush=True)
