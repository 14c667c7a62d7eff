"""How an artefact moves embeddings together: what it does to an encoder, told without labels.

With z the embeddings less the mean embedding of the images without the artefact, so that what all images have in common
does not count,

    similarity gain = mean_{i != j} cos(z_i*, z_j*) - cos(z_i, z_j),        * with the artefact on the image.

Neighbours changed is the fraction of an image's nearest neighbours among the images without the artefact that differ
once it carries it. Neighbours that carry it, too, is read off images of which a random half carries the artefact: the
fraction of an image's nearest neighbours that are like it in that; one half if the artefact plays no role.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from chinspect.known.rows import Row, mean_row, pairs_row

Values = NDArray[np.float64]
GAIN = "similarity gain"
CHANGED = "neighbours changed"
ALIKE = "neighbours alike in the mark"
_NEIGHBOURS = 10  # as many as one looks at
_TINY = 1e-12  # keeps the direction of an embedding of zeros defined; far below the length of any other


def together_rows(condition: str, before: Values, after: Values, seed: int = 0) -> list[Row]:
    """The three measures of embeddings (n, D) without and with an edit."""
    centre = before.mean(0)
    plain = unit(before - centre)
    marked = unit(after - centre)
    gain = marked @ marked.T - plain @ plain.T
    np.fill_diagonal(gain, 0)
    return [
        pairs_row(GAIN, condition, gain, seed),
        mean_row(CHANGED, condition, neighbours_changed(plain, marked), seed),
        mean_row(ALIKE, condition, neighbours_alike(plain, marked, seed), seed),
    ]


def neighbours_changed(plain: Values, marked: Values) -> Values:
    """Of each image (n,) the fraction of its nearest neighbours that are others once it is marked; unit vectors."""
    old = nearest(plain @ plain.T)
    new = nearest(marked @ plain.T)
    return np.array([1 - np.isin(row, known).mean() for row, known in zip(new, old, strict=True)])


def neighbours_alike(plain: Values, marked: Values, seed: int = 0) -> Values:
    """Of each image (n,) the fraction of its nearest neighbours that carry the mark if and only if it does."""
    carries = np.zeros(len(plain), dtype=bool)
    carries[np.random.default_rng(seed).permutation(len(plain))[: len(plain) // 2]] = True
    mixed = np.where(carries[:, None], marked, plain)
    alike: Values = (carries[nearest(mixed @ mixed.T)] == carries[:, None]).mean(1)
    return alike


def nearest(similarity: Values) -> NDArray[np.intp]:
    """Indices (n, k) of the most similar other images, up to `_NEIGHBOURS` of them and a third of all."""
    ranked = similarity.copy()
    np.fill_diagonal(ranked, -np.inf)
    k = max(min(_NEIGHBOURS, len(ranked) // 3), 1)
    return np.argsort(-ranked, axis=1, kind="stable")[:, :k]


def unit(values: Values) -> Values:
    """Rows at length 1."""
    scaled: Values = values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), _TINY)
    return scaled
