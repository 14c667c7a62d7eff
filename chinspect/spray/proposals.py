"""Sets of maps that may be strategies: clusters of several methods, at several sizes, in two views of the maps.

No single clustering finds artefacts of every prevalence: a mark that few images carry is a small dense group (HDBSCAN),
one that many carry is the eigengap's cluster or a component of its own, and in between k-means or Ward's tree with the
right number of clusters cuts it out. So all of them propose, in each view of the maps (`chinspect.spray.views`).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.cluster.vq import kmeans2
from sklearn.cluster import HDBSCAN

from chinspect.explain import binary_affinity, nearest
from chinspect.spray.arrays import Floats, Indices, Maps, Rows
from chinspect.spray.overlap import Template, jaccard_masks, refined, template_of
from chinspect.spray.spectral import Spectrum, spectrum
from chinspect.spray.views import View

SIZES = (2, 4, 8, 16, 30)
SMALLEST = 6
PAIRWISE_UP_TO = 5_000  # maps; Ward's tree and HDBSCAN look at all pairs
_DENSITY_AXES = 16  # densities mean less the more axes there are
MERGE = 0.8
"""Sets are one whose members overlap by this much (Jaccard)."""
_NESTED = 0.5  # of a template, where the members of one set are those of the other: half says enough
_ALIKE = 0.8  # of a template lies on that of another set: two artefacts in different positions have next to nothing


@dataclass(frozen=True, eq=False)
class Proposal:
    """A set of maps that may be a strategy, the clusterings that proposed it, and the view in which they did."""

    template: Template
    sources: tuple[str, ...]
    view: View


@dataclass(frozen=True)
class Settings:
    """How maps are compared and embedded; see `chinspect.spray.SpRAy`. ``unit``: rows have unit length."""

    n_neighbors: int
    n_eigenvectors: int
    random_state: int = 0
    unit: bool = False


def embed(rows: Rows, settings: Settings) -> Spectrum:
    """The spectral embedding of rows (n, d) under Euclidean distance."""
    k = min(settings.n_neighbors, len(rows) - 1)
    near = nearest(rows, k, random_state=settings.random_state)
    return spectrum(binary_affinity(near.indices), settings.n_eigenvectors)


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


def propose(maps: Maps, settings: Settings, views: Sequence[View], smallest: int = SMALLEST) -> list[Proposal]:
    """Refined sets of ``maps`` (n, h, w) in each view, see `propose_in`."""
    proposals = []
    for view in views:
        rows = view.rows(maps)
        proposals += propose_in(view, rows, embed(rows, settings), settings, smallest)
    return proposals


def propose_in(
    view: View, rows: Rows, embedded: Spectrum, settings: Settings, smallest: int = SMALLEST
) -> list[Proposal]:
    """Refined sets of at least ``smallest`` and at most half of the rows (n, d) of one view, with their spectrum.

    Those of the same members are merged; the most distinct come first.
    """
    total = rows.sum(0, dtype=np.float64)
    sets: dict[bytes, tuple[Indices, list[str]]] = {}
    for name, labels in clusterings(embedded, settings.random_state).items():
        for members in _sets(labels, smallest):
            sets.setdefault(members.tobytes(), (members, []))[1].append(f"{view.name}:{name}")
    refinements = (
        Proposal(refined(rows, members, total, smallest), tuple(names), view) for members, names in sets.values()
    )
    return merged([proposal for proposal in refinements if proposal.template.distinctness > 0], len(rows))


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
    return [replace(ranked[i], sources=tuple(dict.fromkeys(sources))) for i, sources in groups.items()]


def united(proposals: list[Proposal], templates: list[Rows], maps: Maps) -> dict[int, Proposal]:
    """Sets of ``maps`` (n, h, w), the most significant first, with those that lie in the same position as one set.

    Each is named by the index of the most significant one in it. Carriers of one artefact whose relevance differs in
    strength or shape can be proposed as several sets. Where 0.8 of a template (d,) lies on that of an earlier set, in
    the maps as they are, the later set is no other candidate, and those of its members join the earlier one that hold
    more than the threshold of its template: an object that lies in the same position by chance holds less. The template
    of the larger set is taken again. So it is with nested sets, see `nested`.
    """
    groups: dict[int, list[int]] = {}
    for i, (proposal, template) in enumerate(zip(proposals, templates, strict=True)):
        members = proposal.template.members
        alike = (
            j
            for j in groups
            if _fraction_on(template, templates[j]) >= _ALIKE
            or nested(members, template, proposals[j].template.members, templates[j])
        )
        groups.setdefault(next(alike, i), []).append(i)
    return {first: _union([proposals[i] for i in group], maps) for first, group in groups.items()}


def nested(members: Indices, template: Rows, others: Indices, other: Rows) -> bool:
    """Whether two sets are one artefact, told with more and with fewer images.

    At least 0.8 of the smaller set are members of the larger one, and half of one template (d,) lies on the other. Two
    artefacts of which one is on many images that carry the other lie in different positions.
    """
    common = len(np.intersect1d(members, others, assume_unique=True))
    if common < MERGE * min(len(members), len(others)):
        return False
    return max(_fraction_on(template, other), _fraction_on(other, template)) >= _NESTED


def _union(proposals: list[Proposal], maps: Maps) -> Proposal:
    first = proposals[0]
    own = first.template
    others = np.unique(np.concatenate([proposal.template.members for proposal in proposals]))
    joining = others[own.overlap[others] > own.threshold]
    members = np.union1d(own.members, joining)
    if len(members) == len(own.members) or len(members) > len(maps) // 2:
        return first
    rows = first.view.rows(maps)
    sources = dict.fromkeys(source for proposal in proposals for source in proposal.sources)
    return Proposal(template_of(rows, members, rows.sum(0, dtype=np.float64)), tuple(sources), first.view)


def _fraction_on(template: Rows, other: Rows) -> float:
    """How much of a template (d,) lies in cells in which another is at least a tenth of its largest value."""
    strength = np.abs(other)
    mass = float(np.abs(template).sum())
    return float(np.abs(template[strength > 0.1 * strength.max()]).sum()) / mass if mass > 0 else 0.0


def _sets(labels: Indices, smallest: int) -> Iterator[Indices]:
    order = np.argsort(labels, kind="stable")
    values, starts, counts = np.unique(labels[order], return_index=True, return_counts=True)
    for value, start, count in zip(values, starts, counts, strict=True):
        if value >= 0 and smallest <= count <= len(labels) // 2:
            yield np.sort(order[start : start + count])
