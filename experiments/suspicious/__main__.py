"""Are pairs of photographs that carry the same artefact the first that `suspicious_pairs` names?

    python experiments/suspicious --data IMAGENET_SAMPLE [--artefacts imagenet-w logo] [--carriers 6 12 24] [--out DIR]

An artefact is laid on what the network sees of some photographs; all are explained, and pairs of neighbours are ranked.
``pairs.csv``, a row a draw, the first ones of the same photographs without an artefact: how many pairs of carriers are
neighbours at all (``neighbours``), how many of the first 10 pairs are pairs of carriers (``first_10``), of how many
that could be there (``possible``), the rank of the first of them, and their median p-value. An artefact that makes no
neighbours is one that the network's similarities do not rest on: there is nothing to find.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))  # the checkout, wherever this is started from

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from chinspect.artefacts import artefact_named
from chinspect.encoders import DEFAULT, Encoder, load_encoder
from chinspect.images import list_images
from chinspect.relevance import Contributions, Method, contributions, patches
from chinspect.similarity import SimilarityIndex, suspicious_pairs
from experiments.study import Run, option, read_options

PLAIN = "none"
CELLS = 7  # patches to a side: 49 take a second an image
FIRST = 10
OPTIONS = (
    option("data", None, "a folder of photographs", type=Path, required=True),
    option("model", DEFAULT, "an encoder's name"),
    option("artefacts", ["imagenet-w", "logo"], "names of artefacts"),
    option("carriers", [6, 12, 24], "photographs that carry the artefact", type=int),
    option("limit", 0, "photographs at most; 0 for all"),
)


def main() -> None:
    """Draws, ranks, and writes the table."""
    smoke = {"limit": 16, "seeds": 1, "carriers": [6], "artefacts": ["imagenet-w"]}
    options = read_options(__doc__, OPTIONS, out="results/suspicious", seeds=3, smoke=smoke)
    photographs = Photographs(load_encoder(options.model), list_images(options.data)[: options.limit or None])
    rows: list[dict[str, Any]] = []
    with Run(options) as run:
        for artefact in (PLAIN, *options.artefacts):
            for carriers in options.carriers:
                rows += [ranked(photographs, artefact, carriers, seed) for seed in range(options.seeds)]
            run.write(pd.DataFrame(rows), "pairs")


class Photographs:
    """Photographs, each explained once with an artefact and once without."""

    def __init__(self, encoder: Encoder, files: Sequence[Path]) -> None:
        self.encoder = encoder
        self.files = files
        self.method = Method()
        self.graph = self.method.reader(encoder.module, encoder.prepare(files[0]))
        self.table = cache(self._table)

    def _table(self, index: int, artefact: str) -> Contributions:
        (pixels,) = self.encoder.see([self.files[index]])
        shown = pixels if artefact == PLAIN else artefact_named(artefact).add(pixels)
        side = self.encoder.preprocessing.size // CELLS
        return contributions(self.graph, self.encoder.inputs([shown]), patches(side), self.method)


class Drawn:
    """An index of photographs of which some carry an artefact, as far as `suspicious_pairs` reads it."""

    def __init__(self, photographs: Photographs, artefact: str, carries: NDArray[np.bool_]) -> None:
        tables = [photographs.table(i, artefact if carrier else PLAIN) for i, carrier in enumerate(carries)]
        self.tables = [table.values.numpy() for table in tables]
        self.embeddings = np.stack([table.output.numpy() for table in tables])
        self.names = [str(index) for index in range(len(tables))]

    def __len__(self) -> int:
        return len(self.names)

    def relevance(self, i: int, j: int) -> NDArray[np.floating[Any]]:
        """(h, w, h, w), as of an index."""
        return (self.tables[i] @ self.tables[j].T).reshape(CELLS, CELLS, CELLS, CELLS)

    neighbours = SimilarityIndex.neighbours


def ranked(photographs: Photographs, artefact: str, carriers: int, seed: int) -> dict[str, Any]:
    """What the ranking says of one draw."""
    order = np.random.default_rng(seed).permutation(len(photographs.files))
    carries = np.isin(np.arange(len(order)), order[:carriers])
    table = suspicious_pairs(Drawn(photographs, artefact, carries))  # type: ignore[arg-type]
    of_carriers = carries[table["a"].astype(int)] & carries[table["b"].astype(int)]
    found = np.flatnonzero(of_carriers)
    return {
        "artefact": artefact,
        "carriers": carriers,
        "seed": seed,
        "neighbours": len(found),
        "possible": min(len(found), FIRST),
        "first_10": int(of_carriers[:FIRST].sum()),
        "rank": found[0] + 1 if len(found) else np.nan,
        "p_value": table["p_value"][found].median() if len(found) else np.nan,
    }


if __name__ == "__main__":
    main()
