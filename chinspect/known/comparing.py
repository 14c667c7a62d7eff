"""Several models beside each other on one folder of images: what they take for granted, in one table.

For each model

* every known effect whose layout the folder has (see `EFFECTS`; acquisition traces need images only);
* reliance on an artefact, if one is given: how it moves the embeddings together (see `chinspect.known.together`),
  beside a random patch of its norm in its place;
* strategies: how many are flagged in the maps of all images, and the smallest set of images that would have been.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from chinspect.artefacts import Artefact
from chinspect.encoders import Encoder
from chinspect.errors import InputError
from chinspect.execute import Samples, Source, load_samples
from chinspect.images import open_image
from chinspect.known.effect import Effect, Options
from chinspect.known.models import Models, load_models
from chinspect.known.registry import EFFECTS
from chinspect.known.rows import Row, told
from chinspect.known.together import GAIN, together_rows
from chinspect.proof import random_patch
from chinspect.readouts import measured_row
from chinspect.report import Result
from chinspect.spray import analyse

RELIANCE = "reliance on an artefact"
STRATEGIES = "strategies"
PATCH = "random patch"
FLAGGED = "flagged"
DETECTABLE = "smallest detectable"
_MAPS = "maps of all images"
_FEWEST = 3  # images: fewer have no strategies


@dataclass(frozen=True, eq=False, repr=False)
class Comparison(Result):
    """Models beside each other.

    Attributes:
        models: their names.
        data: the folder of the images.
        measured: model, subject (a known effect, the reliance, or strategies), measure, condition, estimate, low, high
            (the 95 % interval) and n.
        leads: of each subject the measure that it is told by and the condition that it is about.
        notes: what could not be measured, and why.
    """

    stem = "comparison"
    drawing = "chinspect.known.comparison_figure"

    models: tuple[str, ...]
    data: str
    measured: pd.DataFrame
    leads: Mapping[str, tuple[str, str]]
    notes: tuple[str, ...] = ()

    def rows(self, subject: str) -> pd.DataFrame:
        """What the subject is told by, under all conditions of all models."""
        measure, _ = self.leads[subject]
        return self.measured[(self.measured["subject"] == subject) & (self.measured["measure"] == measure)]

    @property
    def sentence(self) -> str:
        """Of each subject the models at both ends, and what could not be measured."""
        lines = []
        for subject, (measure, condition) in self.leads.items():
            rows = self.rows(subject)
            own = rows[rows["condition"] == condition].sort_values("estimate").to_dict("records")
            ends = [f"{row['model']} {_told(row)}" for row in own[:1] + own[1:][-1:]]
            lines.append(f"{subject}, {measure}: {' to '.join(ends)}")
        return "\n".join([*lines, *self.notes])

    def document(self) -> dict[str, Any]:
        """The models, the data, what was measured, and what could not be."""
        return {"models": list(self.models), "data": self.data, "notes": list(self.notes), **super().document()}

    def tables(self) -> Mapping[str, pd.DataFrame]:
        """All that was measured."""
        return {"measured": self.measured}

    def overview(self) -> Mapping[str, pd.DataFrame]:
        """A table a subject: models, the measure that it is told by with its interval, and the controls."""
        tables = {}
        for subject, (measure, _) in self.leads.items():
            rows = self.rows(subject)
            text = rows.assign(value=[_told(row) for row in rows.to_dict("records")])
            wide = text.pivot(index="model", columns="condition", values="value")
            wide = wide.reindex(index=self.models, columns=rows["condition"].unique()).fillna("-").reset_index()
            wide.columns.name = None
            tables[f"{subject}: {measure}"] = wide
        return tables


def compare(
    models: Sequence[str | Encoder],
    data: Source,
    *,
    artefact: Artefact | None = None,
    images: int = 200,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Comparison:
    """Measures several models on one folder of images.

    Args:
        models: names (see `load_encoder`) or encoders, at least one.
        data: the folder of the images; or a list or table of paths, or a list of images, which no known effect is
            measured on (see `load_samples`).
        artefact: whose reliance is measured, if there is one.
        images: how many at most, drawn at random.
        seed: of whatever chance decides.
        progress: called with the number of models done and in all.

    Raises `InputError` for no model, too few images, or a model that cannot be loaded.
    """
    if not models:
        raise InputError("there is nothing to compare: name one model or more.")
    samples = _drawn(load_samples(data), images, seed)
    listed = not isinstance(data, str | Path)
    folder = samples.root if listed else Path(data)  # type: ignore[arg-type]
    effects = [] if listed else [effect for effect in EFFECTS.values() if _holds(effect, folder)]
    rows: list[pd.DataFrame] = []
    notes: list[str] = []
    names: list[str] = []
    for done, model in enumerate(models, 1):
        loaded = load_models(model)
        names.append(loaded.name)
        measured = _known(loaded, effects, folder, Options(images, seed), notes)
        if artefact is not None:
            measured |= {RELIANCE: _reliance(loaded.encoder, artefact, samples, seed)}
        measured |= {STRATEGIES: _strategies(loaded.encoder, samples)}
        rows += [table.assign(model=loaded.name, subject=subject) for subject, table in measured.items()]
        if progress is not None:
            progress(done, len(models))
    table = pd.concat(rows, ignore_index=True)
    table = table[["model", "subject", "measure", "condition", "estimate", "low", "high", "n"]]
    return Comparison(
        tuple(names),
        "a list of images" if listed else str(data),
        table,
        _leads(table, artefact),
        tuple(dict.fromkeys(notes)),
    )


def _told(row: Mapping[Any, Any]) -> str:
    """An estimate with its interval, or a number that has none."""
    return f"{row['estimate']:g}" if row["low"] == row["high"] else told(row)


def _holds(effect: Effect, data: Path) -> bool:
    try:
        effect.check(data)
    except InputError:
        return False
    return True


def _drawn(samples: Samples, count: int, seed: int) -> Samples:
    if min(len(samples), count) < _FEWEST:
        raise InputError(f"models are compared on {_FEWEST} images or more, not on {min(len(samples), count)}.")
    order = np.sort(np.random.default_rng(seed).permutation(len(samples))[:count])
    return Samples(samples.root, tuple(samples.names[i] for i in order))


def _known(
    models: Models, effects: Sequence[Effect], data: Path, options: Options, notes: list[str]
) -> dict[str, pd.DataFrame]:
    """The rows of each effect that the model allows; why others cannot be measured goes to the notes."""
    measured = {}
    for effect in effects:
        try:
            findings = effect.measure(models, data, options)
        except InputError as error:
            notes.append(f"{effect.name} cannot be measured on {models.name}: {error}")
        else:
            measured[effect.name] = findings.rows
    return measured


def _reliance(encoder: Encoder, artefact: Artefact, samples: Samples, seed: int) -> pd.DataFrame:
    """How embeddings of images move together under the artefact and under a random patch."""
    seen = encoder.see([open_image(path) for path in samples.paths])
    before = encoder.respond(seen)
    rows: list[Row] = []
    for condition, edit in ((artefact.name, artefact), (PATCH, random_patch(artefact, seen, seed))):
        rows += together_rows(condition, before, encoder.respond([edit.add(image) for image in seen]), seed)
    return pd.DataFrame(rows)


def _strategies(encoder: Encoder, samples: Samples) -> pd.DataFrame:
    """Numbers of strategies and images, which have no intervals."""
    spray = analyse(encoder, samples, check=False).spray
    smallest = spray.min_detectable_size_
    numbers = {FLAGGED: len(spray.flagged_), DETECTABLE: float("nan") if smallest is None else smallest}
    return pd.DataFrame(
        [measured_row(measure, _MAPS, (float(value),) * 3, len(samples)) for measure, value in numbers.items()]
    )


def _leads(table: pd.DataFrame, artefact: Artefact | None) -> dict[str, tuple[str, str]]:
    """Of each subject a measure that all models have, that of the effect if possible, and its condition."""
    told_by = {name: (effect.lead, effect.condition) for name, effect in EFFECTS.items()}
    told_by |= {STRATEGIES: (FLAGGED, _MAPS)}
    if artefact is not None:
        told_by |= {RELIANCE: (GAIN, artefact.name)}
    leads = {}
    for subject in table["subject"].unique():
        own = table[table["subject"] == subject]
        wanted, condition = told_by[subject]
        measures = own[own["condition"] == condition].groupby("measure", sort=False)["model"].nunique()
        common = measures.index[measures == own["model"].nunique()].tolist()
        if common:
            leads[subject] = (wanted if wanted in common else common[0], condition)
    return leads
