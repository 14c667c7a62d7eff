"""What images of one class and images of one origin have in common: robustness of an embedding to a confounder.

Each image has a class and a confounder, such as the hospital that it comes from. Neighbours are by cosine similarity.

* **Robustness index** (PathoROB, Koemen et al. 2025, arXiv:2507.17845): over the k nearest neighbours of all images,
  with SO those of the same class from another origin, OS those of another class from the same origin,

      RI = SO / (SO + OS),

  1 if only the class makes images neighbours, 0 if only the origin does. Where neighbours are drawn at random it is
  what the numbers of images make it: the chance level, beside which it has to be read.
* **Predictability**: the balanced accuracy of a linear readout of the confounder, cross-validated; beside the majority
  (one over the number of origins), the same with confounders permuted, and with confounders permuted among the images
  of each class, which is what the class alone tells.
* **Average performance drop**: a readout of the class is fitted on as many images each time, among which class and
  confounder agree with a correlation of 0, .25, .5, .75 and 1, and judged on images where they are independent:
  mean_{s > 0} accuracy_s / accuracy_0 - 1.

All is measured on cells (class and confounder) of one size, drawn at random: else large origins would be neighbours by
their number. The drop needs all cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from chinspect.encoders import Encoder, as_encoder
from chinspect.errors import InputError
from chinspect.execute import Samples, load_samples, read_column
from chinspect.readouts.folders import load_classes
from chinspect.readouts.pictures import Pictures, embeddings
from chinspect.readouts.robustness import (
    DROP,
    FOLDS,
    INDEX,
    OWN,
    index_over_k,
    measured_row,
    performance_drop,
    predictability,
)
from chinspect.report import Result

FOLDER = "folder"
_KS = (1, 3, 5, 11, 21, 46, 61, 101, 201)  # 11, 46 and 61 are those of the source's three data sets
_SMALLEST = 2 * FOLDS  # images of a cell: two in each fold
Codes = NDArray[np.intp]


@dataclass(frozen=True, eq=False, repr=False)
class ConfounderScores(Result):
    """What a confounder does to an embedding.

    Attributes:
        encoder: its name.
        cells: numbers of images by class and confounder: label, confounder, n, and used, the number measured on.
        index: the robustness index over k: k, estimate, low, high, and of random neighbours chance, chance_low,
            chance_high.
        measures: measure, condition (the embedding, or a control), estimate, low, high, n.
        k: of the robustness index among the measures.
        notes: what could not be measured.
    """

    stem = "confounding"
    drawing = "chinspect.readouts.figure"

    encoder: str
    cells: pd.DataFrame
    index: pd.DataFrame
    measures: pd.DataFrame
    k: int
    notes: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """The index beside chance, the predictability beside the class alone, and the drop."""
        lines = []
        for measure in self.measures["measure"].unique():
            own, *controls = self.measures[self.measures["measure"] == measure].to_dict("records")
            name = f"{measure} (k = {self.k})" if measure == INDEX else measure
            line = f"{self.encoder}: {name} {own['estimate']:.3f} [{own['low']:.3f}, {own['high']:.3f}]"
            beside = ", ".join(f"{row['estimate']:.3f} ({row['condition']})" for row in controls)
            lines.append(f"{line}{'; ' if beside else ''}{beside}")
        return "\n".join([*lines, *self.notes])

    def document(self) -> dict[str, Any]:
        """The encoder, all tables, and the notes."""
        return {"encoder": self.encoder, "k": self.k, "notes": list(self.notes), **super().document()}


def confounding(
    encoder: Encoder | str,
    data: str | Path | Samples,
    confounder: str | Path | Sequence[str],
    *,
    k: int = 11,
    cache: str | Path | None = None,
    seed: int = 0,
) -> ConfounderScores:
    """Measures how much an encoder's embeddings follow a confounder rather than the class.

    Args:
        encoder: an encoder, or the name of one (see `load_encoder`).
        data: a folder with one folder a class, a table with the columns path and label, or labelled samples.
        confounder: ``folder`` for the folder that an image lies in, below that of its class; a CSV file with the
            columns path and confounder; or one name an image.
        k: how many neighbours the index is reported for, beside the curve.
        cache: a folder for embeddings.
        seed: of the images of each cell, folds and permutations.

    Raises `InputError` for data that cannot be used: no labels, one class or one origin, cells that are too small.
    """
    encoder = as_encoder(encoder)
    samples = _labelled(data)
    names = _confounders(confounder, samples)
    labels = np.array(samples.labels)
    cells = _cells(labels, names, seed)
    used = np.concatenate(list(cells.values()))
    subset = Samples(samples.root, tuple(samples.names[i] for i in used), tuple(labels[used]))
    values = embeddings(encoder, Pictures(subset), cache).astype(float)
    result = confounder_scores(encoder.name, values, labels[used], names[used], k=k, seed=seed)
    return replace(result, cells=_counted(labels, names).assign(used=len(used) // len(cells)))


def confounder_scores(
    encoder: str,
    values: NDArray[np.float64],
    labels: NDArray[Any],
    confounders: NDArray[Any],
    *,
    k: int = 11,
    seed: int = 0,
) -> ConfounderScores:
    """The same of embeddings (n, D) with their labels and confounders (n,), which are taken as they are."""
    classes = np.unique(labels, return_inverse=True)[1]
    codes = np.unique(confounders, return_inverse=True)[1]
    if not 1 <= k < len(values):
        raise InputError(f"k is a number of neighbours, from 1 to {len(values) - 1}, not {k}.")
    ks = sorted({k, *(number for number in _KS if number < len(values))})
    index = index_over_k(values, classes, codes, ks, seed)
    row = index[index["k"] == k].iloc[0]
    n = len(values)
    rows = [
        measured_row(INDEX, OWN, (row["estimate"], row["low"], row["high"]), n),
        measured_row(INDEX, "random neighbours", (row["chance"], row["chance_low"], row["chance_high"]), n),
        *predictability(values, classes, codes, seed),
    ]
    cells = pd.crosstab(labels, confounders)
    notes = []
    if np.isnan(row["estimate"]):
        notes.append(f"No {INDEX} for k = {k}: all neighbours are of the same class and origin, or of others in both.")
    if (cells.to_numpy() == 0).any():
        label, origin = next((a, b) for a in cells.index for b in cells.columns if cells.loc[a, b] == 0)
        notes.append(f"No {DROP}: it takes every class from every origin, and there is no {label} from {origin}.")
    else:
        rows.append(performance_drop(values, classes, codes, seed))
    counts = _counted(labels, confounders)
    return ConfounderScores(encoder, counts.assign(used=counts["n"]), index, pd.DataFrame(rows), k, tuple(notes))


def _counted(labels: NDArray[Any], confounders: NDArray[Any]) -> pd.DataFrame:
    """Columns label, confounder, n: a row for each two that occur together."""
    both = pd.DataFrame({"label": labels, "confounder": confounders})
    return both.value_counts(sort=False).rename("n").reset_index()


def _labelled(data: str | Path | Samples) -> Samples:
    """Samples with labels, of any form."""
    if isinstance(data, Samples):
        samples = data
    elif Path(data).is_dir():
        parts = load_classes(data)
        names = (*parts.train.names, *parts.test.names)
        samples = Samples(parts.train.root, names, (*(parts.train.labels or ()), *(parts.test.labels or ())))
    else:
        samples = load_samples(data)
    if samples.labels is None:
        raise InputError(f"{str(data)!r} has no labels: give one folder a class, or a table with a column label.")
    if len(set(samples.labels)) < 2:
        raise InputError(f"All images are {samples.labels[0]!r}: a confounder is judged beside two classes or more.")
    return samples


def _confounders(source: str | Path | Sequence[str], samples: Samples) -> NDArray[Any]:
    """The confounder of each image (n,)."""
    if source == FOLDER:
        for name, label in zip(samples.names, samples.labels or (), strict=True):
            if Path(name).parent.name == label:
                raise InputError(f"{name!r} lies in the folder of its class: 'folder' needs CLASS/CONFOUNDER/image.")
        names = [Path(name).parent.name for name in samples.names]
    elif isinstance(source, str | Path):
        names = read_column(source, samples.names, samples.paths, "confounder")
    else:
        names = list(source)
    if len(names) != len(samples):
        raise InputError(f"There are {len(samples)} images and {len(names)} confounders: give one an image.")
    if len(set(names)) < 2:
        raise InputError(f"The confounder of all images is {names[0]!r}: two or more are needed to compare.")
    return np.array(names)


def _cells(labels: NDArray[Any], names: NDArray[Any], seed: int) -> dict[tuple[str, str], Codes]:
    """Indices of equally many images of each class and confounder that occur together."""
    rng = np.random.default_rng(seed)
    cells = {}
    for label in np.unique(labels):
        for name in np.unique(names):
            own = np.flatnonzero((labels == label) & (names == name))
            if len(own):
                cells[str(label), str(name)] = np.sort(rng.permutation(own))
    size = min(map(len, cells.values()))
    if size < _SMALLEST:
        label, name = min(cells, key=lambda cell: len(cells[cell]))
        raise InputError(f"There are {size} images of {label} from {name}: {_SMALLEST} of each cell are needed.")
    return {cell: np.sort(rng.permutation(own)[:size]) for cell, own in cells.items()}
