"""Similarities of GitHub images that rest on annotations: suspicious pairs, and clusters of explanations."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import hypergeom

from chinspect.datasets import GITHUB, XrayImages
from chinspect.encoders import Encoder
from chinspect.files import output_folder
from chinspect.similarity import SimilarityIndex, suspicious_pairs
from experiments.spray_cxr.analysis import analysed, flagged
from experiments.xray.relevance import seen_mask
from experiments.xray.text import Mask

_CELLS = 16
"""Patches along the side of an image."""
_FIGURES = 3


def ranked_pairs(
    encoder: Encoder, images: XrayImages, masks: Mapping[Path, Mask], out: Path, most: int
) -> pd.DataFrame:
    """Suspicious pairs of GitHub images, with the fraction of each marginal on text; the first ones are drawn.

    Drawn are the most suspicious pairs, to ``pair-N.png``, and the annotated ones with most relevance on the text of
    both images, to ``pair-text-N.png``. Relevance on text that is no more than the text's area makes nothing similar.
    """
    listed = table_of(images.take(np.array(images.sources) == GITHUB), most, out)
    side = encoder.preprocessing.size
    index = SimilarityIndex.build(encoder, listed, out / "index", patch_size=max(side // _CELLS, 1))
    cells = {name: _on_grid(seen_mask(encoder, masks[Path(name)]), index.grid) for name in index.names}
    table = suspicious_pairs(index)
    rows = {name: i for i, name in enumerate(index.names)}
    for column, other in (("a", "b"), ("b", "a")):
        table[f"text_{column}"] = [
            _fraction(index.marginal(rows[own], rows[its]), cells[own])
            for own, its in zip(table[column], table[other], strict=True)
        ]
        table[f"area_{column}"] = [float(cells[name].mean()) for name in table[column]]
    annotated = (table["area_a"] > 0) & (table["area_b"] > 0)
    on_text = (table["text_a"] * table["text_b"])[annotated].sort_values(ascending=False).index
    for name, some in (("pair", table), ("pair-text", table.loc[on_text])):
        for number, (a, b) in enumerate(zip(some["a"][:_FIGURES], some["b"][:_FIGURES], strict=True), 1):
            index.explain(rows[a], rows[b]).plot(out / f"{name}-{number}.png")
    for column in ("a", "b"):
        table[column] = [Path(name).stem for name in table[column]]
    return table.drop(columns=["row", "column"])


def strategies(
    encoder: Encoder, images: XrayImages, masks: Mapping[Path, Mask], out: Path, most: int, surrogates: int
) -> pd.DataFrame:
    """Flagged clusters of SpRAy over both sources, and whether their members carry text more often than others.

    ``p_text`` is the chance (hypergeometric) of as many annotated members in a random group of that size.
    """
    run = analysed(encoder, table_of(images, most, out), out, surrogates=surrogates)
    annotated = np.array([masks[Path(name)].any() for name in run.names])

    def describe(candidate: Any) -> dict[str, float]:
        inside = annotated[candidate.indices]
        chance = hypergeom.sf(inside.sum() - 1, len(annotated), annotated.sum(), candidate.size)
        return {"with_text": inside.mean(), "with_text_of_all": annotated.mean(), "p_text": float(chance)}

    table = pd.DataFrame(flagged(run, describe))
    table.insert(2, "annotated", annotated.sum())
    return table


def table_of(images: XrayImages, most: int, folder: Path) -> Path:
    """A table of samples in a folder, at most so many of each source, whose labels are the sources."""
    some = images.limited(most, seed=0)
    path = output_folder(folder) / "images.csv"
    pd.DataFrame({"path": map(str, some.paths), "label": some.sources}).to_csv(path, index=False)
    return path


def _on_grid(mask: Mask, grid: tuple[int, int]) -> NDArray[np.float64]:
    """Fraction of each patch that is text."""
    return cv2.resize(mask.astype(np.float64), grid[::-1], interpolation=cv2.INTER_AREA)


def _fraction(marginal: NDArray[Any], cells: NDArray[np.float64]) -> float:
    return float((marginal * cells).sum() / marginal.sum())
