"""From pairs of images to sets that share a place: what lies there may be an artefact, and can be proven.

Pairs are from two sources. Of neighbours those lead that are more similar in place than one in a hundred shuffled
pairs, by what makes them similar to the model; of all pairs of images those whose edges agree beyond chance
(`chinspect.proof.edge_pairs`), whatever the model makes of them. Pairs that agree in the same patches, by the cosine of
their maps of what is in place, make a set, the largest first; its members are the images of its pairs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from chinspect.errors import InputError
from chinspect.proof import MIN_CARRIERS, MIN_MEMBERS
from chinspect.proof.edge_pairs import EdgePairs, compare_edges
from chinspect.similarity import SimilarityIndex, in_place
from chinspect.spray import SprayRun, position_in_words
from chinspect.stress.resizing import evenly

LEADING = 0.01
"""P-value of a leading pair, at most."""
COMPARED = 1000
"""Images whose edges are compared at most, which takes half a minute: it grows with their number squared."""
_FEWEST = 2 * MIN_MEMBERS
_ALIKE = 0.6  # cosine of two maps: two marks of which each covers most of the other
_MOSTLY = 0.5  # of all pairs: of photographs with a watermark .75 to 1 agree, of drawings of one kind .1 to .5
_SETS = 2  # at most, of each source: each makes the proofs of all others stricter
_MOST = 400  # leading pairs that are compared: their number squared is compared with each other

Maps = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class Site:
    """Images that share a place.

    Attributes:
        source: ``pairs`` of neighbours that are similar there, or pairs whose ``edges`` agree there.
        members: indices of the images.
        map: (h, w), the mean of what is in place over the pairs; of each image, that of its own pairs in ``maps``.
        pairs: how many there are.
        doubtful: indices of images that any leading pair joins to a member: they may carry what members do.
    """

    source: Literal["pairs", "edges"]
    members: NDArray[np.intp]
    map: Maps
    maps: dict[int, Maps]
    pairs: int
    doubtful: NDArray[np.intp]

    @property
    def position(self) -> str:
        """Where it is, in words."""
        return position_in_words(self.map)


def shared_sites(index: SimilarityIndex, pairs: pd.DataFrame, names: Sequence[str]) -> list[Site]:
    """The places that leading pairs of neighbours share, those of most pairs first; members are indices of names."""
    leading = pairs[pairs["p_value"] <= LEADING]
    leading = leading[leading["a"].isin(names) & leading["b"].isin(names)]
    if leading.empty:
        return []
    numbers, in_index = ({name: i for i, name in enumerate(some)} for some in (names, index.names))
    both = list(zip(leading["a"], leading["b"], strict=True))
    maps = np.stack([in_place(index.relevance(in_index[a], in_index[b])) for a, b in both[:_MOST]])
    joined = np.array([(numbers[a], numbers[b]) for a, b in both], dtype=np.intp)
    return [_site("pairs", joined, maps, own) for own in islice(_sets(joined, maps, MIN_MEMBERS), _SETS)]


def edge_sites(run: SprayRun) -> list[Site]:
    """The places where edges of the images of a run agree, those of most pairs first.

    Each picture is compared once, and of more than `COMPARED` evenly spread ones. Where fewer than `MIN_MEMBERS` images
    are sure to agree, those that agree most with them are members, too: which of them carry what is cut out is told
    then. Raises `InputError` for fewer images than an artefact is isolated from and compared with.
    """
    assert run.picture is not None
    kept = run.spray.kept_[evenly(len(run.spray.kept_), COMPARED)]
    if len(kept) < _FEWEST:
        raise InputError(f"edges of at least {_FEWEST} different images are compared, and there are {len(kept)}.")
    found = compare_edges([np.array(run.picture(int(i)).convert("RGB")) for i in kept])
    sites = (_site("edges", found.pairs, found.maps, own) for own in _sets(found.pairs, found.maps, MIN_CARRIERS))
    marks = islice((site for site in sites if _each_with_each(site.members, found)), _SETS)
    return [_filled(site, found, kept) for site in marks]


def _each_with_each(members: NDArray[np.intp], found: EdgePairs) -> bool:
    """Whether most pairs of some images agree: those of a mark's carriers do, and of images that share shapes few."""
    agree = found.scores[np.ix_(members, members)] > found.chance
    return bool(agree.sum() > _MOSTLY * len(members) * (len(members) - 1))


def _sets(pairs: NDArray[np.intp], maps: Maps, least: int) -> Iterator[NDArray[np.bool_]]:
    """Which of the first pairs (M, 2), with maps (M, h, w), make a set of at least so many images: masks."""
    flat = maps.reshape(len(maps), math.prod(maps.shape[1:]))  # of no pairs, too
    unit = flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-12)  # a map of zeros is like no other
    alike = unit @ unit.T >= _ALIKE
    free = np.ones(len(flat), dtype=bool)
    while free.any():
        seed = int(np.argmax((alike & free).sum(1) * free))
        own = alike[seed] & free
        free &= ~own
        if len(np.unique(pairs[: len(own)][own])) < least:
            return
        yield own


def _site(source: Literal["pairs", "edges"], joined: NDArray[np.intp], maps: Maps, own: NDArray[np.bool_]) -> Site:
    of_image: dict[int, list[Maps]] = {}
    for pair, values in zip(joined[: len(own)][own], maps[own], strict=True):
        for image in pair:
            of_image.setdefault(int(image), []).append(values)
    means = {image: np.mean(values, axis=0) for image, values in sorted(of_image.items())}
    members = np.array(list(means), dtype=np.intp)
    doubtful = np.unique(joined[np.isin(joined, members).any(axis=1)])
    return Site(source, members, maps[own].mean(0), means, int(own.sum()), doubtful)


def _filled(site: Site, found: EdgePairs, kept: NDArray[np.intp]) -> Site:
    """With all images that agree with most of its members, and up to `MIN_MEMBERS` those that do most nearly.

    Indices are those of the images that are kept in a run.
    """
    scores = found.scores[site.members]
    agree = (scores > found.chance).mean(0) > _MOSTLY
    agree[site.members] = True
    nearest = np.argsort(-np.where(agree, np.inf, scores.mean(0)), kind="stable")
    members = np.sort(nearest[: max(int(agree.sum()), MIN_MEMBERS)])
    maps = {int(kept[image]): site.maps.get(int(image), site.map) for image in members}
    return replace(site, members=kept[members], maps=maps, doubtful=kept[site.doubtful])
