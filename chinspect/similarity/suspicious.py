"""Which similarities of a data set deserve a look: an automatic search for suspicious pairs.

A Clever Hans similarity rests on little of both images, and on something else than what these images are usually
similar by. For a pair (a, b), let ``p(i, j)`` be the fraction of the positive relevance on patch pair (i, j), and
``m_a(i)``, ``m_b(j)`` the fractions of the patches in the images' *usual* marginals, their similarity to the average
image of the data set. The score is the Kullback-Leibler divergence

    score(a, b) = sum_ij p(i, j) * log2( p(i, j) / (m_a(i) * m_b(j)) )      [bits]

It is 0 where the pair is similar in the usual way, and grows when the relevance is concentrated on few pairs of
patches and when these are unusual for their images. 3 bits: as if seven eighths of what usually counts did not.

*The null.* Neighbours share content, so their relevance is more specific than that of any two images. The p-value is
therefore read against shuffled pairs: each image with partners drawn at random. It says how rarely two images of this
data set, taken at random, are similar in so specific a way; it does not say that the reason is an artefact. Neighbours
with honest common content score as well: the score ranks what to look at, a test decides.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from chinspect.errors import InputError
from chinspect.similarity.explanation import Array
from chinspect.similarity.index import SimilarityIndex


def suspicious_pairs(
    index: SimilarityIndex,
    *,
    n_neighbors: int = 5,
    n_null: int = 500,
    random_state: int = 0,
) -> pd.DataFrame:
    """Ranks neighbouring images by how specific the patches are that make them similar.

    Args:
        n_neighbors: how many nearest neighbours (cosine) of each image are looked at.
        n_null: number of shuffled pairs that the p-values are read against.

    Returns:
        One row a pair, most suspicious first: ``a, b`` (names), ``similarity`` (cosine), ``score`` (bits, see the
        module), ``p_value`` (rank among shuffled pairs, at least ``1 / (n_null + 1)``), ``focus`` (fraction of the
        positive relevance on the strongest percent of patch pairs), ``row_a, column_a, row_b, column_b`` (the strongest
        pair of patches).

    Raises:
        InputError: the index has fewer than three images.
    """
    if len(index) < 3:
        raise InputError(f"suspicious pairs need at least 3 images, and the index has {len(index)}.")
    usual = [_distribution(index.marginal(i)) for i in range(len(index))]
    pairs: dict[tuple[int, int], float] = {}
    for i in range(len(index)):
        for j, similarity in index.neighbours(i, n_neighbors):
            pairs[min(i, j), max(i, j)] = similarity
    null = np.sort(
        [_specificity(index.relevance(i, j), usual[i], usual[j])[0] for i, j in _shuffled(index, n_null, random_state)]
    )
    rows = []
    for (i, j), similarity in pairs.items():
        relevance = index.relevance(i, j)
        score, focus = _specificity(relevance, usual[i], usual[j])
        exceeding = len(null) - int(np.searchsorted(null, score, side="left"))
        strongest = np.unravel_index(int(relevance.argmax()), relevance.shape)
        p_value = (1 + exceeding) / (1 + len(null))
        rows.append((index.names[i], index.names[j], similarity, score, p_value, focus, *map(int, strongest)))
    columns = ["a", "b", "similarity", "score", "p_value", "focus", "row_a", "column_a", "row_b", "column_b"]
    table = pd.DataFrame(rows, columns=columns)
    return table.sort_values("score", ascending=False, ignore_index=True)


def _shuffled(index: SimilarityIndex, count: int, random_state: int) -> NDArray[np.intp]:
    """Pairs (count, 2) of different images at random."""
    generator = np.random.default_rng(random_state)
    first = generator.integers(0, len(index), count)
    return np.column_stack([first, (first + generator.integers(1, len(index), count)) % len(index)])


def _distribution(relevance: Array) -> Array:
    """Positive relevance, flat, scaled to the sum 1; no entry is smaller than a thousandth of an even distribution."""
    positive = np.clip(relevance.reshape(-1).astype(float), 0, None)
    fractions = positive / positive.sum() if positive.sum() > 0 else np.full(positive.size, 1 / positive.size)
    floor = 1e-3 / positive.size  # keeps the logarithms finite, and adds less than a thousandth to the sum
    return (fractions + floor) / (1 + floor * positive.size)


def _specificity(relevance: Array, usual_a: Array, usual_b: Array) -> tuple[float, float]:
    """The score in bits, and the fraction on the strongest percent of pairs."""
    fractions = _distribution(relevance).reshape(len(usual_a), len(usual_b))
    score = float((fractions * np.log2(fractions / np.outer(usual_a, usual_b))).sum())
    top = max(1, fractions.size // 100)
    return score, float(np.partition(fractions.reshape(-1), -top)[-top:].sum())
