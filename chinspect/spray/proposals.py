"""Sets of maps that may be strategies: clusters of several methods, at several sizes, in two views of the maps.

No single clustering finds artefacts of every prevalence: a mark that few images carry is a small dense group (HDBSCAN),
one that many carry is the eigengap's cluster or a component of its own, and in between k-means or Ward's tree with the
right number of clusters cuts it out. So all of them propose. The second view of the maps is their square root with the
sign retained: it compresses peaks, so that faint extended marks such as borders weigh as much as small intense ones.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.cluster.vq import kmeans2
from sklearn.cluster import HDBSCAN

from chinspect.explain import binary_affinity, nearest
from chinspect.spray.arrays import Floats, Indices, Rows
from chinspect.spray.overlap import Template, jaccard_masks, refined
from chinspect.spray.spectral import Spectrum, spectrum

SIZES = (2, 4, 8, 16, 30)
SMALLEST = 6
PAIRWISE_UP_TO = 5_000  # maps; Ward's tree and HDBSCAN look at all pairs
_DENSITY_AXES = 16  # densities mean less the more axes there are
MERGE = 0.8
"""Sets are one whose members overlap by this much (Jaccard)."""


@dataclass(frozen=True, eq=False)
class Proposal:
    """A set of maps that may be a strategy, and the clusterings that proposed it."""

    template: Template
    sources: tuple[str, ...]


@dataclass(frozen=True)
class Settings:
    """How maps are embedded; see `chinspect.spray.SpRAy`."""

    n_neighbors: int
    n_eigenvectors: int
    random_state: int = 0


def embed(rows: Rows, settings: Settings) -> Spectrum:
    """The spectral embedding of rows (n, d) under Euclidean distance."""
    k = min(settings.n_neighbors, len(rows) - 1)
    near = nearest(rows, k, random_state=settings.random_state)
    return spectrum(binary_affinity(near.indices), settings.n_eigenvectors)


def root(rows: Rows) -> Rows:
    """``sign(r) sqrt(|r|)``, the view in which peaks are compressed."""
    view: Rows = np.sign(rows) * np.sqrt(np.abs(rows))
    return view


def views(rows: Rows, settings: Settings) -> dict[str, Spectrum]:
    """The spectra of both views of rows (n, d)."""
    return {"maps": embed(rows, settings), "roots": embed(root(rows), settings)}


def clusterings(embedded: Spectrum, random_state: int) -> dict[str, Indices]:
    """Names and labels (n,) of the clusterings of an embedding that propose; -1 is noise."""
    n = len(embedded.vectors)
    named = {"components": embedded.components}
    for size in sorted({embedded.eigengap, *SIZES}):
        if 2 <= size < n:
            name = "eigengap" if size == embedded.eigengap else f"kmeans-{size}"
            named[name] = kmeans(embedded.vectors[:, :size], size, random_state)
    if SMALLEST < n <= PAIRWISE_UP_TO:
        tree = linkage(embedded.vectors, "ward")
        named |= {f"ward-{size}": fcluster(tree, size, "maxclust") for size in SIZES if size < n}
        density = HDBSCAN(min_cluster_size=SMALLEST, copy=True)
        named["hdbscan"] = density.fit_predict(embedded.vectors[:, :_DENSITY_AXES])
    return named


def kmeans(rows: Floats, size: int, random_state: int) -> Indices:
    """Labels (n,) of k-means++ with ``size`` clusters."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an empty cluster is no error here
        labels: Indices = kmeans2(rows, size, minit="++", seed=np.random.default_rng(random_state))[1]
    return labels


def propose(rows: Rows, spectra: dict[str, Spectrum], random_state: int, smallest: int = SMALLEST) -> list[Proposal]:
    """Refined sets of at least ``smallest`` and at most half of the maps, those of the same members merged."""
    total = rows.sum(0, dtype=np.float64)
    sets: dict[bytes, tuple[Indices, list[str]]] = {}
    for view, embedded in spectra.items():
        for name, labels in clusterings(embedded, random_state).items():
            for members in _sets(labels, smallest):
                sets.setdefault(members.tobytes(), (members, []))[1].append(f"{view}:{name}")
    proposals = [Proposal(refined(rows, members, total, smallest), tuple(names)) for members, names in sets.values()]
    return merged([proposal for proposal in proposals if proposal.template.distinctness > 0], len(rows))


def merged(proposals: list[Proposal], n: int) -> list[Proposal]:
    """The most distinct of proposals whose members overlap by at least 0.8 (Jaccard), most distinct first."""
    ranked = sorted(proposals, key=lambda proposal: -proposal.template.distinctness)
    masks = jaccard_masks([proposal.template.members for proposal in ranked], n)
    common = masks @ masks.T
    sizes = masks.sum(1)
    same = common >= MERGE * (sizes[:, None] + sizes - common)
    groups: dict[int, list[str]] = {}
    for i, proposal in enumerate(ranked):
        first = next((j for j in groups if same[i, j]), i)
        groups.setdefault(first, []).extend(proposal.sources)
    return [Proposal(ranked[i].template, tuple(dict.fromkeys(sources))) for i, sources in groups.items()]


def _sets(labels: Indices, smallest: int) -> Iterator[Indices]:
    order = np.argsort(labels, kind="stable")
    values, starts, counts = np.unique(labels[order], return_index=True, return_counts=True)
    for value, start, count in zip(values, starts, counts, strict=True):
        if value >= 0 and smallest <= count <= len(labels) // 2:
            yield np.sort(order[start : start + count])
