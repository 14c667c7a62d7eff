"""What a table says of each image of a data set: its label, its group, its confounder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from chinspect.errors import InputError


def read_column(source: str | Path, names: Sequence[str], paths: Sequence[Path], column: str) -> list[str]:
    """A column of a table (.csv, .parquet) for each image, as texts.

    Args:
        source: the table, with a column ``path``, which names an image as the data set does (relative to its folder),
            or by where it lies, absolute or relative to the folder of the table; and with the column.
        names: (N,) of the images in the data set.
        paths: (N,) where they lie.
        column: its name, such as ``label``.

    Raises `InputError` if the table cannot be read, lacks a column, names an image twice, leaves one out, or has an
    empty cell for one.
    """
    path = Path(source)
    what = f"the {column}s {str(source)!r}"
    if not path.is_file():
        raise InputError(
            f"there is no file of {column}s {str(source)!r}: give a table (.csv, .parquet) with the columns path, "
            f"{column}."
        )
    table = read_frame(path)
    if not {"path", column} <= set(table.columns):
        raise InputError(f"{what} need the columns path and {column}, not {', '.join(map(str, table.columns))}.")
    named = dict(zip(map(str, table["path"]), table[column], strict=True))
    if len(named) < len(table):
        name, count = Counter(map(str, table["path"])).most_common(1)[0]
        raise InputError(f"{what} list {name!r} {count} times: list each image once.")
    placed = {(path.parent / name).resolve(): value for name, value in named.items()}
    values = [named.get(name, placed.get(place.resolve())) for name, place in zip(names, paths, strict=True)]
    missing = [name for name, value in zip(names, values, strict=True) if pd.isna(value) or not str(value).strip()]
    if missing:
        raise InputError(f"{what} leave out {len(missing)} images, such as {missing[0]!r}: add them.")
    return [str(value) for value in values]


def read_frame(path: Path) -> pd.DataFrame:
    """A table as it stands in a file, texts from CSV; `InputError` if it cannot be read."""
    try:
        if path.suffix.lower() == ".parquet":
            return pd.read_parquet(path)
        return pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (OSError, ValueError) as error:  # pandas' and pyarrow's own errors are among them
        raise InputError(f"the table {str(path)!r} cannot be read ({error}).") from error
