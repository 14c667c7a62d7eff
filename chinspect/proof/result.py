"""What a proof found: a verdict, a sentence, tables to read and to store, a figure."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from chinspect.artefacts.artefact import Artefact
from chinspect.files import output_folder, replacing
from chinspect.proof.trial import Trial

Verdict = Literal["confirmed", "undecided", "not_causal", "untested"]


@dataclass(frozen=True, eq=False)
class Proof:
    """The result of `chinspect.stress.prove`, which states the rule of the verdict.

    Attributes:
        artefact: that was tested.
        subject: classifier, encoder or detector.
        decides: name of the effect that decides.
        verdict: ``confirmed``, ``undecided``, ``not_causal`` or ``untested``.
        sentence: the finding in words.
        missing: what could not be tested, and why.
        trials: adding and removing, as far as there were images for them.
        table: one row for each edit, condition and effect with ``estimate``, ``low``, ``high`` (95 % interval over
            images; for random patches the least and the largest of them) and ``n`` (images, or patches).
    """

    artefact: Artefact
    subject: str
    decides: str
    verdict: Verdict
    sentence: str
    missing: tuple[str, ...]
    trials: tuple[Trial, ...]
    table: pd.DataFrame

    def to_frame(self) -> pd.DataFrame:
        """A copy of `table`."""
        return self.table.copy()

    def document(self) -> dict[str, Any]:
        """Everything but pixels, as JSON-ready values."""
        left_out = ("rows", "pictures")
        return {
            "artefact": self.artefact.name,
            "subject": self.subject,
            "decides": self.decides,
            "verdict": self.verdict,
            "sentence": self.sentence,
            "missing": list(self.missing),
            "trials": [
                {field.name: getattr(trial, field.name) for field in fields(trial) if field.name not in left_out}
                for trial in self.trials
            ],
            "effects": self.table.to_dict(orient="records"),
        }

    def save(self, folder: str | Path) -> list[Path]:
        """Write `proof.json`, the artefact as `artefact.png` with JSON, and `effects.csv` and `.parquet` if any."""
        target = output_folder(folder)
        paths = [target / "proof.json", self.artefact.save(target / "artefact.png"), target / "artefact.json"]
        if len(self.table):
            with replacing(target / "effects.csv") as path:
                self.table.to_csv(path, index=False)
            with replacing(target / "effects.parquet") as path:
                self.table.to_parquet(path, index=False)
            paths += [target / "effects.csv", target / "effects.parquet"]
        with replacing(paths[0]) as path:
            path.write_text(json.dumps(self.document(), indent=2, allow_nan=False) + "\n", encoding="utf-8")
        return paths

    def plot(self, path: str | Path) -> Path:
        """Draw images before and after, and the effect beside its placebos', to a PNG, SVG or PDF file."""
        from chinspect.proof.figure import draw  # matplotlib is slow to import

        return draw(self, Path(path))
