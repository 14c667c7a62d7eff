"""What a stress test found: tables to read, to store and to draw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from chinspect.report import Result, records
from chinspect.stress.resizing import Prediction
from chinspect.stress.words import beside, verdicts

KEYS = ("mitigation", "resizer", "change")
"""Columns that name a row."""
_OVERVIEW = ("f1", "f1_balanced", "fpr", "fnr", "auroc")
_NAMES = {"mitigation": "remedy", "f1_balanced": "balanced"}  # short enough for a terminal of 80 characters
_WHERE = {"high_frequency": "lies in high frequencies", "outside": "lies outside the defect"}


@dataclass(frozen=True, eq=False, repr=False)
class StressReport(Result):
    """The result of `chinspect.stress.stress`.

    Attributes:
        dataset, detector: their names.
        protocol: where the frozen threshold comes from.
        train_resizer: the resizer that the detector was fitted with.
        table: one row for each mitigation and condition, the unchanged detector under its training resizer first; see
            `chinspect.stress.Evaluation` for the columns.
        steps: the fraction of phase, interpolation and antialiasing in the score shift of each deployed resizer; see
            `chinspect.stress.decompose`. Without rows if the training resizer has no chain.
        scores: of each test image, one row for each mitigation and condition.
        predictions: predicted and measured score shifts of each deployed resizer, where the detector explains itself.
        shares: how much of the scores under the training resizer is high-frequency, and how much lies outside the
            defects' masks; see `chinspect.anomaly.score_profile` for the columns. Without rows if the detector does not
            explain itself.
    """

    dataset: str
    detector: str
    protocol: str
    train_resizer: str
    table: pd.DataFrame
    steps: pd.DataFrame
    scores: pd.DataFrame
    predictions: tuple[Prediction, ...] = ()
    shares: pd.DataFrame = field(default_factory=pd.DataFrame)

    stem = "stress"
    drawing = "chinspect.stress.figure"
    composing = "chinspect.stress.page"

    def to_frame(self) -> pd.DataFrame:
        """A copy of `table`."""
        return self.table.copy()

    @property
    def sentence(self) -> str:
        """What to know before one believes the table."""
        row = self.table.iloc[0]
        warning = (
            f"Read F1 beside {row.f1_all_positive:.3f}, which calling every image anomalous gives on these images."
        )
        total = row.n_normal + row.n_defect
        explained = self.shares.images[self.shares.share == "high_frequency"].sum() if len(self.shares) else total
        if explained == total:
            return warning
        return f"{warning} The shares below are of {explained} of the {total} test images, spread evenly over them."

    def remarks(self) -> list[str]:
        """How much of the scores is carried by what should not matter, one sentence for each row of `shares`."""
        return [
            f"{row['group']}, {row['images']} images: {row['mean']:.0%} of the score {_WHERE[row['share']]} (95 % "
            f"interval {row['low']:.0%} to {row['high']:.0%}), where an even spread would be {row['uniform']:.0%}: "
            f"{beside(row['uniform'], row['low'], row['high'])}"
            for row in self.shares.to_dict("records")
        ]

    @property
    def verdicts(self) -> dict[str, str]:
        """What each panel of the figure says, in a sentence; see `chinspect.stress.words`."""
        return verdicts(self.table, self.steps, self.predictions, self.train_resizer)

    def document(self) -> dict[str, Any]:
        """All but the single scores, as JSON values; what is not defined is null."""
        tables = self.tables()
        return {
            "dataset": self.dataset,
            "detector": self.detector,
            "protocol": self.protocol,
            "train_resizer": self.train_resizer,
            "verdicts": self.verdicts,
            "rows": records(self.table),
            **{name: records(tables[name]) for name in ("steps", "predictions", "shares")},
        }

    def tables(self) -> Mapping[str, pd.DataFrame]:
        """All tables; `predictions` with one row for each deployed resizer."""
        predictions = pd.DataFrame([prediction.summary() for prediction in self.predictions])
        tables = {"stress": self.table, "scores": self.scores, "steps": self.steps}
        return tables | {"predictions": predictions, "shares": self.shares}

    def overview(self) -> Mapping[str, pd.DataFrame]:
        """The decisions under each condition; ``balanced`` is F1 if both classes weighed the same."""
        title = f"{self.detector} on {self.dataset}, threshold by the protocol {self.protocol}"
        return {title: self.table[[*KEYS, *_OVERVIEW]].rename(columns=_NAMES)}
