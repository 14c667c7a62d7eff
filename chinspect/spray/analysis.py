"""SpRAy: which strategies does a model use over a data set (Lapuschkin et al. 2019; Anders et al. 2019)?

Maps of relevance are pooled, joined to their nearest neighbours, and embedded by the lowest eigenvectors of the graph's
normalised Laplacian. Several clusterings of the embedding propose sets of maps (`chinspect.spray._ensemble`); what the
members share and others have not says how distinct a set is (`_shared`); maps that are moved independently of each
other say how distinct sets are without a reason (`_null`). A set that is flagged is a *candidate* for a Clever Hans
strategy, no more: objects can have a place in common for honest reasons, and only an intervention decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from chinspect.errors import InputError
from chinspect.explain.neighbours import Neighbours, binary_affinity, nearest
from chinspect.spray import separability
from chinspect.spray._ensemble import SMALLEST, Proposal, clusterings, embed, propose, root
from chinspect.spray._null import LARGEST, null, p_values
from chinspect.spray._power import min_detectable_size
from chinspect.spray._shared import Rows, overlaps, shares
from chinspect.spray._stability import stability
from chinspect.spray.candidates import COLUMNS, Candidate, describe, flag, with_labels
from chinspect.spray.duplicates import joined, near_duplicates, same_maps
from chinspect.spray.pooling import Maps, prepare
from chinspect.spray.spectral import Spectrum, spectrum
from chinspect.spray.transport import nearest_by_transport

Metric = Literal["euclidean", "cosine", "wasserstein", "gromov_wasserstein"]
_METRICS = ("euclidean", "cosine", "wasserstein", "gromov_wasserstein")


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
        kept_: (n,) their places among the maps given.
        duplicates_: (N,) for each map given the place of the one that it repeats, its own where it repeats none.
        zero_, invalid_: places of maps without relevance, or with NaN or infinity.
        affinity_: (n, n) sparse, 1 for mutual neighbours and 0.5 for one-sided ones.
        recall_: of the neighbours, see `chinspect.explain.neighbours.Neighbours`.
        eigenvalues_, residuals_: (q,) of the normalised Laplacian, ascending.
        embedding_: (n, q), its eigenvectors.
        n_components_: connected components of the graph.
        clusterings_: name -> labels (N,) of the clusterings that proposed candidates; -1 is noise or left out.
        labels_: (N,), the partition by the eigengap; the components where these leave no gap, as they are at least as
            many as the eigenvectors.
        candidates_: the candidates, most significant first; their indices are places among the maps given.
        flagged_: those that are flagged.
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

    def fit(
        self, X: ArrayLike, y: ArrayLike | None = None, *, images: Sequence[str | Path | Image.Image] | None = None
    ) -> Self:
        """Analyses maps.

        Args:
            X: maps (N, H, W), or (N, C, H, W), whose channels are summed; the sign is kept.
            y: labels (N,). With them each class of at least 12 maps is analysed on its own as well.
            images: the pictures, in the order of the maps; those that repeat another count once, see
                `chinspect.spray.duplicates`.

        Raises `InputError` for another shape, fewer than 3 usable maps, or a parameter out of range.
        """
        self._check()
        for name in ("min_detectable_size_", "tau_"):  # of an earlier fit
            self.__dict__.pop(name, None)
        self._prepare(X, images)
        labels = None if y is None else _labels(y, len(self.duplicates_))
        found = self._spectrum()
        proposals, maxima = self._tested({"maps": found} | self._second_view())
        groups = [self._described(proposals, maxima, labels)]
        if labels is not None:
            from chinspect.spray.classes import class_candidates  # which fits this class again, on parts of the maps

            groups += class_candidates(self, labels)
        self.candidates_: list[Candidate] = flag(groups)
        self.flagged_ = [candidate for candidate in self.candidates_ if candidate.flagged]
        return self

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
        if not self._maxima.size:
            return None
        return min_detectable_size(self.maps_, self._maxima, to_rows=self._rows, **self._settings)

    @cached_property
    def tau_(self) -> dict[str, float]:
        """``anders2019`` and ``stabilised``, see `chinspect.spray.separability`; computed when it is asked for."""
        check_is_fitted(self, "embedding_")
        return {
            "anders2019": separability.tau_anders2019(self._found, random_state=self.random_state),
            "stabilised": separability.tau_stabilised(self._found, random_state=self.random_state),
        }

    def project(self, method: Literal["tsne", "umap"] = "tsne") -> NDArray[np.float32]:
        """The embedding in the plane (n, 2), by t-SNE or UMAP; `InputError` without umap-learn."""
        from chinspect.spray.projection import project

        check_is_fitted(self, "embedding_")
        return project(self.embedding_, method, self.random_state)

    def strategies(self, X: ArrayLike | None = None) -> pd.DataFrame:
        """How usual each map is, and which cluster it is nearest to; of the maps fitted on, or of others.

        See `chinspect.spray.strategy.strategy_scores`. ``labels_`` are the clusters; one row a map that can be
        compared, whose place is the column ``map``.
        """
        from chinspect.spray.strategy import strategy_scores

        check_is_fitted(self, "labels_")
        given = None if X is None else prepare(X, pool=self.pool, normalise=self.normalise)
        table = strategy_scores(self.maps_, self.labels_[self.kept_], None if given is None else given.maps)
        table.insert(0, "map", self.kept_ if given is None else given.kept)
        return table

    def carriers(self, candidate: Candidate, X: ArrayLike) -> NDArray[np.bool_]:
        """Which of other maps (N, ...) hold a candidate's template: (N,), False for maps that cannot be compared.

        A data set of any size is analysed in this way: fit a random part, and ask for the carriers of its candidates
        part by part. An artefact that a share s of all images carries is in n maps about s n times; it is found from
        ``min_detectable_size_`` on. For 10^7 maps of 400 cells, a fit of 10^5 and one product for each candidate with
        the 8 GB that the maps take in half precision.
        """
        check_is_fitted(self, "candidates_")
        given = prepare(X, pool=self.pool, normalise=self.normalise)
        found = np.zeros(len(np.asarray(X)), dtype=bool)
        found[given.kept] = overlaps(self._rows(given.maps), candidate.template.ravel()) > candidate.threshold
        return found

    def to_frame(self) -> pd.DataFrame:
        """One row a candidate."""
        check_is_fitted(self, "candidates_")
        return pd.DataFrame([candidate.record() for candidate in self.candidates_], columns=list(COLUMNS))

    def _check(self) -> None:
        if self.metric not in _METRICS:
            raise InputError(f"the metric {self.metric!r} is not known: use one of {', '.join(_METRICS)}.")
        counts = {"n_neighbors": 1, "n_eigenvectors": 2, "n_surrogates": 0, "random_state": 0}
        for name, least in counts.items():
            value = getattr(self, name)
            if not isinstance(value, int | np.integer) or value < least:
                raise InputError(f"{name} is a whole number of at least {least}, not {value!r}.")
        if self.n_jobs is not None and (not isinstance(self.n_jobs, int | np.integer) or self.n_jobs == 0):
            raise InputError(f"n_jobs is a number of processes, -1 for all, or None, not {self.n_jobs!r}.")
        if self.pool is not None and (not isinstance(self.pool, int | np.integer) or self.pool < 2):
            raise InputError(f"pool is a number of cells of at least 2, or None, not {self.pool!r}.")

    def _prepare(self, X: ArrayLike, images: Sequence[str | Path | Image.Image] | None) -> None:
        prepared = prepare(X, pool=self.pool, normalise=self.normalise)
        count = len(prepared.maps) + len(prepared.zero) + len(prepared.invalid)
        if images is not None and len(images) != count:
            raise InputError(f"there are {count} maps and {len(images)} images: give one image for each map.")
        repeated = same_maps(prepared.maps)
        if images is not None:
            repeated = joined(repeated, near_duplicates([images[i] for i in prepared.kept], prepared.maps))
        self.duplicates_ = np.arange(count)
        self.duplicates_[prepared.kept] = prepared.kept[repeated]
        first = self.duplicates_[prepared.kept] == prepared.kept
        if first.sum() < 3:
            raise InputError(_too_few(repeated, prepared.kept, count, images))
        self.maps_, self.kept_ = prepared.maps[first], prepared.kept[first]
        self.zero_, self.invalid_ = prepared.zero, prepared.invalid

    def _spectrum(self) -> Spectrum:
        near = self._neighbours(min(self.n_neighbors, len(self.maps_) - 1))
        self.affinity_, self.recall_ = binary_affinity(near.indices), near.recall
        found = self._found = spectrum(self.affinity_, self.n_eigenvectors)
        self.eigenvalues_, self.embedding_, self.residuals_ = found.eigenvalues, found.vectors, found.residuals
        self.n_components_ = int(found.components.max()) + 1
        named = clusterings(found, self.random_state)
        self.clusterings_ = {name: self._whole(labels) for name, labels in named.items()}
        self.labels_ = self.clusterings_.get("eigengap", self.clusterings_["components"])
        return found

    def _neighbours(self, k: int) -> Neighbours:
        if self.metric == "wasserstein" or self.metric == "gromov_wasserstein":
            return nearest_by_transport(self.maps_, k, self.metric, n_jobs=self.n_jobs or 1)
        return nearest(self._rows(self.maps_), k, random_state=self.random_state)

    def _rows(self, maps: Maps) -> Rows:
        rows = maps.reshape(len(maps), -1)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True) if self.metric == "cosine" else rows

    def _second_view(self) -> dict[str, Spectrum]:
        if self._by_transport:
            return {}
        rows = root(self._rows(self.maps_))
        return {"roots": embed(rows, self.n_neighbors, self.n_eigenvectors, self.random_state)}

    @property
    def _settings(self) -> dict[str, int]:
        return {"k": self.n_neighbors, "q": self.n_eigenvectors, "random_state": self.random_state}

    @property
    def _by_transport(self) -> bool:
        return self.metric not in ("euclidean", "cosine")

    def _tested(self, spectra: dict[str, Spectrum]) -> tuple[list[Proposal], NDArray[np.float64]]:
        """The sets that the maps propose, and the largest distinctness in each surrogate."""
        rows = self._rows(self.maps_)
        smallest = max(SMALLEST, -(-SMALLEST * len(rows) // LARGEST))  # smaller ones are not in surrogates of this size
        proposals = propose(rows, spectra, random_state=self.random_state, smallest=smallest)
        self._maxima = np.empty(0)
        if not self._by_transport:
            unit = rows.reshape(self.maps_.shape)
            self._maxima = null(unit, self.n_surrogates, n_jobs=self.n_jobs, **self._settings)
        return proposals, self._maxima

    def _described(
        self, proposals: list[Proposal], maxima: NDArray[np.float64], labels: NDArray[Any] | None
    ) -> list[Candidate]:
        p = p_values(np.array([proposal.shared.distinctness for proposal in proposals]), maxima)
        stable = self._stability(proposals) if maxima.size else np.full(len(proposals), np.nan)
        held = shares(self.maps_.reshape(len(self.maps_), -1), [proposal.shared.members for proposal in proposals])
        described = [
            describe(
                proposal, self.maps_, shared=h, p_value=float(v), stability=float(s), random_state=self.random_state
            )
            for proposal, h, v, s in zip(proposals, held, p, stable, strict=True)
        ]
        if labels is not None:
            described = [with_labels(candidate, labels[self.kept_]) for candidate in described]
        return [self._placed(candidate) for candidate in described]

    def _stability(self, proposals: list[Proposal]) -> NDArray[np.float64]:
        return stability(proposals, self._rows(self.maps_), **self._settings)

    def _placed(self, candidate: Candidate) -> Candidate:
        """The candidate with places among the maps given, and the duplicates of its members as members."""
        members = self.kept_[candidate.indices]
        everyone = np.flatnonzero(np.isin(self.duplicates_, members))
        return replace(candidate, indices=everyone, medoids=tuple(int(self.kept_[i]) for i in candidate.medoids))

    def _whole(self, labels: NDArray[np.integer]) -> NDArray[np.int64]:
        """Labels of the maps analysed as labels (N,) of the maps given; duplicates have that of their first."""
        whole = np.full(len(self.duplicates_), -1, dtype=np.int64)
        whole[self.kept_] = labels
        left_out = np.concatenate([self.zero_, self.invalid_]).astype(np.int64)
        spread = whole[self.duplicates_]
        spread[left_out] = -1
        return spread


def _too_few(
    repeated: NDArray[np.int64], kept: NDArray[np.int64], count: int, images: Sequence[str | Path | Image.Image] | None
) -> str:
    """Why fewer than 3 maps are left, with a pair that was merged."""
    again = int(np.flatnonzero(repeated != np.arange(len(repeated)))[0])
    pair = [kept[again], kept[repeated[again]]]
    named = [repr(str(images[i])) if images and isinstance(images[i], str | Path) else f"map {i}" for i in pair]
    alike = "have the same map" if images is None else "have the same map, or nearly the same picture and map"
    left = len(np.unique(repeated))
    return (
        f"only {left} of {count} maps are left: {len(kept) - left} repeat another, as {named[0]} repeats {named[1]} "
        f"(they {alike}): give at least 3 that differ."
    )


def _labels(y: ArrayLike, count: int) -> NDArray[Any]:
    labels = np.asarray(y)
    if labels.shape != (count,):
        raise InputError(f"labels are one for each of {count} maps, not of shape {labels.shape}.")
    return labels
