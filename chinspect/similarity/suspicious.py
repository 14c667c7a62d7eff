"""Which similarities of a data set deserve a look: a search for pairs that are similar by something in one place.

A watermark, a logo or an annotation lies in the same place in all images that carry it, and what images show does not.
For a pair (a, b) on one grid of patches, with the relevance R[i, j] of patch i of a together with patch j of b, the
score is the fraction of what makes the images similar that lies on pairs of patches in the same place,

    score(a, b) = sum_i max(R[i, i], 0) / sum_ij max(R[i, j], 0),

1 / P on P patches where position plays no role.

*The null.* Photographs are centred and X-rays are aligned, so that some relevance is in place for honest reasons. The
p-value is therefore read against shuffled pairs: each image with partners drawn at random. It says how rarely two
images of this data set, taken at random, are similar in place to such an extent; it does not say that the reason is an
artefact. The score ranks what to look at, a test decides.

*What it finds*, measured on 251 photographs with EfficientNet-Lite0 (``experiments/suspicious``): with ImageNet-W's
watermark on 6, 12 and 24 of them, 5.7, 10 and 10 of the first 10 pairs are pairs of carriers (means of three draws),
without it none. This score was chosen among some others on the same photographs and the same watermark, so that these
numbers may be better than others will find theirs. It finds nothing that moves from image to image, and next to nothing
that the network does not answer to, as the logo here (2 of 10 in one of nine draws): pairs are looked for among nearest
neighbours, which such a mark does not make. For these see `chinspect.spray`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from chinspect.errors import InputError
from chinspect.similarity.image import Array
from chinspect.similarity.index import SimilarityIndex

_SAME = 1e-3  # of the length: embeddings that differ by less are of one image, saved twice


def suspicious_pairs(
    index: SimilarityIndex,
    *,
    n_neighbors: int = 5,
    n_null: int = 500,
    random_state: int = 0,
) -> pd.DataFrame:
    """Ranks neighbouring images by how much of what makes them similar lies in the same place in both.

    Args:
        n_neighbors: how many nearest neighbours (cosine) of each image are looked at.
        n_null: number of shuffled pairs that the p-values are read against.

    Returns:
        One row a pair, most suspicious first: ``a, b`` (names), ``similarity`` (cosine), ``score`` (the fraction in
        place, see the module), ``p_value`` (rank among shuffled pairs, at least ``1 / (n_null + 1)``), ``even`` (the
        score where position plays no role), ``row, column`` (the patch that holds most of what is in place). Images
        that the encoder cannot tell apart are one image twice, and no pair.

    Raises:
        InputError: the index has fewer than three images.
    """
    if len(index) < 3:
        raise InputError(f"suspicious pairs need at least 3 images, and the index has {len(index)}.")
    pairs: dict[tuple[int, int], float] = {}
    for i in range(len(index)):
        for j, similarity in index.neighbours(i, n_neighbors):
            if not _same(index.embeddings[i], index.embeddings[j]):
                pairs[min(i, j), max(i, j)] = similarity
    shuffled = _shuffled(len(index), n_null, random_state)
    null = np.sort([in_place(index.relevance(i, j)).sum() for i, j in shuffled])
    rows = []
    for (i, j), similarity in pairs.items():
        fractions = in_place(index.relevance(i, j))
        score = float(fractions.sum())
        exceeding = len(null) - int(np.searchsorted(null, score, side="left"))
        p_value = (1 + exceeding) / (1 + len(null))
        row, column = np.unravel_index(int(fractions.argmax()), fractions.shape)
        rows.append((index.names[i], index.names[j], similarity, score, p_value, 1 / fractions.size, row, column))
    columns = ["a", "b", "similarity", "score", "p_value", "even", "row", "column"]
    table = pd.DataFrame(rows, columns=columns)
    return table.sort_values("score", ascending=False, ignore_index=True)


def _same(first: Array, second: Array) -> bool:
    return bool(np.linalg.norm(first - second) <= _SAME * np.linalg.norm(first))


def _shuffled(images: int, count: int, random_state: int) -> NDArray[np.intp]:
    """Pairs (count, 2) of different images at random."""
    generator = np.random.default_rng(random_state)
    first = generator.integers(0, images, count)
    return np.column_stack([first, (first + generator.integers(1, images, count)) % images])


def in_place(relevance: Array) -> Array:
    """Of the relevance (h, w, h, w) of a pair what lies on each patch together with that in the same place, (h, w).

    Positive relevance, as fractions of all that is positive.
    """
    positive = np.clip(relevance.astype(float), 0, None)
    fractions: Array = np.einsum("ijij->ij", positive) / (positive.sum() or 1.0)
    return fractions
