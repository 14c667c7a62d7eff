"""SpRAy class by class: which classes hold a strategy that their other images do not use?"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone

from chinspect.errors import InputError
from chinspect.spray.candidates import Candidate, flag

if TYPE_CHECKING:
    from chinspect.spray.analysis import SpRAy

LEAST = 12
"""Maps that a class needs: twice the smallest set that is looked for."""


@dataclass(frozen=True, eq=False)
class ClassRanking:
    """Classes by how well their maps fall into strategies.

    Attributes:
        table: one row a class, the most significant first: ``label``, ``maps``, ``p_value`` (the smallest of its
            candidates), ``flagged`` (how many), ``tau_anders2019``, ``tau_stabilised``, ``n_components``.
        candidates: of all classes, most significant first, flagged with one correction over the classes; ``group`` is
            the class, indices are places among all maps.
        left_out: classes of fewer than 12 maps.
    """

    table: pd.DataFrame
    candidates: list[Candidate]
    left_out: list[Hashable]

    @property
    def flagged(self) -> list[Candidate]:
        """The candidates that are flagged."""
        return [candidate for candidate in self.candidates if candidate.flagged]


def rank_classes(maps: ArrayLike, labels: ArrayLike, *, n_jobs: int | None = None, **parameters: Any) -> ClassRanking:
    """Analyses each class's maps on their own.

    Args:
        maps: (N, H, W) or (N, C, H, W).
        labels: (N,).
        n_jobs: processes, a class each.
        parameters: of `SpRAy`.

    Raises `InputError` where no class has 12 maps that can be compared.
    """
    from chinspect.spray.analysis import SpRAy

    values, given = np.asarray(maps), np.asarray(labels)
    if given.shape != values.shape[:1]:
        raise InputError(f"labels are one for each of {len(values)} maps, not of shape {given.shape}.")
    classes = {label: np.flatnonzero(given == label) for label in np.unique(given)}
    chosen = {label: places for label, places in classes.items() if len(places) >= LEAST}
    if not chosen:
        raise InputError(
            f"no class has {LEAST} maps: the largest of {len(classes)} has {max(map(len, classes.values()))}."
        )
    found = Parallel(n_jobs=n_jobs)(
        delayed(_analysed)(SpRAy(**parameters), values[places]) for places in chosen.values()
    )
    groups = [
        _moved(spray.candidates_, places, label)
        for (label, places), (spray, _) in zip(chosen.items(), found, strict=True)
    ]
    candidates = flag(groups)
    rows = [
        {
            "label": label,
            "maps": len(places),
            "p_value": min((c.p_value for c in group), default=1.0),
            "flagged": sum(c.flagged for c in candidates if c.group == label),
            **{f"tau_{name}": value for name, value in tau.items()},
            "n_components": spray.n_components_,
        }
        for (label, places), (spray, tau), group in zip(chosen.items(), found, groups, strict=True)
    ]
    table = pd.DataFrame(rows).sort_values(["p_value", "tau_stabilised"], ascending=[True, False], ignore_index=True)
    return ClassRanking(table, candidates, [label for label in classes if label not in chosen])


def class_candidates(spray: SpRAy, labels: NDArray[Any]) -> list[list[Candidate]]:
    """The candidates of each class among the maps that ``spray`` analyses, not flagged yet; small classes have none."""
    own = labels[spray.kept_]
    groups = {label: np.flatnonzero(own == label) for label in np.unique(own)}
    chosen = {label: places for label, places in groups.items() if len(places) >= LEAST and len(places) < len(own)}
    part = clone(spray).set_params(pool=None, normalise=False, n_jobs=None)
    fitted = Parallel(n_jobs=spray.n_jobs)(
        delayed(_fitted)(clone(part), spray.maps_[places]) for places in chosen.values()
    )
    return [
        _moved(one.candidates_, spray.kept_[places], label)
        for (label, places), one in zip(chosen.items(), fitted, strict=True)
    ]


def _fitted(spray: SpRAy, maps: NDArray[Any]) -> SpRAy:
    return spray.fit(maps)


def _analysed(spray: SpRAy, maps: NDArray[Any]) -> tuple[SpRAy, dict[str, float]]:
    return spray.fit(maps), spray.tau_


def _moved(candidates: list[Candidate], places: NDArray[np.int64], label: Any) -> list[Candidate]:
    """Candidates of a class, with places among all maps."""
    group = label.item() if hasattr(label, "item") else label
    return [
        replace(
            c, indices=places[c.indices], medoids=tuple(int(places[i]) for i in c.medoids), group=group, label=group
        )
        for c in candidates
    ]
