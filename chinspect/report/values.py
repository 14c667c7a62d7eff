"""Values as text in the cells of a page, and nested facts as rows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from chinspect.report.documents import plain

_SHORT = 12  # values of a list that stand in one row


def shown(value: Any) -> str:
    """A value of a table: numbers with four digits, NaN and None as nothing, booleans in words.

    >>> shown(0.123456), shown(12345.6), shown(float("nan")), shown(True), shown("a")
    ('0.1235', '12,346', '', 'yes', 'a')
    """
    entry = plain(value)
    if entry is None:
        return ""
    if isinstance(entry, bool):
        return "yes" if entry else "no"
    if isinstance(entry, float):
        return f"{entry:,.0f}" if abs(entry) >= 1_000 else f"{entry:.4g}"
    if isinstance(entry, list):
        return ", ".join(shown(one) for one in entry)
    return str(entry)


def cells(table: pd.DataFrame, most: int) -> tuple[list[str], list[list[str]], list[bool]]:
    """Titles of columns, the first rows as texts, and which columns hold numbers."""
    columns = [str(column).replace("_", " ") for column in table.columns]
    rows = [[shown(value) for value in row] for row in table.head(most).itertuples(index=False)]
    return columns, rows, [_is_number(table[column]) for column in table.columns]


def _is_number(column: pd.Series[Any]) -> bool:
    """Whether a column holds numbers, which are set flush right."""
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def facts(made: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Nested JSON values as rows of a name with its path, and a text."""
    return [(" / ".join(path), text) for path, text in _leaves((), plain(dict(made))) if path]


def _leaves(path: tuple[str, ...], value: Any) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(value, Mapping) and value:
        for name, entry in value.items():
            yield from _leaves((*path, str(name).replace("_", " ")), entry)
    elif isinstance(value, list) and any(isinstance(entry, Mapping | list) for entry in value):
        for number, entry in enumerate(value, 1):
            yield from _leaves((*path, str(number)), entry)
    elif isinstance(value, list):
        more = f" and {len(value) - _SHORT} more" if len(value) > _SHORT else ""
        yield path, ", ".join(_exact(entry) for entry in value[:_SHORT]) + more
    else:
        yield path, _exact(value)


def _exact(value: Any) -> str:
    """A value with all of its digits, as it would be typed."""
    if value is None or value == {}:
        return "none"
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:.10g}"
    return shown(value)
