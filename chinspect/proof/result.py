"""What a proof found: a verdict, a sentence, tables to read and to store, a figure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import pandas as pd

from chinspect.artefacts import Artefact
from chinspect.proof.effects import WORDS, decisive_effect
from chinspect.proof.trial import MOVED, Trial, Verdict
from chinspect.report import Result
from chinspect.subjects import Kind

_RELIES: Mapping[Verdict, str] = {
    "confirmed": "relies on",
    "undecided": "may rely on",
    "not_causal": "was not found to rely on",
}


@dataclass(frozen=True, eq=False, repr=False)
class Proof(Result):
    """The result of `chinspect.proof.prove`, which states the rule of the verdict.

    Attributes:
        artefact: that was tested.
        subject: classifier, encoder or detector.
        trials: adding and removing, as far as there were images for them.
        missing: what could not be tested, and why.
    """

    artefact: Artefact
    subject: Kind
    trials: tuple[Trial, ...]
    missing: tuple[str, ...] = ()

    stem = "proof"

    @property
    def decides(self) -> str:
        """Name of the effect that decides."""
        return decisive_effect(self.subject)

    @property
    def verdict(self) -> Verdict:
        """The first of ``confirmed``, ``undecided`` and ``not_causal`` that a trial has; without any, ``untested``."""
        verdicts = {trial.verdict for trial in self.trials}
        return next(verdict for verdict in get_args(Verdict) if verdict in verdicts or verdict == "untested")

    @property
    def sentence(self) -> str:
        """The finding in words, for a reader who has not seen the table."""
        if not self.trials:
            return f"Whether the {self.subject} relies on {self.artefact.name!r} was not tested."
        clauses = "; ".join(trial.sentence for trial in self.trials)
        elsewhere = "".join(
            f" The {MOVED} has {trial.moved_fraction:.0%} of that effect."
            for trial in self.trials
            if trial.leans and trial.moved_fraction is not None
        )
        effect = WORDS[self.subject][self.decides]
        return f"The {self.subject} {_RELIES[self.verdict]} {self.artefact.name!r} ({effect}): {clauses}.{elsewhere}"

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row for each edit, condition and effect with ``estimate``, ``low``, ``high`` and ``n``.

        These are a 95 % interval over images and their number; for random patches the least and the largest of them,
        and the number of patches.
        """
        return pd.DataFrame([row for trial in self.trials for row in trial.rows])

    def to_frame(self) -> pd.DataFrame:
        """A copy of `table`."""
        return self.table.copy()

    def document(self) -> dict[str, Any]:
        """Everything but pixels, as JSON values."""
        return {
            "artefact": self.artefact.name,
            "subject": self.subject,
            "decides": self.decides,
            "verdict": self.verdict,
            "sentence": self.sentence,
            "missing": list(self.missing),
            "trials": [trial.document() for trial in self.trials],
            "effects": self.table.to_dict(orient="records"),
        }

    def tables(self) -> Mapping[str, pd.DataFrame]:
        """All effects."""
        return {"effects": self.table}

    def _save_rest(self, target: Path) -> list[Path]:
        """The artefact, which two files hold."""
        return [self.artefact.save(target / "artefact.png"), target / "artefact.json"]
