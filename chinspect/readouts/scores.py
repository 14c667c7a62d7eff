"""Scores of a classifier by subgroup: an average hides who pays for it.

Shares carry 95 % Wilson intervals. For a class of interest the rates are

    FPR = FP / (FP + TN),        FNR = FN / (FN + TP),

nan where a group has no image that could be counted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from chinspect.errors import InputError
from chinspect.intervals import wilson

ALL = "all"
"""The group of all images."""


def score_groups(
    labels: ArrayLike, predicted: ArrayLike, groups: Sequence[str] | None = None, *, positive: Any = None
) -> pd.DataFrame:
    """One row for all images, and one for each group.

    Args:
        labels, predicted: (N,).
        groups: one name an image; by default there are no groups but `ALL`.
        positive: the class that FPR and FNR are about; without it there are no such columns.

    Returns:
        Columns group, n, accuracy, accuracy_low, accuracy_high, balanced_accuracy (mean over the classes that the group
        has), and positive, fpr, fnr, each rate with its interval; indexed from 0, `ALL` first.

    Raises `InputError` for lengths that differ, no image, and a group that is called `ALL`.
    """
    truth, guess = _checked(labels, predicted)
    if groups is not None and ALL in groups:
        raise InputError(f"No group or class may be called {ALL!r}, as all images together are: rename it.")
    names = np.array([ALL] * len(truth) if groups is None else list(groups), dtype=object)
    if len(names) != len(truth):
        raise InputError(f"There must be one group an image, not {len(names)} for {len(truth)}.")
    selections = [(ALL, np.ones(len(truth), dtype=bool))]
    selections += [] if groups is None else [(name, names == name) for name in sorted(set(names))]
    return pd.DataFrame([_row(name, truth[some], guess[some], positive) for name, some in selections])


def score_classes(labels: ArrayLike, predicted: ArrayLike) -> pd.DataFrame:
    """FPR and FNR of each class against all others, with their intervals; one row a class that occurs in either."""
    truth, guess = _checked(labels, predicted)
    names = np.unique(np.concatenate([truth, guess]))
    return pd.DataFrame(
        [{"class": name, "n": int((truth == name).sum())} | _rates(truth, guess, name) for name in names]
    )


def each_state(table: pd.DataFrame, score: Callable[[pd.DataFrame], pd.DataFrame]) -> pd.DataFrame:
    """What ``score`` makes of the rows of each readout and state, with the columns readout and state in front."""
    parts = []
    for (readout, state), rows in table.groupby(["readout", "state"], sort=False):
        part = score(rows)
        part.insert(0, "state", str(state))
        part.insert(0, "readout", str(readout))
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def worst_group(table: pd.DataFrame) -> pd.Series[Any]:
    """The row of `score_groups` with the lowest accuracy, among the groups if there are any."""
    rows = table[table["group"] != ALL] if len(table) > 1 else table
    return rows.iloc[int(rows["accuracy"].to_numpy().argmin())]


def confusion(labels: ArrayLike, predicted: ArrayLike) -> pd.DataFrame:
    """Numbers of images by label (rows) and prediction (columns), over all classes that occur in either."""
    truth, guess = _checked(labels, predicted)
    classes = sorted(set(truth.tolist()) | set(guess.tolist()))
    counts = pd.crosstab(pd.Series(truth), pd.Series(guess))
    table: pd.DataFrame = counts.reindex(index=classes, columns=classes, fill_value=0)
    return table.rename_axis(index="label", columns="predicted")


def _row(name: str, truth: NDArray[Any], guess: NDArray[Any], positive: Any) -> dict[str, Any]:
    right = truth == guess
    recalls = [float(right[truth == label].mean()) for label in np.unique(truth)]
    row = {"group": name, "n": len(truth)} | _share("accuracy", int(right.sum()), len(truth))
    row["balanced_accuracy"] = float(np.mean(recalls))
    return row if positive is None else row | {"positive": positive} | _rates(truth, guess, positive)


def _rates(truth: NDArray[Any], guess: NDArray[Any], positive: Any) -> dict[str, float]:
    own, called = truth == positive, guess == positive
    return _share("fpr", int((called & ~own).sum()), int((~own).sum())) | _share(
        "fnr", int((~called & own).sum()), int(own.sum())
    )


def _share(name: str, count: int, n: int) -> dict[str, float]:
    low, high = wilson(count, n) if n else (math.nan, math.nan)
    return {name: count / n if n else math.nan, f"{name}_low": low, f"{name}_high": high}


def _checked(labels: ArrayLike, predicted: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    truth, guess = np.asarray(labels), np.asarray(predicted)
    if truth.ndim != 1 or truth.shape != guess.shape or not len(truth):
        raise InputError(f"Labels and predictions must be two lists of one length, not {truth.shape}, {guess.shape}.")
    return truth, guess
