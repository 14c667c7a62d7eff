"""From suspicious pairs to sets of images that share a place: what lies there may be an artefact, and can be proven.

Leading pairs are those more similar in place than one in a hundred shuffled pairs. Pairs whose similarity lies in the
same patches, by the cosine of their maps of what is in place, make a set, the largest first; its members are the images
of its pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from chinspect.proof import MIN_MEMBERS
from chinspect.similarity import SimilarityIndex, in_place
from chinspect.spray import position_in_words

LEADING = 0.01
"""P-value of a leading pair, at most."""
_ALIKE = 0.6  # cosine of two maps: two marks of which each covers most of the other
_SETS = 2  # at most: each makes the proofs of all others stricter
_MOST = 400  # leading pairs that are compared: their number squared is compared with each other


@dataclass(frozen=True, eq=False)
class Site:
    """Images whose similarity to each other lies in one place.

    Attributes:
        names: of the images.
        map: (h, w), the mean of what is in place over the pairs; of each image, that of its own pairs in ``maps``.
        pairs: rows of the table of suspicious pairs.
    """

    names: Sequence[str]
    map: NDArray[np.floating[Any]]
    maps: dict[str, NDArray[np.floating[Any]]]
    pairs: pd.DataFrame

    @property
    def position(self) -> str:
        """Where it is, in words."""
        return position_in_words(self.map)


def shared_sites(index: SimilarityIndex, pairs: pd.DataFrame) -> list[Site]:
    """The places that leading pairs share, those of most pairs first."""
    leading = pairs[pairs["p_value"] <= LEADING].head(_MOST)
    if leading.empty:
        return []
    number = {name: i for i, name in enumerate(index.names)}
    maps = np.stack([in_place(index.relevance(number[row.a], number[row.b])) for row in leading.itertuples()])
    flat = maps.reshape(len(maps), -1)
    unit = flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-12)  # a map of zeros is like no other
    alike = unit @ unit.T >= _ALIKE
    free = np.ones(len(maps), dtype=bool)
    result: list[Site] = []
    while free.any() and len(result) < _SETS:
        seed = int(np.argmax((alike & free).sum(1) * free))
        own = alike[seed] & free
        free &= ~own
        site = _site(leading[own], maps[own])
        if len(site.names) < MIN_MEMBERS:
            break
        result.append(site)
    return result


def _site(pairs: pd.DataFrame, maps: NDArray[np.floating[Any]]) -> Site:
    of_image: dict[str, list[NDArray[np.floating[Any]]]] = {}
    for (_, row), values in zip(pairs.iterrows(), maps, strict=True):
        for name in (row["a"], row["b"]):
            of_image.setdefault(name, []).append(values)
    means = {name: np.mean(values, axis=0) for name, values in sorted(of_image.items())}
    return Site(list(means), maps.mean(0), means, pairs)
