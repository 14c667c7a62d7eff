"""What heads are solved by: logistic regression with either penalty, near another one, and balanced subsets."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedShuffleSplit

from chinspect.errors import InputError

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]
_IGNORED = 5  # a group of at most so many images does not decide how large balanced subsets are
_STEPS = 2_000  # of iterative solvers: embeddings of 2,000 numbers converge in fewer


def balanced_subset(ids: Ids, generator: np.random.Generator) -> Ids:
    """Indices of as many images of each group, at random: those of the smallest group of more than 5 images.

    Smaller groups are in it whole. Where all are that small, the smallest decides.
    """
    sizes = np.bincount(ids)
    sizes = sizes[sizes > 0]
    large = sizes[sizes > _IGNORED]
    count = int((large if len(large) else sizes).min())
    chosen = [generator.permutation(np.flatnonzero(ids == group))[:count] for group in np.unique(ids)]
    return np.sort(np.concatenate(chosen))


def logistic(
    rows: Floats, targets: Ids, *, C: float = 1.0, penalty: str = "l2", weights: Floats | None = None
) -> tuple[Floats, Floats]:
    """Weights and intercepts of logistic regression; of more than two classes one against the others by l1."""
    names = np.unique(targets)
    if len(names) > 2 and penalty == "l1":  # the solver of l1 that converges knows two classes
        fits = [logistic(rows, (targets == name).astype(int), C=C, penalty=penalty) for name in names]
        return np.concatenate([x for x, _ in fits]), np.concatenate([x for _, x in fits])
    ratio = {"l1": 1.0, "l2": 0.0}[penalty]
    solver = "liblinear" if penalty == "l1" else "lbfgs"
    model = LogisticRegression(C=C, l1_ratio=ratio, solver=solver, max_iter=_STEPS, random_state=0)
    model.fit(rows, targets, weights)
    return model.coef_, model.intercept_


def values_of(rows: Floats, coefficients: Floats, intercepts: Floats) -> Floats:
    """``W x + b`` of each row (N, d)."""
    values: Floats = rows @ coefficients.T + intercepts
    return values


def all_classes(values: Floats) -> Floats:
    """Logits (N, c) of all classes; of two classes the first has 0."""
    return np.hstack([np.zeros_like(values), values]) if values.shape[1] == 1 else values


def predicted(rows: Floats, coefficients: Floats, intercepts: Floats) -> Ids:
    """The class (N,) of each row."""
    best: Ids = all_classes(values_of(rows, coefficients, intercepts)).argmax(1)
    return best


def near(base: tuple[Floats, Floats], rows: Floats, targets: Ids, weights: Floats, C: float) -> tuple[Floats, Floats]:
    """Minimises ``sum_i weights_i loss_i + |W - W_base|^2 / (2 C)`` over weights and intercepts."""
    shape = base[0].shape
    hits = np.eye(max(shape[0], 2))[targets]
    origin = np.concatenate([base[0], base[1][:, None]], axis=1)
    extended = np.hstack([rows, np.ones((len(rows), 1))])

    def objective(flat: Floats) -> tuple[float, Floats]:
        parameters = flat.reshape(origin.shape)
        logs = log_softmax(all_classes(extended @ parameters.T), axis=1)
        away = parameters - origin
        loss = float(-(weights[:, None] * logs * hits).sum() + (away**2).sum() / (2 * C))
        slope = (np.exp(logs) - hits)[:, -len(parameters) :] * weights[:, None]  # of two classes that of the second
        return loss, (slope.T @ extended + away / C).ravel()

    found = minimize(objective, origin.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": _STEPS})
    parameters = found.x.reshape(origin.shape)
    return parameters[:, :-1], parameters[:, -1]


def halves(targets: Ids, strata: Ids, random_state: int) -> tuple[Ids, Ids]:
    """Two halves with as many of each stratum; of strata of one image only the classes are halved."""
    by = strata if np.bincount(strata)[np.unique(strata)].min() > 1 else targets
    splitter = StratifiedShuffleSplit(1, test_size=0.5, random_state=random_state)
    try:
        first, second = next(splitter.split(targets, by))
    except ValueError as error:
        raise InputError(f"strengths are selected on a half that is held out: {error}") from error
    return first, second


def worst_accuracy(targets: Ids, judged: Ids, coefficients: Floats, intercepts: Floats, rows: Floats) -> float:
    """The lowest accuracy among the groups ``judged``."""
    right = predicted(rows, coefficients, intercepts) == targets
    sizes = np.bincount(judged)
    return float((np.bincount(judged, right)[sizes > 0] / sizes[sizes > 0]).min())


def checked(X: ArrayLike, y: ArrayLike) -> tuple[Floats, NDArray[Any]]:
    """Embeddings and labels as arrays; `InputError` where they do not fit, or are not finite."""
    rows = np.asarray(X, dtype=np.float64)
    labels = np.asarray(y)
    if rows.ndim != 2 or labels.shape != (len(rows),):
        raise InputError(f"a head takes embeddings (N, d) and labels (N,), not {rows.shape} and {labels.shape}.")
    if not np.isfinite(rows).all():
        raise InputError("embeddings must be finite: leave out what is NaN or infinite, with its label.")
    return rows, labels
