"""Which method explains an encoder most faithfully? Measured on a few pairs of images of the data set.

Faithful is a map whose most relevant patches, replaced, take most of what the images share: its *advantage* is the fall
of the similarity without them less that without random ones, as a fraction of what is to be explained, in the mean over
5, 10, 20 and 40 % of the patches (see `chinspect.faithfulness.deletion`). All methods are asked about the same pairs
and the same reference.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from chinspect.encoders import Encoder, as_encoder, method_for
from chinspect.errors import InputError
from chinspect.execute import Samples, Source, load_samples
from chinspect.relevance import COMPOSITES, Graph, Method, RelevanceWarning
from chinspect.report import Result
from chinspect.report.tables import records
from chinspect.similarity.bilrp import explain_image
from chinspect.similarity.explanation import SimilarityExplanation

PAIRS = 4
"""Pairs of images by default: differences of a tenth in the advantage are seen."""
_PATCH_SIZE = 32  # coarse patches, so that the choice takes seconds; what is faithful to them is to finer ones


@dataclass(frozen=True, eq=False, repr=False)
class Choice(Result):
    """The methods that were tried, and the most faithful of them; see `choose_method`.

    Attributes:
        method: the one with the largest mean advantage.
        table: a row a method: ``method``, ``advantage`` and its standard error over pairs, ``conservation``,
            ``seconds`` a pair; the most faithful first.
        pairs: how many pairs of images were explained.
    """

    method: Method
    table: pd.DataFrame
    pairs: int

    stem = "choice"

    @property
    def sentence(self) -> str:
        """The choice in words."""
        best = self.table.iloc[0]
        return (
            f"{self.method.label} is the most faithful of {len(self.table)} methods on {self.pairs} pairs of images: "
            f"without its most relevant patches they lose {best.advantage:.0%} more than without random ones."
        )

    def document(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return {"choice": self.method.document, "pairs": self.pairs, "tried": records(self.table)}

    def overview(self) -> dict[str, pd.DataFrame]:
        """The table."""
        return {"methods by faithfulness": self.table}


def candidate_methods(encoder: Encoder) -> list[Method]:
    """Reference maps with each named reference, and LRP with each composite: all take about one pass a patch."""
    references = [method_for(encoder, "rescale", reference=name) for name in ("blur", "mean", "grey")]
    return references + [method_for(encoder, "lrp", composite=name) for name in COMPOSITES]


def choose_method(
    encoder: Encoder | str,
    images: Source,
    *,
    candidates: Sequence[Method] | None = None,
    pairs: int = PAIRS,
    random_state: int = 0,
) -> Choice:
    """The most faithful of some methods for an encoder.

    Args:
        encoder: an encoder, or the name of one (see `load_encoder`).
        images: the data set, see `load_samples`; pairs are drawn at random from what can be read.
        candidates: methods to try; by default `candidate_methods`.

    Raises `InputError` where fewer than 2 images can be read, or none of the methods fits the encoder.
    """
    encoder = as_encoder(encoder)
    images = load_samples(images)
    methods = list(candidate_methods(encoder) if candidates is None else candidates)
    drawn = _pairs(images, pairs, random_state)
    graph = Method().reader(encoder.module, encoder.prepare(images[drawn[0][0]]))
    rows = [_row(encoder, method, graph, images, drawn) for method in methods]
    table = pd.DataFrame(rows)
    order = np.argsort(-table.advantage.to_numpy(), kind="stable")
    return Choice(methods[order[0]], table.iloc[order].reset_index(drop=True), len(drawn))


def _row(
    encoder: Encoder, method: Method, graph: Graph | nn.Module, images: Samples, drawn: Sequence[tuple[int, int]]
) -> dict[str, Any]:
    model = encoder.module if method.name == "shapley" else graph
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RelevanceWarning)  # the table says it: such a map conserves and finds little
        advantages, conserved = zip(*(_advantage(encoder, method, model, images, pair) for pair in drawn), strict=True)
    return {
        "method": method.label,
        "advantage": float(np.mean(advantages)),
        "standard_error": float(np.std(advantages, ddof=1) / np.sqrt(len(drawn))) if len(drawn) > 1 else np.nan,
        "conservation": float(np.mean(conserved)),
        "seconds": (time.perf_counter() - start) / len(drawn),
    }


def _advantage(
    encoder: Encoder, method: Method, model: Graph | nn.Module, images: Samples, pair: tuple[int, int]
) -> tuple[float, float]:
    """Advantage over random patches, and conservation."""
    size = min(_PATCH_SIZE, encoder.preprocessing.size // 4)  # 16 patches at least
    a, b = (explain_image(encoder, model, images[index], method, size, name=images.names[index]) for index in pair)
    explanation = SimilarityExplanation(a, b, "dot", encoder, method, size)
    deletion = replace(explanation.pair(), method=Method()).deletion(explanation.relevance_of_a)
    unit = abs(deletion.explained) or 1.0
    return float((deletion.most - deletion.random.mean(1)).mean()) / unit, explanation.conservation


def _pairs(images: Samples, count: int, random_state: int) -> list[tuple[int, int]]:
    """Pairs of images that can be read, each image once."""
    readable: list[int] = []
    for index in np.random.default_rng(random_state).permutation(len(images)):
        if len(readable) == 2 * count:
            break
        try:
            images[int(index)]
        except InputError:
            continue
        readable.append(int(index))
    if len(readable) < 2:
        raise InputError(
            f"a method is chosen on pairs of images, and of {len(images)} only {len(readable)} can be read."
        )
    return list(zip(readable[::2], readable[1::2], strict=False))
