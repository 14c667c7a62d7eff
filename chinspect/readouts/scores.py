"""Scores of a classifier by subgroup: an average hides who pays for it.

Rates carry 95 % Wilson intervals. For a class of interest they are

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
    selections = [(ALL, np.ones(len(truth), dtype=bool))]
    if groups is not None:
        if ALL in groups:
            raise InputError(f"No group or class may be called {ALL!r}, as all images together are: rename it.")
        if len(groups) != len(truth):
            raise InputError(f"There must be one group an image, not {len(groups)} for {len(truth)}.")
        selections += [(name, np.array(groups, dtype=object) == name) for name in sorted(set(groups))]
    return pd.DataFrame([_row(name, truth[rows], guess[rows], positive) for name, rows in selections])


def score_classes(labels: ArrayLike, predicted: ArrayLike) -> pd.DataFrame:
    """FPR and FNR of each class against all others, with their intervals; one row a class that occurs in either."""
    truth, guess = _checked(labels, predicted)
    names = np.unique(np.concatenate([truth, guess]))
    return pd.DataFrame(
        [{"class": name, "n": int((truth == name).sum())} | _rates(truth, guess, name) for name in names]
    )


def each_state(table: pd.DataFrame, score: Callable[[pd.DataFrame], pd.DataFrame]) -> pd.DataFrame:
    """What ``score`` makes of the rows of each readout and state, with the columns readout and state in front."""
    keys = ["readout", "state"]
    scores = {key: score(rows) for key, rows in table.groupby(keys, sort=False)}
    return pd.concat(scores, names=keys).reset_index(keys).reset_index(drop=True)


def worst_group(table: pd.DataFrame) -> pd.Series[Any]:
    """The row of `score_groups` with the lowest accuracy, among the groups if there are any."""
    rows = table[table["group"] != ALL] if len(table) > 1 else table
    return rows.iloc[int(rows["accuracy"].to_numpy().argmin())]


def _row(name: str, truth: NDArray[Any], guess: NDArray[Any], positive: Any) -> dict[str, Any]:
    right = truth == guess
    recalls = [float(right[truth == label].mean()) for label in np.unique(truth)]
    row = {"group": name, "n": len(truth)} | _rate("accuracy", right)
    row["balanced_accuracy"] = float(np.mean(recalls))
    return row if positive is None else row | {"positive": positive} | _rates(truth, guess, positive)


def _rates(truth: NDArray[Any], guess: NDArray[Any], positive: Any) -> dict[str, float]:
    own = truth == positive
    called = guess == positive
    return _rate("fpr", called[~own]) | _rate("fnr", ~called[own])


def _rate(name: str, hits: NDArray[Any]) -> dict[str, float]:
    """How often something is so (n,), with its interval."""
    rate = low = high = math.nan
    if len(hits):
        rate = float(hits.mean())
        low, high = wilson(int(hits.sum()), len(hits))
    return {name: rate, f"{name}_low": low, f"{name}_high": high}


def _checked(labels: ArrayLike, predicted: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    truth = np.asarray(labels)
    guess = np.asarray(predicted)
    if truth.ndim != 1 or truth.shape != guess.shape or not len(truth):
        raise InputError(f"Labels and predictions must be two lists of one length, not {truth.shape}, {guess.shape}.")
    return truth, guess
