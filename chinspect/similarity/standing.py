"""Where a similarity lies among those of a data set: a number such as 419 says nothing alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chinspect.encoders import Encoder
from chinspect.errors import InputError
from chinspect.execute import Source, load_samples

IMAGES = 200
"""Images of a data set that are embedded to compare with: 19,900 pairs, whose percentiles are right to some percent."""
_LARGEST = 2000  # embeddings whose pairs are all compared: two million cosines


@dataclass(frozen=True)
class Standing:
    """A cosine among those of the pairs of a data set.

    Attributes:
        below: the fraction of the pairs whose cosine is smaller.
        median: of the pairs' cosines.
        pairs, images: how many there are.
    """

    below: float
    median: float
    pairs: int
    images: int

    @property
    def sentence(self) -> str:
        """In words, behind the cosine."""
        median = f"whose median is {self.median:.2f}"
        pairs = f"of the {self.pairs:,} pairs of {self.images:,} images of the data set, {median}"
        if self.below < 0.5:  # similar by what they have in common, and yet less than is usual here
            return f"less similar than most: higher than only {self.below:.0%} {pairs}"
        return f"higher than {self.below:.0%} {pairs}"


def standing_among(embeddings: NDArray[np.floating[Any]], cosine: float, random_state: int = 0) -> Standing:
    """Where a cosine lies among those of all pairs of embeddings (N, D); of many, of some drawn at random."""
    rows = embeddings.astype(float)
    if len(rows) > _LARGEST:
        rows = rows[np.random.default_rng(random_state).choice(len(rows), _LARGEST, replace=False)]
    # 1e-12: an embedding of zeros has a cosine of 0 with all others
    unit = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    cosines = (unit @ unit.T)[np.triu_indices(len(unit), 1)]
    # a pair of the data set itself is not below itself because of rounding
    below = float((cosines < cosine - 1e-6).mean())
    return Standing(below, float(np.median(cosines)), len(cosines), len(unit))


def sampled_embeddings(encoder: Encoder, images: Source, random_state: int = 0) -> NDArray[np.floating[Any]]:
    """Embeddings (n, D) of at most `IMAGES` images of a data set that can be read, drawn at random.

    Raises `InputError` where fewer than 3 can be read.
    """
    samples = load_samples(images)
    pictures: list[Any] = []
    for index in np.random.default_rng(random_state).permutation(len(samples)):
        if len(pictures) == IMAGES:
            break
        try:
            pictures.append(encoder.see([samples[int(index)]])[0])
        except InputError:
            continue
    if len(pictures) < 3:
        raise InputError(
            f"a similarity is compared with those of at least 3 images, and of the {len(samples)} of "
            f"{str(samples.root)!r} {len(pictures)} can be read."
        )
    return encoder.respond(pictures)
