"""The decisive test: which maps notice a watermark that costs the network 16 points of accuracy?

    python experiments/faithfulness/watermark.py --photographs DIR [--pairs 8] [--methods ...] [--out DIR] [--smoke]

Held-out photographs (none of those that the table of the study is made of) in a ring: each makes a pair with the next.
Both get ImageNet-W's watermark on what the network sees. The share is the relevance of pairs of patches that both lie
in the two rows of patches under the mark, over all of it: 8 % if the relevance were spread evenly.

* plain: without a mark. Whatever share there is belongs to the photographs;
* watermark: with it. The share has to rise;
* strokes: the mark's ink in blocks of 4 pixels, shuffled within its own area: as bright, in the same place, no text;
* elsewhere: the mark two rows of patches higher. The share of the old rows must not rise (that of its own rows may, for
  it is the same mark: ``own_elsewhere``).

``watermark.csv`` has a row a pair and method, ``shares.csv`` the mean rise over pairs against plain, with a 95 %
bootstrap interval. A share of a sum near zero means nothing: ``smallest_sum`` is the smallest sum of a pair map over
the sum of its absolute values.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # the checkout, wherever this is started from

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from chinspect.artefacts import Artefact, imagenet_w
from chinspect.encoders import Encoder, load_encoder
from chinspect.images import open_image
from chinspect.intervals import mean_interval
from chinspect.known import shuffled_strokes
from chinspect.relevance import Respond, trace
from experiments.faithfulness.methods import TABLES
from experiments.faithfulness.photographs import draw_photographs, onnx_session
from experiments.study import Run, option, read_options, write_table

ROWS = (3, 4)
"""Rows of 32-pixel patches under the mark."""
HIGHER = 64
"""Pixels between the mark and the mark elsewhere: two rows of patches."""
OWN = (1, 2)
"""Rows under the mark elsewhere."""
Pixels = NDArray[np.uint8]
OPTIONS = (
    option("photographs", None, "a folder of images with labels.csv", type=Path),
    option("model", "efficientnet-lite0"),
    option("pairs", 8),
    option("drawn", 40, "photographs of the study's table, which are left out"),
    option("methods", ["epsilon_plus_flat", "kauffmann2025", "rescale blur", "shapley 8P"], choices=list(TABLES)),
)


def main() -> None:
    """Marks, explains, and writes both tables after every method."""
    options = read_options(__doc__, OPTIONS, out="results/watermark", smoke={"pairs": 2}, seed=0)
    with Run(options) as run:
        encoder = load_encoder(options.model)
        respond = onnx_session(encoder)
        files = draw_photographs(options.photographs, options.drawn, options.seed).held_out[: options.pairs]
        pictures = [np.asarray(encoder.preprocessing.visible(open_image(file))) for file in files]
        rows: list[dict[str, object]] = []
        for method in options.methods:
            rows += method_rows(method, encoder, respond, pictures, [file.stem for file in files])
            write_table(pd.DataFrame(rows), run.out, "watermark", decimals=3)
            run.write(rises(pd.DataFrame(rows)), "shares", decimals=3)


def versions() -> dict[str, Callable[[Pixels], Pixels]]:
    """What is done to the pictures."""
    mark = imagenet_w()
    strokes = Artefact("strokes", mark.rgb, shuffled_strokes(mark.alpha), mark.anchor)
    elsewhere = Artefact("elsewhere", np.roll(mark.rgb, -HIGHER, 0), np.roll(mark.alpha, -HIGHER, 0), mark.anchor)
    return {"plain": np.asarray, "watermark": mark.add, "strokes": strokes.add, "elsewhere": elsewhere.add}


def method_rows(
    method: str, encoder: Encoder, respond: Respond, pictures: list[Pixels], names: list[str]
) -> list[dict[str, object]]:
    """A row a pair."""
    graph = trace(encoder.module, encoder.prepare(Image.fromarray(pictures[0])))
    tables: dict[str, list[Tensor]] = {}
    for version, change in versions().items():
        images = [encoder.prepare(Image.fromarray(change(picture))) for picture in pictures]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of relevance that is lost, which the shares do not depend on
            tables[version] = [TABLES[method].table(graph, respond, x) for x in images]
    rows = []
    for i, name in enumerate(names):
        j = (i + 1) % len(names)
        cells = {version: table[i] @ table[j].T for version, table in tables.items()}
        row: dict[str, object] = {"method": method, "a": name, "b": names[j]}
        row |= {version: share(values, ROWS) for version, values in cells.items()}
        row |= {f"own_{version}": share(cells[version], OWN) for version in ("plain", "elsewhere")}
        rows.append(row | {"smallest_sum": min(smallness(values) for values in cells.values())})
    return rows


def share(cells: Tensor, rows: tuple[int, ...]) -> float:
    """Relevance of pairs of patches in some rows of patches of both images, over all of it."""
    side = round(len(cells) ** 0.5)
    under = torch.isin(torch.arange(len(cells)) // side, torch.tensor(rows))
    return float(cells[under][:, under].sum() / cells.sum())


def smallness(cells: Tensor) -> float:
    """The sum over the sum of absolute values: near 0, a share of the sum means nothing."""
    return float(cells.sum() / cells.abs().sum())


def rises(table: pd.DataFrame) -> pd.DataFrame:
    """The mean over pairs of each version's share, and its rise against plain with an interval."""
    rows = []
    for method, pairs in table.groupby("method", sort=False):
        row: dict[str, object] = {"method": method, "plain": pairs["plain"].mean()}
        for version in ("watermark", "strokes", "elsewhere", "own_elsewhere"):
            rise = (pairs[version] - pairs["own_plain" if version.startswith("own") else "plain"]).to_numpy()
            low, high = mean_interval(rise)
            row |= {version: rise.mean(), f"{version}_low": low, f"{version}_high": high}
        rows.append(row | {"smallest_sum": pairs["smallest_sum"].min()})
    return pd.DataFrame(rows)


if __name__ == "__main__":
    main()
