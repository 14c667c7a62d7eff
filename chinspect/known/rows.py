"""Rows of measures with their intervals, as `Findings` hold them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chinspect.intervals import draws, interval, mean, mean_interval, paired_difference, wilson
from chinspect.readouts import measured_row

Row = dict[str, Any]
Values = NDArray[np.float64]
_RESAMPLES = 1000  # of images: the ends of an interval are then known to a thirtieth of its length


def rate_row(measure: str, condition: str, right: NDArray[np.bool_]) -> Row:
    """A rate (n,) with Wilson's interval."""
    low, high = wilson(int(right.sum()), len(right))
    return measured_row(measure, condition, (float(right.mean()), low, high), len(right))


def change_row(measure: str, condition: str, before: NDArray[np.bool_], after: NDArray[np.bool_]) -> Row:
    """The change of a rate over the same images (n,), with the interval of Agresti and Min."""
    return measured_row(measure, condition, paired_difference(before, after), len(before))


def mean_row(measure: str, condition: str, values: Values, seed: int = 0) -> Row:
    """A mean over images (n,) with a bootstrap interval."""
    low, high = mean_interval(values, n_resamples=_RESAMPLES, seed=seed)
    return measured_row(measure, condition, (float(values.mean()), low, high), len(values))


def pairs_row(measure: str, condition: str, values: Values, seed: int = 0) -> Row:
    """A mean over pairs of images (n, n) with a bootstrap interval over images."""
    low, high = interval(values, draws(len(values), _RESAMPLES, seed), 0.05)
    return measured_row(measure, condition, (mean(values), low, high), len(values))


def told(row: Mapping[Any, Any], *, signed: bool = True) -> str:
    """The estimate with its interval in words."""
    sign = "+" if signed else ""
    return f"{row['estimate']:{sign}.3g} [{row['low']:{sign}.3g}, {row['high']:{sign}.3g}]"
