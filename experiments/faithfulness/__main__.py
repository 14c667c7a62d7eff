"""Which maps say what a real network goes by? Every method beside Shapley values and deletion, on pairs of photographs.

    python experiments/faithfulness --photographs DIR [--cache DIR] [--methods "rescale blur" ...] [--out DIR] [--smoke]

Photographs are drawn by a seed and sorted by class; each makes a pair with the next one. The question is what the
patches of one image contribute to its similarity to the other, ``<y_a - y_a0, y_b - y_b0>`` with a blurred reference.

Each row of ``faithfulness.csv`` is a method; intervals are 95 % bootstraps over pairs.

* conserved: the sum of the pair map over what it explains, in the mean: ``<y_a, y_b>`` for LRP, else the similarity
  above; of maps of one image likewise;
* shapley: correlation of the patches' relevance with the Shapley values of the patches, corrected for the reliability
  of these (the yardstick, see `yardstick.py`); cells: the same for all cells of the pair map;
* centred: as shapley, for tables that are asked about ``y_b - y_b0`` and not about what they explain of b;
* deletion: the fraction of the similarity that is lost without the 10 % most relevant patches, for several references
  of the map the same blurred content; random: without random ones;
* seconds: of one image, in this run.

Tables of an image are stored in --cache, which several runs can fill, one method each. --smoke makes everything small:
it tests the script, its numbers mean nothing.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # the checkout, wherever this is started from

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from chinspect.encoders import Encoder, load_encoder
from chinspect.relevance import Partition, Respond, reference_images, trace
from experiments.faithfulness.methods import MAPS, TABLES, stored_tables
from experiments.faithfulness.photographs import PATCHES, draw_photographs, onnx_session
from experiments.faithfulness.yardstick import OPTIONS, Yardstick, yardsticks
from experiments.study import Run, option, read_options

RANDOM = 4
"""Random sets of patches of each image, for all methods the same."""
REMOVED = 5
"""Patches that are replaced: 10 % of 49."""
RESAMPLES = 2000
PATCH_COUNT = 49
SMOKE = {"count": 3, "evaluations": 400, "methods": ["epsilon_plus_flat", "gradient x input", "random"]}


def main() -> None:
    """Fills the table."""
    choices = [*TABLES, *MAPS]
    methods = option("methods", choices, choices=choices)
    options = read_options(__doc__, (*OPTIONS, methods), out="results/faithfulness", smoke=SMOKE, seed=0)
    with Run(options) as run:
        files = draw_photographs(options.photographs, options.count, options.seed).ring
        encoder = load_encoder(options.model)
        marks = yardsticks(files, options.model, options.evaluations, options.cache)
        study = Study(encoder, onnx_session(encoder), [encoder.prepare(file) for file in files], marks)
        run.facts["reliability"] = round(float(study.reliability), 3)
        rows = []
        for method in options.methods:
            rows.append(study.row(method, options.cache))
            run.write(pd.DataFrame(rows), "faithfulness", decimals=3)


@dataclass
class Sides:
    """What a method says of both images of each pair: lists over pairs and sides.

    Attributes:
        maps: relevance of patches (P,).
        centred: of tables asked about the other image's difference to its reference.
        cells: pair maps (P, P), one a pair.
        conserved: of each pair or image, the sum over what is explained.
    """

    maps: list[NDArray[np.float64]] = field(default_factory=list)
    centred: list[NDArray[np.float64]] = field(default_factory=list)
    cells: list[NDArray[np.float64]] = field(default_factory=list)
    conserved: list[float] = field(default_factory=list)


class Study:
    """The photographs with their yardsticks, and what methods are judged by."""

    def __init__(self, encoder: Encoder, respond: Respond, images: list[Tensor], marks: list[Yardstick]) -> None:
        self.encoder = encoder
        self.respond = respond
        self.images = images
        self.marks = marks
        self.graph = trace(encoder.module, images[0])
        count = len(images)
        self.pairs = [(i, (i + 1) % count) for i in range(count)]
        self.sides = [side for i, j in self.pairs for side in ((i, j), (j, i))]
        self.halves = [self._halves(i, j) for i, j in self.sides]
        self.cells = [np.einsum("hpd,hqd->hpq", marks[i].halves, marks[j].halves) for i, j in self.pairs]
        self.random_falls = np.array([self._random_fall(i, j) for i, j in self.sides])

    @property
    def reliability(self) -> float:
        """Of the Shapley values of patches, in the mean over pairs."""
        return _reliability(np.array([_correlation(*halves) for halves in self.halves]))

    def row(self, method: str, cache: Path) -> dict[str, object]:
        """One row of the table."""
        said, seconds = self._tables(method, cache) if method in TABLES else self._maps(method)
        falls = np.array([self._fall(i, j, _top(map_)) for (i, j), map_ in zip(self.sides, said.maps, strict=True)])
        row: dict[str, object] = {"method": method, "conserved": float(np.mean(said.conserved))}
        row |= _agreement("shapley", said.maps, self.halves, 2)
        row |= _agreement("centred", said.centred, self.halves, 2)
        row |= _agreement("cells", said.cells, self.cells, 1)
        row |= _with_interval("deletion", falls.reshape(-1, 2).mean(1))
        return row | {"random": float(self.random_falls.mean()), "seconds": seconds}

    def _tables(self, method: str, cache: Path) -> tuple[Sides, float]:
        tables, seconds = stored_tables(method, self.encoder, self.graph, self.respond, self.images, cache)
        explained = [self._explained(method, number) for number in range(len(tables))]
        said = Sides()
        for i, j in self.pairs:
            cells = tables[i] @ tables[j].T
            said.cells.append(cells)
            said.maps += [cells.sum(1), cells.sum(0)]
            said.centred += [tables[i] @ self._change(j), tables[j] @ self._change(i)]
            said.conserved.append(float(cells.sum()) / float(explained[i] @ explained[j]))
        return said, seconds

    def _explained(self, method: str, number: int) -> NDArray[np.float64]:
        """What a table of an image should sum to (D,)."""
        output = self.marks[number].output.astype(float)
        reference = TABLES[method].reference
        if reference is None:
            return output
        x0 = reference_images(reference, self.images[number])[0]
        baseline: NDArray[np.float64] = self.respond(x0)[0].double().numpy()
        return output - baseline

    def _maps(self, method: str) -> tuple[Sides, float]:
        said = Sides()
        start = time.perf_counter()
        for i, j in self.sides:
            weights = torch.from_numpy(self._change(j)).float()
            map_ = MAPS[method](self.encoder.module, self.images[i], weights).double().numpy()
            said.maps.append(map_)
            said.conserved.append(float(map_.sum()) / float(self._change(i) @ self._change(j)))
        said.centred = said.maps
        return said, (time.perf_counter() - start) / len(self.sides)

    def _change(self, i: int) -> NDArray[np.float64]:
        """What an embedding has over that of its reference (D,)."""
        return (self.marks[i].output - self.marks[i].baseline).astype(float)

    def _halves(self, i: int, j: int) -> NDArray[np.float64]:
        """Two estimates of the Shapley values of the patches of i for its similarity to j: (2, P)."""
        halves: NDArray[np.float64] = self.marks[i].halves.astype(float) @ self._change(j)
        return halves

    def _random_fall(self, i: int, j: int) -> float:
        generator = np.random.default_rng([i, j])
        sets = [generator.permutation(PATCH_COUNT)[:REMOVED] for _ in range(RANDOM)]
        return float(np.mean([self._fall(i, j, removed) for removed in sets]))

    def _fall(self, i: int, j: int, removed: NDArray[np.int64]) -> float:
        """The fraction of the similarity of i to j that is lost without some patches of i."""
        x = self.images[i]
        partition = PATCHES.on(x.shape)
        assert isinstance(partition, Partition)
        sets = torch.ones(1, PATCH_COUNT, dtype=torch.bool)
        sets[0, torch.from_numpy(removed)] = False
        output = self.respond(partition.mixed(x, reference_images("blur", x)[0], sets))[0].double().numpy()
        change = self._change(j)
        return 1 - float((output - self.marks[i].baseline) @ change) / float(self._change(i) @ change)


def _top(map_: NDArray[np.float64]) -> NDArray[np.int64]:
    top: NDArray[np.int64] = np.argsort(-map_, kind="stable")[:REMOVED].copy()
    return top


def _agreement(
    name: str, maps: list[NDArray[np.float64]], halves: list[NDArray[np.float64]], sides: int
) -> dict[str, float]:
    """The corrected correlation over all pairs, and its interval; empty where a method has no such map."""
    if not maps:
        return dict.fromkeys((name, f"{name}_low", f"{name}_high"), np.nan)
    raw = np.array([_correlation(map_, pair.mean(0)) for map_, pair in zip(maps, halves, strict=True)])
    between = np.array([_correlation(*pair) for pair in halves])
    raw, between = raw.reshape(-1, sides).mean(1), between.reshape(-1, sides).mean(1)
    drawn = np.random.default_rng(0).integers(0, len(raw), (RESAMPLES, len(raw)))
    values = [_corrected(raw[rows], between[rows]) for rows in drawn]
    low, high = np.nanquantile(values, [0.025, 0.975])
    return {name: _corrected(raw, between), f"{name}_low": float(low), f"{name}_high": float(high)}


def _with_interval(name: str, values: NDArray[np.float64]) -> dict[str, float]:
    drawn = np.random.default_rng(0).integers(0, len(values), (RESAMPLES, len(values)))
    low, high = np.quantile(values[drawn].mean(1), [0.025, 0.975])
    return {name: float(values.mean()), f"{name}_low": float(low), f"{name}_high": float(high)}


def _corrected(raw: NDArray[np.float64], between: NDArray[np.float64]) -> float:
    """The mean correlation, corrected by the mean reliability: that of one pair alone would be a noisy divisor."""
    return float(raw.mean()) / float(np.sqrt(_reliability(between)))


def _reliability(between: NDArray[np.float64]) -> float:
    """Of the mean of two halves with this correlation (Spearman and Brown)."""
    mean = float(between.mean())
    return 2 * mean / (1 + mean)


def _correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    # a map of equal values, such as Grad-CAM's where nothing is positive, agrees with nothing
    if not np.ptp(first) or not np.ptp(second):
        return 0.0
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])


if __name__ == "__main__":
    main()
