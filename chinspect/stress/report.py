"""What a stress test found: tables to read, to store and to draw."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from chinspect.files import output_folder, replacing
from chinspect.stress.prediction import Prediction


@dataclass(frozen=True, eq=False)
class StressReport:
    """The result of `chinspect.stress.deployment`.

    Attributes:
        dataset, detector: their names.
        protocol: where the frozen threshold comes from.
        train_resizer: the resizer that the detector was fitted with.
        table: one row for each mitigation and condition, the unchanged detector under its training resizer first; see
            `chinspect.stress.Evaluation` for the columns.
        steps: the share of phase, interpolation and antialiasing in the score shift of each deployed resizer; see
            `chinspect.stress.decompose`. Without rows if the training resizer has no chain.
        scores: of each test image, one row for each mitigation and condition.
        predictions: predicted and measured score shifts of each deployed resizer, where the detector explains itself.
        shares: how much of the scores under the training resizer is high-frequency, and how much lies outside the
            defects' masks; see `chinspect.anomaly.ScoreProfile` for the columns. Without rows if the detector does not
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

    def to_frame(self) -> pd.DataFrame:
        """A copy of `table`."""
        return self.table.copy()

    def document(self) -> dict[str, Any]:
        """All but the single scores, as JSON-ready values; what is not defined is null."""
        return {
            "dataset": self.dataset,
            "detector": self.detector,
            "protocol": self.protocol,
            "train_resizer": self.train_resizer,
            "rows": _records(self.table),
            "steps": _records(self.steps),
            "predictions": _records(self._predictions()),
            "shares": _records(self.shares),
        }

    def save(self, folder: str | Path) -> list[Path]:
        """Write `stress.json`, and each table that has rows as CSV and Parquet.

        The tables are `stress`, `scores`, `steps`, `predictions` and `shares`; files that an earlier run left of a
        table without rows are removed.
        """
        target = output_folder(folder)
        tables = {"stress": self.table, "scores": self.scores, "steps": self.steps}
        tables |= {"predictions": self._predictions(), "shares": self.shares}
        paths = [target / "stress.json"]
        with replacing(paths[0]) as path:
            path.write_text(json.dumps(self.document(), indent=2, allow_nan=False) + "\n", encoding="utf-8")
        for name, table in tables.items():
            if not len(table):  # an earlier run may have had rows
                for kind in ("csv", "parquet"):
                    (target / f"{name}.{kind}").unlink(missing_ok=True)
                continue
            with replacing(target / f"{name}.csv") as path:
                table.to_csv(path, index=False)
            with replacing(target / f"{name}.parquet") as path:
                table.to_parquet(path, index=False)
            paths += [target / f"{name}.csv", target / f"{name}.parquet"]
        return paths

    def plot(self, path: str | Path) -> Path:
        """Draw scores, errors, steps and the prediction to a PNG, SVG or PDF file."""
        from chinspect.stress._figure import draw  # matplotlib is slow to import

        return draw(self, Path(path))

    def _predictions(self) -> pd.DataFrame:
        """One row for each deployed resizer."""
        return pd.DataFrame(
            [
                {
                    "resizer": prediction.resizer,
                    "images": len(prediction.predicted),
                    "predicted_mean": prediction.predicted.mean(),
                    "measured_mean": prediction.measured.mean(),
                    "correlation": prediction.correlation,
                    "slope": prediction.slope,
                }
                for prediction in self.predictions
            ]
        )


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = json.loads(table.to_json(orient="records"))
    return records
