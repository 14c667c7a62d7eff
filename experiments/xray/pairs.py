"""Similarities of GitHub images that rest on annotations: suspicious pairs, and clusters of explanations."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import hypergeom
from spray_cxr import analysed
from xray_relevance import seen_mask
from xray_text import Mask

from chinspect.datasets import GITHUB, XrayImages
from chinspect.encoders import Encoder
from chinspect.files import output_folder
from chinspect.similarity import SimilarityIndex, suspicious_pairs
from chinspect.spray import SprayRun
from chinspect.spray.run_words import place_of

_CELLS, _FIGURES = 16, 3


def pairs(encoder: Encoder, images: XrayImages, masks: Mapping[Path, Mask], out: Path, most: int) -> pd.DataFrame:
    """Suspicious pairs of GitHub images, with the share of each marginal on text; the first ones are drawn.

    Drawn are the most suspicious pairs, to ``pair-N.png``, and the annotated ones with most relevance on the text of
    both images, to ``pair-text-N.png``. Relevance on text that is no more than the text's area makes nothing similar.
    """
    part = images.take(np.array(images.sources) == GITHUB).limited(most, seed=0)
    listed = table_of(part, output_folder(out) / "images.csv")
    side = encoder.preprocessing.size
    index = SimilarityIndex.build(encoder, listed, out / "index", patch_size=max(side // _CELLS, 1))
    cells = {name: _on_grid(seen_mask(encoder, masks[Path(name)]), index.grid) for name in index.names}
    found = suspicious_pairs(index)
    places = {name: i for i, name in enumerate(index.names)}
    for column in ("a", "b"):
        other = {"a": "b", "b": "a"}[column]
        found[f"text_{column}"] = [
            _share(index.marginal(places[own], places[its]), cells[own])
            for own, its in zip(found[column], found[other], strict=True)
        ]
        found[f"area_{column}"] = [float(cells[name].mean()) for name in found[column]]
    annotated = (found["area_a"] > 0) & (found["area_b"] > 0)
    on_text = (found["text_a"] * found["text_b"])[annotated].sort_values(ascending=False).index
    for name, rows in (("pair", found), ("pair-text", found.loc[on_text])):
        for number, (a, b) in enumerate(zip(rows["a"][:_FIGURES], rows["b"][:_FIGURES], strict=True), 1):
            index.explain(places[a], places[b]).plot(out / f"{name}-{number}.png")
    for column in ("a", "b"):
        found[column] = [Path(name).stem for name in found[column]]
    return found.drop(columns=["row_a", "column_a", "row_b", "column_b"])


def strategies(
    model: str, images: XrayImages, masks: Mapping[Path, Mask], out: Path, most: int, surrogates: int
) -> pd.DataFrame:
    """Flagged clusters of SpRAy over both sources, and whether their members carry text more often than others.

    ``p_text`` is the chance (hypergeometric) of as many annotated members in a random group of that size.
    """
    listed = table_of(images.limited(most, seed=0), output_folder(out) / "images.csv")
    run = analysed(model, listed, out, argparse.Namespace(explain="neighbours", surrogates=surrogates))
    annotated = np.array([masks[Path(name)].any() for name in run.names])
    common = {"images": len(run.names), "candidates": len(run.findings), "annotated": int(annotated.sum())}
    rows = [
        common | _described(number, run, annotated)
        for number, finding in enumerate(run.findings, 1)
        if finding.candidate.flagged
    ]
    return pd.DataFrame(rows or [common | {"verdict": run.verdict}])


def table_of(images: XrayImages, path: Path) -> Path:
    """A table of samples, whose labels are the sources."""
    rows = {"path": [str(image) for image in images.paths], "label": images.sources}
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def _described(number: int, run: SprayRun, annotated: NDArray[np.bool_]) -> dict[str, Any]:
    candidate = run.findings[number - 1].candidate
    labels, inside = np.array(run.labels), annotated[candidate.indices]
    names, counts = np.unique(labels[candidate.indices], return_counts=True)
    row = {"candidate": number, "size": candidate.size, "within": candidate.group or "all"}
    row |= {"source": names[counts.argmax()], "purity": counts.max() / counts.sum()}
    chance = hypergeom.sf(inside.sum() - 1, len(annotated), annotated.sum(), candidate.size)
    row |= {"with_text": float(inside.mean()), "with_text_of_all": float(annotated.mean()), "p_text": float(chance)}
    return row | {"place": place_of(candidate), "verdict": candidate.verdict, "q": candidate.q_value}


def _on_grid(mask: Mask, grid: tuple[int, int]) -> NDArray[np.float64]:
    """Share of each patch that is text."""
    return cv2.resize(mask.astype(np.float64), grid[::-1], interpolation=cv2.INTER_AREA)


def _share(marginal: NDArray[Any], cells: NDArray[np.float64]) -> float:
    return float((marginal * cells).sum() / marginal.sum())
