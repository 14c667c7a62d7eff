"""Gates: when a stress test fails, so that a pipeline stops before a detector is deployed."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from chinspect.anomaly import Detector
from chinspect.errors import InputError, did_you_mean
from chinspect.stress.metrics import Evaluation
from chinspect.stress.report import StressReport
from chinspect.stress.scoring import NONE

_COMPARISONS = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}
_TEXT = re.compile(r"\s*(\w+)\s*(>=|<=|>|<)\s*([-+.\deE]+)\s*(%?)\s*")
_UNBOUNDED = ("n_normal", "n_defect", "threshold", "threshold_retuned", "shift_normal", "shift_defect")
"""Columns that are no fraction in [0, 1]."""


@dataclass(frozen=True)
class Gate:
    """What must not hold in a deployed row of the detector itself.

    Attributes:
        text: a column, a comparison and a number, as in ``fnr>0.1``, or ``fnr>10%``.
        column: of `Evaluation`.
        comparison: one of ``>``, ``>=``, ``<``, ``<=``.
        limit: the number.
    """

    text: str
    column: str
    comparison: str
    limit: float

    @staticmethod
    def parse(text: str) -> Gate:
        """Raises `InputError` for a text of another form, a column that does not exist, and a fraction that is none."""
        match = _TEXT.fullmatch(text)
        try:
            limit = float(match[3]) if match else math.nan
        except ValueError:
            limit = math.nan
        if match is None or math.isnan(limit):
            raise InputError(
                f"the gate {text!r} cannot be read: write a column, a comparison and a number, as in 'fnr>0.1'."
            )
        percent = match[4] == "%"
        columns = [field.name for field in fields(Evaluation)]
        if match[1] not in columns:
            raise InputError(
                f"the gate's column {match[1]!r} does not exist{did_you_mean(match[1], columns)}: "
                f"choose one of {', '.join(columns)}."
            )
        bounded = match[1] not in _UNBOUNDED
        if percent and not bounded:
            raise InputError(f"the gate {text!r} has a percent sign, and {match[1]} is no fraction: leave it out.")
        limit = limit / 100 if percent else limit
        if bounded and not 0 <= limit <= 1:
            raise InputError(
                f"the gate {text!r} compares {match[1]}, a fraction in [0, 1], with {limit:g}, so that it says the "
                f"same of every detector: 10 % is written as '{match[1]}{match[2]}.1' or '{match[1]}{match[2]}10%'."
            )
        return Gate(text, match[1], match[2], limit)

    def check(self, detector: Detector, deploy: Sequence[str]) -> None:
        """`InputError`, before the work, where no resizer is deployed whose row could be judged."""
        if all(resizer == detector.resizer for resizer in deploy):
            raise InputError(
                f"--fail-on judges the switch to another resizer, and --deploy names only {detector.resizer!r}, which "
                "the detector was fitted with: name the deployed one."
            )

    def failures(self, report: StressReport) -> list[dict[str, Any]]:
        """The deployed rows of the detector itself in which the gate holds, or its number is not defined (None)."""
        table = report.table[(report.table.mitigation == NONE) & (report.table.resizer != report.train_resizer)]
        values = table[self.column]
        failed = table[_COMPARISONS[self.comparison](values, self.limit) | values.isna()]
        return [
            {"resizer": resizer, self.column: None if math.isnan(value) else float(value)}
            for resizer, value in zip(failed.resizer, failed[self.column], strict=True)
        ]

    def sentence(self, failure: dict[str, Any]) -> str:
        """One of `failures` in words."""
        value = failure[self.column]
        number = "not defined" if value is None else f"{value:.3f}"
        return (
            f"gate failed: with {failure['resizer']}, {self.column} of the given detector is {number}, and --fail-on "
            f"is {self.text}; exit status 1"
        )
