"""The result of a known effect: measured, under controls, beside what is published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from chinspect.artefacts import Pixels
from chinspect.known.effect import Effect
from chinspect.known.rows import told
from chinspect.report import Result

MEASURED = "measured here"


@dataclass(frozen=True, eq=False, repr=False)
class Measurement(Result):
    """A known effect, measured.

    Attributes:
        effect: which one, with what is published of it.
        model: the name of the model.
        data: the folder of the images.
        images: how many were used.
        measured: columns measure, condition, estimate, low, high (the 95 % interval), n.
        notes: what could not be measured, and why.
        pictures: an image under each condition.
    """

    stem = "known"
    drawing = "chinspect.known.figure"

    effect: Effect
    model: str
    data: str
    images: int
    measured: pd.DataFrame
    notes: tuple[str, ...] = ()
    pictures: Mapping[str, Pixels] = field(default_factory=dict)

    @property
    def lead(self) -> str:
        """The measure that the effect is told by; where that could not be measured, the first one of the effect."""
        own = self.measured[self.measured["condition"] == self.effect.condition]["measure"].tolist()
        measures = own or self.measured["measure"].tolist()
        return self.effect.lead if self.effect.lead in measures else measures[0]

    def rows(self, measure: str) -> pd.DataFrame:
        """One measure under all conditions, by condition."""
        return self.measured[self.measured["measure"] == measure].set_index("condition")

    @property
    def published(self) -> pd.DataFrame:
        """Columns model, measure, value."""
        rows = [
            {"model": entry.model, "measure": measure, "value": value}
            for entry in self.effect.published
            for measure, value in entry.values.items()
        ]
        return pd.DataFrame(rows, columns=["model", "measure", "value"])

    @property
    def sentence(self) -> str:
        """The lead measure with its interval, beside its controls and what is published."""
        rows = self.rows(self.lead).to_dict("index")
        shown = [name for name in (self.effect.condition, *self.effect.variants) if name in rows]
        values = ", ".join(f"{told(rows[name])} ({name})" for name in shown) or f"not known ({self.effect.condition})"
        lines = [f"{self.model}, {self.effect.name}: {self.lead} {values}"]
        controls = {str(name): row for name, row in rows.items() if name not in shown}
        if controls:
            strongest = max(controls, key=lambda name: abs(controls[name]["estimate"]))
            which = f"the largest of {len(controls)} controls" if len(controls) > 1 else "the control"
            lines[0] += f"; {which} is {told(controls[strongest])} ({strongest})"
        published = self.published.query("measure == @self.lead")
        if len(published):
            known = ", ".join(f"{row.value:+.3g} ({row.model})" for row in published.itertuples())
            lines.append(f"published: {known}; {self.effect.source}")
        return "\n".join([*lines, *self.notes])

    def document(self) -> dict[str, Any]:
        """What was measured on what, and what is published."""
        return {
            "effect": self.effect.name,
            "title": self.effect.title,
            "source": self.effect.source,
            "model": self.model,
            "data": self.data,
            "images": self.images,
            "notes": list(self.notes),
            **super().document(),
        }

    def tables(self) -> Mapping[str, pd.DataFrame]:
        """What was measured, and what is published."""
        return {"measured": self.measured, "published": self.published}

    def overview(self) -> Mapping[str, pd.DataFrame]:
        """The effect with its intervals, all conditions side by side, and models beside the published ones."""
        measured = self.measured
        own = measured[measured["condition"] == self.effect.condition].drop(columns="condition")
        order = measured["measure"].unique()
        wide = measured.pivot(index="measure", columns="condition", values="estimate").loc[order]
        wide = wide[measured["condition"].unique()].reset_index()
        wide.columns.name = None
        tables = {f"{self.effect.condition}: {self.model}, {self.images} images": own} if len(own) else {}
        tables |= {"beside controls": wide}
        if {*own["measure"]} & {*self.published["measure"]}:
            tables[f"beside what is published ({self.effect.source})"] = self._beside(own)
        return tables

    def _beside(self, own: pd.DataFrame) -> pd.DataFrame:
        published = self.published
        measures = published["measure"].unique()
        wide = published.pivot(index="model", columns="measure", values="value")[measures]
        values = own.set_index("measure")["estimate"].reindex(measures)
        here = pd.DataFrame([values.to_numpy()], index=[f"{self.model}, {MEASURED}"], columns=measures)
        order = [entry.model for entry in self.effect.published]
        table = pd.concat([here, wide.loc[order]]).rename_axis("model").reset_index()
        table.columns.name = None
        return table
