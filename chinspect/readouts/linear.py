"""Linear readouts of frozen embeddings: how well a downstream task can be solved on what an encoder gives.

Both readouts are those of Kauffmann et al. 2025. A class weighs as much as any other, and a class is decided by the
sign or the largest of the decision values: no threshold is tuned, on test data or elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC
from sklearn.utils.validation import check_is_fitted, validate_data

from chinspect.errors import InputError

# the parameters of the published study; its regression has no bias, its support vector machine has one
_MODELS: Mapping[str, tuple[Callable[..., Any], Mapping[str, Any]]] = {
    "logistic": (LogisticRegression, {"C": 1.0, "fit_intercept": False}),
    "svm": (LinearSVC, {"C": 0.01}),
}
KINDS = tuple(_MODELS)


class LinearReadout(ClassifierMixin, BaseEstimator):
    """A linear classifier of embeddings, with the parameters of the published study.

    Args:
        kind: ``logistic``, a regression without bias and with an l2 penalty (the eight trucks, the sixteen fish), or
            ``svm``, a linear support vector machine (the two classes of radiographs).
        C: inverse strength of the penalty; None is the published one, 1 and 0.01.
        max_iter: iterations of the solver.
        random_state: of the SVM's solver.

    Attributes:
        classes_: the labels, sorted.
        coef_: (classes, D), or (1, D) of two classes.
        n_iter_: iterations of the solver.

    Raises `InputError` for another kind.
    """

    def __init__(
        self, *, kind: str = "logistic", C: float | None = None, max_iter: int = 1000, random_state: int = 0
    ) -> None:
        self.kind = kind
        self.C = C
        self.max_iter = max_iter
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Learn from embeddings (N, D) and labels (N,) of at least two classes."""
        if self.kind not in _MODELS:
            raise InputError(f"The kind of a readout must be one of {', '.join(KINDS)}, not {self.kind!r}.")
        values, labels = validate_data(self, X, y)
        if len(np.unique(labels)) < 2:
            raise InputError(f"A readout tells two classes or more apart, and the labels hold 1 class, {labels[0]}.")
        model, published = _MODELS[self.kind]
        options = {**published, "max_iter": self.max_iter, "random_state": self.random_state}
        if self.C is not None:
            options["C"] = self.C
        self.model_ = model(class_weight="balanced", **options).fit(values, labels)
        self.classes_ = self.model_.classes_
        self.coef_ = self.model_.coef_
        self.n_iter_ = int(np.max(self.model_.n_iter_))
        return self

    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:
        """Decision values: (N, classes), or (N,) of two classes, where a positive one is the second class."""
        check_is_fitted(self)
        values: NDArray[np.float64] = self.model_.decision_function(validate_data(self, X, reset=False))
        return values

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Labels (N,)."""
        check_is_fitted(self)
        labels: NDArray[Any] = self.model_.predict(validate_data(self, X, reset=False))
        return labels
