"""Measures of a confounder in embeddings (n, D), with codes 0, 1, ... of the label and the origin of each image (n,).

See `chinspect.readouts.confounder`, which says what they mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from chinspect.intervals import draws
from chinspect.readouts.task import linear_readout

INDEX = "robustness index"
PREDICTED = "confounder predicted"
DROP = "average performance drop"
OWN = "embedding"
FOLDS = 5
_PERMUTATIONS = 20  # of the chance level of the index, whose range then covers 19 of 20
_CORRELATIONS = (0.0, 0.25, 0.5, 0.75, 1.0)
_REPEATS = 20  # of the drop, as in the source
_RESAMPLES = 1000
Values = NDArray[np.float64]
Codes = NDArray[np.intp]
Row = dict[str, Any]
Triple = tuple[float, float, float]


def neighbour_kinds(values: Values, labels: Codes, confounders: Codes, most: int) -> tuple[Values, Values]:
    """Numbers (n, most) of SO and of OS among the first 1, 2, ... neighbours of each image."""
    unit = values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)  # zeros keep a direction
    similarity = unit @ unit.T
    np.fill_diagonal(similarity, -np.inf)
    near = np.argsort(-similarity, axis=1, kind="stable")[:, :most]
    same_label = labels[near] == labels[:, None]
    same_origin = confounders[near] == confounders[:, None]
    so = np.cumsum(same_label & ~same_origin, axis=1).astype(float)
    os = np.cumsum(~same_label & same_origin, axis=1).astype(float)
    return so, os


def index_over_k(values: Values, labels: Codes, origins: Codes, ks: Sequence[int], seed: int) -> pd.DataFrame:
    """The robustness index over numbers of neighbours, of the embedding and of random neighbours.

    Args:
        values: embeddings (n, D).
        labels, origins: classes and confounders (n,), as numbers from 0.
        ks: numbers of neighbours.
        seed: of the bootstrap and of the permutations.

    Returns:
        A row a k: k, estimate, low, high (the 95 % interval over images), chance, chance_low, chance_high.
    """
    so, os = neighbour_kinds(values, labels, origins, max(ks))
    counts = draws(len(values), _RESAMPLES, seed)
    rng = np.random.default_rng(seed)
    permuted = []
    for _ in range(_PERMUTATIONS):
        order = rng.permutation(len(values))
        permuted.append(neighbour_kinds(values[order], labels, origins, max(ks)))
    rows = []
    for k in ks:
        drawn = _ratio(counts @ so[:, k - 1], counts @ os[:, k - 1])
        low, high = (
            np.quantile(drawn[np.isfinite(drawn)], [0.025, 0.975]) if np.isfinite(drawn).any() else (np.nan,) * 2
        )
        chance = [float(_ratio(a[:, k - 1].sum(), b[:, k - 1].sum())) for a, b in permuted]
        row = {"k": k, "estimate": float(_ratio(so[:, k - 1].sum(), os[:, k - 1].sum())), "low": low, "high": high}
        rows.append(row | {"chance": np.mean(chance), "chance_low": np.min(chance), "chance_high": np.max(chance)})
    return pd.DataFrame(rows)


def _ratio(so: Any, os: Any) -> Any:
    """SO / (SO + OS), nan where there is neither."""
    total = np.asarray(so + os, dtype=float)
    return np.divide(so, total, out=np.full_like(total, np.nan), where=total > 0)


def predictability(values: Values, labels: Codes, origins: Codes, seed: int) -> list[Row]:
    """Of the confounder, and of confounders permuted within classes and among all, and the majority."""
    rng = np.random.default_rng(seed)
    within = origins.copy()
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        within[own] = origins[rng.permutation(own)]
    conditions = {OWN: origins, "class alone": within, "permuted": rng.permutation(origins)}
    rows = []
    for condition, codes in conditions.items():
        right = cross_validated(values, codes, labels, seed)
        rows.append(measured_row(PREDICTED, condition, balanced_accuracy(right, codes, seed), len(values)))
    majority = 1 / len(np.unique(origins))
    return [*rows, measured_row(PREDICTED, "majority", (majority, majority, majority), len(values))]


def cross_validated(
    values: Values, codes: Codes, labels: Codes, seed: int, groups: Codes | None = None
) -> NDArray[np.bool_]:
    """Whether each image (n,) is predicted right by a readout of the codes that was fitted on other folds.

    Args:
        labels: of which each fold has as many as another, as of the codes, where there are enough images.
        groups: images of one group are in one fold; each is one of its own by default.
    """
    cells = labels * (codes.max() + 1) + codes
    smallest = int(np.bincount(cells)[np.unique(cells)].min())
    strata = cells if smallest >= FOLDS else codes
    own = np.arange(len(codes)) if groups is None else groups
    right = np.zeros(len(values), dtype=bool)
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    for train, test in folds.split(values, strata, own):
        model = linear_readout().fit(*_scaled(values, codes, train))
        right[test] = model.predict((values[test] - values[train].mean(0)) / _spread(values[train])) == codes[test]
    return right


def _scaled(values: Values, codes: Codes, train: Codes) -> tuple[Values, Codes]:
    """Training embeddings around their mean, as the readout has no bias, in units of their spread; and their codes."""
    return (values[train] - values[train].mean(0)) / _spread(values[train]), codes[train]


def _spread(values: Values) -> float:
    """The root mean square of all centred values: one number, so that directions keep their weight."""
    return max(float((values - values.mean(0)).std()), 1e-12)


def balanced_accuracy(right: NDArray[np.bool_], codes: Codes, seed: int = 0) -> Triple:
    """The mean recall over codes with its bootstrap interval over images."""
    member = (codes[:, None] == np.unique(codes)).astype(float)
    hits = member * right[:, None]
    counts = draws(len(right), _RESAMPLES, seed)
    totals = counts @ member
    recalls = np.divide(counts @ hits, totals, out=np.full_like(totals, np.nan), where=totals > 0)
    low, high = np.nanquantile(np.nanmean(recalls, axis=1), [0.025, 0.975])
    return float((hits.sum(0) / member.sum(0)).mean()), float(low), float(high)


def performance_drop(values: Values, labels: Codes, origins: Codes, seed: int) -> Row:
    """The average performance drop, and the range that 19 of 20 of its repetitions lie in."""
    drops = []
    for repeat in range(_REPEATS):
        rng = np.random.default_rng([seed, repeat])
        cells = {
            (a, b): rng.permutation(np.flatnonzero((labels == a) & (origins == b)))
            for a in np.unique(labels)
            for b in np.unique(origins)
        }
        size = min(map(len, cells.values()))
        test = np.concatenate([own[: size // 3] for own in cells.values()])
        accuracies = [_fitted(values, labels, _train(cells, size, rho), test) for rho in _CORRELATIONS]
        drops.append(np.mean(accuracies[1:]) / accuracies[0] - 1)
    low, high = np.quantile(drops, [0.025, 0.975])
    return measured_row(DROP, OWN, (float(np.mean(drops)), float(low), float(high)), len(values))


def _train(cells: Mapping[tuple[int, int], Codes], size: int, rho: float) -> Codes:
    """Images beyond the first third of each cell: those that agree (origin = class modulo origins) grow with rho.

    With m origins a class has ``t (1 + (m - 1) rho)`` images that agree and ``t (1 - rho)`` of each other origin, where
    t is so small that the largest cell holds them: always m t.
    """
    origins = len({b for _, b in cells})
    available = size - size // 3
    unit = available / origins
    chosen = []
    for (a, b), own in cells.items():
        agrees = b == a % origins
        count = unit * (1 + (origins - 1) * rho) if agrees else unit * (1 - rho)
        chosen.append(own[size // 3 :][: round(count)])
    return np.concatenate(chosen)


def _fitted(values: Values, labels: Codes, train: Codes, test: Codes) -> float:
    model = linear_readout().fit(*_scaled(values, labels, train))
    predicted = model.predict((values[test] - values[train].mean(0)) / _spread(values[train]))
    return float((predicted == labels[test]).mean())


def measured_row(measure: str, condition: str, values: Triple, n: int) -> Row:
    """A row of measures: an estimate with the ends of its interval, on n images."""
    estimate, low, high = values
    return {"measure": measure, "condition": condition, "estimate": estimate, "low": low, "high": high, "n": n}
