"""SpRAy: which strategies does a model use over a data set (Lapuschkin et al. 2019; Anders et al. 2019)?

Maps of relevance are pooled, joined to their nearest neighbours, and embedded by the lowest eigenvectors of the graph's
normalised Laplacian. Several clusterings of the embedding propose sets of maps (`chinspect.spray.proposals`); the
template of a set and its overlap with all maps say how distinct it is (`overlap`); maps that are moved independently of
each other say how distinct sets are without a reason (`significance`). A set that is flagged is a *candidate* for a
Clever Hans strategy, no more: objects can have a position in common for honest reasons, and only an intervention
decides.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self, get_args

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import check_is_fitted

from chinspect.errors import InputError, did_you_mean
from chinspect.explain import Neighbours, binary_affinity, nearest
from chinspect.spray.arrays import Floats, Indices, Rows
from chinspect.spray.candidates import COLUMNS, Candidate, describe, flag, with_labels
from chinspect.spray.duplicates import joined, near_duplicates, same_maps
from chinspect.spray.maps import prepare
from chinspect.spray.overlap import common_fractions, overlaps
from chinspect.spray.proposals import SMALLEST, Proposal, Settings, clusterings, propose, propose_in, united
from chinspect.spray.significance import ALPHA, LARGEST, Chance, min_detectable_size, null, stability
from chinspect.spray.spectral import project, spectrum
from chinspect.spray.strategy import strategy_scores
from chinspect.spray.transport import Transport, nearest_by_transport
from chinspect.spray.views import View, views_of

Metric = Literal["euclidean", "cosine", "wasserstein", "gromov_wasserstein"]
Pictures = Sequence[str | Path | Image.Image]
STRONGEST = 5
"""Candidates that are listed beside those that are flagged: on photographs there are a hundred, of no meaning."""
LEAST = 2 * SMALLEST
"""Maps that a class needs to be analysed on its own: twice the smallest set that is looked for."""


class SpRAy(BaseEstimator):
    """Spectral relevance analysis of maps, with candidates that are tested against chance.

    Constructors only store; all parameters are keywords.

    Args:
        metric: ``euclidean``, ``cosine`` (Euclidean between maps of unit length), ``wasserstein`` or
            ``gromov_wasserstein`` (see `chinspect.spray.transport`). Candidates under the last two are not tested
            against chance: moving maps changes none of their distances in the second, and takes days in the first.
        n_neighbors: of each map in the graph.
        n_eigenvectors: of the embedding.
        pool: rows and columns that maps are summed to, see `area_sum`; None leaves them as they are.
        normalise: divide each map by the sum of its absolute values.
        n_surrogates: data sets of moved maps that p-values come from; 0 tests nothing.
        n_jobs: processes for surrogates, as in scikit-learn; results do not depend on it.
        random_state: seeds everything.

    Attributes:
        maps_: (n, h, w), the maps analysed: pooled, normalised, without those below.
        kept_: (n,) their indices among all maps.
        duplicates_: (N,) for each map the index of the one that it repeats, its own where it repeats none.
        zero_, invalid_: indices of maps without relevance, or with NaN or infinity.
        affinity_: (n, n) sparse, 1 for mutual neighbours and 0.5 for one-sided ones.
        recall_: of the neighbours, see `chinspect.explain.neighbours.Neighbours`.
        eigenvalues_, residuals_: (q,) of the normalised Laplacian, ascending.
        embedding_: (n, q), its eigenvectors.
        n_components_: connected components of the graph.
        clusterings_: name -> labels (N,) of the clusterings that proposed candidates; -1 is noise or left out.
        labels_: (N,), the partition by the eigengap; the components where these leave no gap, as they are at least as
            many as the eigenvectors.
        candidates_: the candidates, most significant first; their indices are those among all maps.
        flagged_: those that are flagged.
        listed_: these and the five strongest others, which runs and reports list.
        min_detectable_size_: the smallest size at which a corner mark of half of the relevance, planted into a
            surrogate, is found and flagged; None where none is up to a fifth of the maps, or nothing was tested.
        verdict_: ``candidate`` where something is flagged, else ``undetected_above(m)`` with that size, else
            ``untested``.

    Example:
        >>> import numpy as np
        >>> from chinspect.spray import SpRAy
        >>> maps = np.random.default_rng(0).random((60, 20, 20)) ** 8
        >>> maps[:12, 16:19, 1:4] += 3  # a mark in the corner of twelve images
        >>> spray = SpRAy(n_surrogates=19).fit(maps)
        >>> spray.flagged_[0].indices.tolist()
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]
    """

    def __init__(
        self,
        *,
        metric: Metric = "euclidean",
        n_neighbors: int = 10,
        n_eigenvectors: int = 32,
        pool: int | None = 20,
        normalise: bool = True,
        n_surrogates: int = 99,
        n_jobs: int | None = None,
        random_state: int = 0,
    ) -> None:
        self.metric = metric
        self.n_neighbors = n_neighbors
        self.n_eigenvectors = n_eigenvectors
        self.pool = pool
        self.normalise = normalise
        self.n_surrogates = n_surrogates
        self.n_jobs = n_jobs
        self.random_state = random_state

    def fit_predict(self, X: ArrayLike, y: ArrayLike | None = None) -> NDArray[np.intp]:
        """Analyses maps as `fit` does, and returns ``labels_`` (N,); -1 is left out.

        There is no `predict`: clusters are those of the maps that were analysed together.
        """
        return self.fit(X, y).labels_

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike | None = None,
        *,
        images: Pictures | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Self:
        """Analyses maps.

        Args:
            X: maps (N, H, W), or (N, C, H, W), whose channels are summed; the sign is retained.
            y: labels (N,). With them each class of at least 12 maps is analysed on its own as well.
            images: the pictures, in the order of the maps; those that repeat another count once, see
                `chinspect.spray.duplicates`.
            progress: called with the number of surrogates done and in all; after these come the classes.

        Raises `InputError` for another shape, fewer than 3 usable maps, or a parameter out of range.
        """
        self._check()
        self.__dict__.pop("min_detectable_size_", None)  # of an earlier fit
        self._prepare(X, images)
        labels = None if y is None else _labels(y, len(self.duplicates_))
        self._embed()
        groups = [self._all_candidates(labels, progress)]
        if labels is not None:
            groups += self._of_classes(labels)
        self.candidates_: list[Candidate] = flag(groups)
        self.flagged_ = [candidate for candidate in self.candidates_ if candidate.flagged]
        return self

    @property
    def listed_(self) -> list[Candidate]:
        """See the class."""
        check_is_fitted(self, "candidates_")
        others = [candidate for candidate in self.candidates_ if not candidate.flagged]
        return [*self.flagged_, *others[:STRONGEST]]

    @property
    def verdict_(self) -> str:
        """See the class."""
        check_is_fitted(self, "candidates_")
        if self.flagged_:
            return "candidate"
        return "untested" if self.min_detectable_size_ is None else f"undetected_above({self.min_detectable_size_})"

    @cached_property
    def min_detectable_size_(self) -> int | None:
        """See the class; computed when it is asked for."""
        check_is_fitted(self, "candidates_")
        if not self._chance.largest.size:
            return None
        return min_detectable_size(self.maps_, self._chance, self._settings)

    def project(self, method: Literal["tsne", "umap"] = "tsne") -> Rows:
        """The embedding in the plane (n, 2), by t-SNE or UMAP; `InputError` without umap-learn."""
        check_is_fitted(self, "embedding_")
        return project(self.embedding_, method, self.random_state)

    def strategies(self, X: ArrayLike | None = None) -> pd.DataFrame:
        """How usual each map is, and which cluster it is nearest to; of the maps fitted on, or of others.

        See `chinspect.spray.strategy.strategy_scores`. ``labels_`` are the clusters; one row a map that can be
        compared, whose index is the column ``map``.
        """
        check_is_fitted(self, "labels_")
        others = None if X is None else prepare(X, pool=self.pool, normalise=self.normalise)
        table = strategy_scores(self.maps_, self.labels_[self.kept_], None if others is None else others.maps)
        table.insert(0, "map", self.kept_ if others is None else others.valid)
        return table

    def carriers(self, candidate: Candidate, X: ArrayLike) -> NDArray[np.bool_]:
        """Which of other maps (N, ...) hold a candidate's template: (N,), False for maps that cannot be compared.

        A data set of any size is analysed in this way: fit a random sample, and ask for the carriers of its candidates
        block by block. An artefact that a fraction s of all images carries is in n maps about s n times; it is found
        from ``min_detectable_size_`` on. For 10^7 maps of 400 cells, a fit of 10^5 and one product for each candidate
        with the 8 GB that the maps take in half precision.
        """
        check_is_fitted(self, "candidates_")
        others = prepare(X, pool=self.pool, normalise=self.normalise)
        carriers = np.zeros(len(np.asarray(X)), dtype=bool)
        rows = candidate.view.rows(others.maps)
        carriers[others.valid] = overlaps(rows, candidate.pattern.ravel()) > candidate.threshold
        return carriers

    def to_frame(self) -> pd.DataFrame:
        """One row a candidate."""
        check_is_fitted(self, "candidates_")
        return pd.DataFrame([candidate.record() for candidate in self.candidates_], columns=list(COLUMNS))

    def _check(self) -> None:
        if self.metric not in get_args(Metric):
            raise InputError(
                f"the metric {self.metric!r} is not known{did_you_mean(self.metric, get_args(Metric))}: "
                f"use one of {', '.join(get_args(Metric))}."
            )
        for name, least in {"n_neighbors": 1, "n_eigenvectors": 2, "n_surrogates": 0, "random_state": 0}.items():
            value = getattr(self, name)
            if not _is_integer(value) or value < least:
                raise InputError(f"{name} is a whole number of at least {least}, not {value!r}.")
        if self.n_jobs is not None and (not _is_integer(self.n_jobs) or self.n_jobs == 0):
            raise InputError(f"n_jobs is a number of processes, -1 for all, or None, not {self.n_jobs!r}.")
        if self.pool is not None and (not _is_integer(self.pool) or self.pool < 2):
            raise InputError(f"pool is a number of cells of at least 2, or None, not {self.pool!r}.")

    def _prepare(self, X: ArrayLike, images: Pictures | None) -> None:
        prepared = prepare(X, pool=self.pool, normalise=self.normalise)
        count = len(prepared.maps) + len(prepared.zero) + len(prepared.invalid)
        if images is not None and len(images) != count:
            raise InputError(f"there are {count} maps and {len(images)} images: give one image for each map.")
        repeated = same_maps(prepared.maps)
        if images is not None:
            repeated = joined(repeated, near_duplicates([images[i] for i in prepared.valid], prepared.maps))
        self.duplicates_ = np.arange(count)
        self.duplicates_[prepared.valid] = prepared.valid[repeated]
        first = self.duplicates_[prepared.valid] == prepared.valid
        if first.sum() < 3:
            raise InputError(_too_few(self.duplicates_, prepared.valid, images))
        self.maps_ = prepared.maps[first]
        self.kept_ = prepared.valid[first]
        self.zero_ = prepared.zero
        self.invalid_ = prepared.invalid

    def _embed(self) -> None:
        near = self._neighbours(min(self.n_neighbors, len(self.maps_) - 1))
        self.affinity_ = binary_affinity(near.indices)
        self.recall_ = near.recall
        self._spectrum = spectrum(self.affinity_, self.n_eigenvectors)
        self.eigenvalues_ = self._spectrum.eigenvalues
        self.embedding_ = self._spectrum.vectors
        self.residuals_ = self._spectrum.residuals
        self.n_components_ = int(self._spectrum.components.max()) + 1
        named = clusterings(self._spectrum, self.random_state)
        self.clusterings_ = {name: self._spread(labels) for name, labels in named.items()}
        self.labels_ = self.clusterings_.get("eigengap", self.clusterings_["components"])

    def _neighbours(self, k: int) -> Neighbours:
        if self.metric == "wasserstein" or self.metric == "gromov_wasserstein":
            return nearest_by_transport(self.maps_, k, self.metric, n_jobs=self.n_jobs or 1)
        rows = View("maps", unit=self._settings.unit).rows(self.maps_)
        return nearest(rows, k, random_state=self.random_state)

    @property
    def _settings(self) -> Settings:
        return Settings(self.n_neighbors, self.n_eigenvectors, self.random_state, unit=self.metric == "cosine")

    def _all_candidates(
        self, labels: NDArray[Any] | None, progress: Callable[[int, int], None] | None
    ) -> list[Candidate]:
        """The candidates of all maps, compared with chance where distances allow it."""
        plain, whitened = views_of(self.maps_, unit=self._settings.unit)
        rows = plain.rows(self.maps_)
        smallest = max(SMALLEST, -(-SMALLEST * len(rows) // LARGEST))  # smaller ones are not in surrogates of this size
        proposals = propose_in(plain, rows, self._spectrum, self._settings, smallest)
        count = 0
        if self.metric not in get_args(Transport):
            count = self.n_surrogates
            proposals += propose(self.maps_, self._settings, [whitened], smallest)
        self._chance = self._surrogates(count, progress)
        proposals, p = self._united(proposals)
        stable = np.full(len(proposals), np.nan)
        if count:
            stable = stability(proposals, self.maps_, self._settings)
        templates = self._templates(proposals)
        candidates = []
        for proposal, template, value, stays in zip(proposals, templates, p.tolist(), stable.tolist(), strict=True):
            numbers = {"p_value": value, "stability": stays, "surrogates": count}
            candidate = describe(proposal, self.maps_, template, **numbers, random_state=self.random_state)
            if labels is not None:
                candidate = with_labels(candidate, labels[self.kept_])
            copies = np.flatnonzero(np.isin(self.duplicates_, self.kept_[candidate.indices]))
            candidates.append(replace(_moved(candidate, self.kept_), indices=copies))
        return candidates

    def _surrogates(self, count: int, progress: Callable[[int, int], None] | None) -> Chance:
        """What distinct sets are like in data sets of moved maps."""
        return null(self.maps_, count, self._settings, self.n_jobs, progress)

    def _united(self, proposals: list[Proposal]) -> tuple[list[Proposal], Floats]:
        """Sets and their p-values, most significant first, with those that chance does not explain as one a position.

        A set that was united has the p-value of its most significant part.
        """
        p = self._chance.p_values(proposals, len(self.maps_))
        # by the ratios, as extrapolated p-values end at a bound that several sets can reach
        order = np.argsort(-self._chance.ratios(proposals, len(self.maps_)), kind="stable")
        ranked = [proposals[i] for i in order]
        count = int((p <= ALPHA).sum())
        sets = united(ranked[:count], self._templates(ranked[:count]), self.maps_)
        left = [*sets, *range(count, len(ranked))]
        return [*sets.values(), *ranked[count:]], p[order][left]

    def _templates(self, proposals: list[Proposal]) -> list[Rows]:
        """Of each set in the maps as they are: (d,), fractions of the relevance of a map."""
        rows = self.maps_.reshape(len(self.maps_), -1)
        return common_fractions(rows, [proposal.template.members for proposal in proposals])

    def _of_classes(self, labels: NDArray[Any]) -> list[list[Candidate]]:
        """The candidates of each class among the maps analysed, not flagged yet; small classes have none."""
        own = labels[self.kept_]
        classes = {label: np.flatnonzero(own == label) for label in np.unique(own).tolist()}
        large = {label: index for label, index in classes.items() if LEAST <= len(index) < len(own)}
        # The maps are pooled already, and processes are for classes.
        one = clone(self).set_params(pool=None, normalise=False, n_jobs=None)
        fitted = Parallel(n_jobs=self.n_jobs)(
            delayed(SpRAy.fit)(clone(one), self.maps_[index]) for index in large.values()
        )
        return [
            [_moved(candidate, self.kept_[index], label) for candidate in spray.candidates_]
            for (label, index), spray in zip(large.items(), fitted, strict=True)
        ]

    def _spread(self, labels: NDArray[np.integer]) -> Indices:
        """Labels of the maps analysed as labels (N,) of all maps; duplicates have that of their first."""
        full = np.full(len(self.duplicates_), -1, dtype=np.int64)
        full[self.kept_] = labels
        return full[self.duplicates_]


def _is_integer(value: object) -> bool:
    return isinstance(value, int | np.integer)


def _moved(candidate: Candidate, index: Indices, label: Hashable = None) -> Candidate:
    """The candidate with indices among all maps, of those of its own, and the class whose maps were analysed."""
    moved = replace(candidate, indices=index[candidate.indices], medoids=tuple(index[list(candidate.medoids)].tolist()))
    return moved if label is None else replace(moved, group=label, label=label)


def _too_few(duplicates: Indices, usable: Indices, images: Pictures | None) -> str:
    """Why fewer than 3 maps are left, with a pair that was merged."""
    copies = usable[duplicates[usable] != usable]
    pair = (copies[0], duplicates[copies[0]])
    named = [repr(str(images[i])) if images and isinstance(images[i], str | Path) else f"map {i}" for i in pair]
    alike = "have the same map" if images is None else "have the same map, or nearly the same picture and map"
    left = len(usable) - len(copies)
    return (
        f"only {left} of {len(duplicates)} maps are left: {len(copies)} repeat another, as {named[0]} repeats "
        f"{named[1]} (they {alike}): give at least 3 that differ."
    )


def _labels(y: ArrayLike, count: int) -> NDArray[Any]:
    labels = np.asarray(y)
    if labels.shape != (count,):
        raise InputError(f"labels are one for each of {count} maps, not of shape {labels.shape}.")
    return labels
