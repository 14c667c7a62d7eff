"""Heads on frozen embeddings that are right for every group, as estimators of scikit-learn.

    head = DFR().fit(embeddings, labels, groups)
    head.predict(others)

All are linear: ``z = W (x - mean) / spread + b``, of two classes one row, of more one row a class, and the class with
the largest value wins. They differ in which images count how much:

* `ERM`: each as much as any other.
* `DFR` (Kirichenko, Izmailov, Wilson 2023, arXiv:2204.02937): subsets with as many images of each group, an l1 penalty,
  and the mean of the weights over several subsets.
* `JTT` (Liu et al. 2021, arXiv:2107.09044): the errors of a first head count several times.
* `AFR` (Qiu et al. 2023, arXiv:2306.11074): images count by ``exp(-gamma p)``, where p is the probability that a first
  head gives to their class, and the new head stays near the first one.
* `GroupDRO` (Sagawa et al. 2020, arXiv:1911.08731): the group with the largest loss counts most.

Strengths are selected on held-out images by the accuracy of the worst group, or of the worst class where there are no
groups, which is what can be known without them (Yang et al. 2023, arXiv:2302.12254).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_softmax
from sklearn.base import BaseEstimator, ClassifierMixin

from chinspect.errors import InputError
from chinspect.groups.solving import (
    Floats,
    Ids,
    all_classes,
    balanced_subset,
    checked,
    halves,
    logistic,
    near,
    predicted,
    values_of,
    worst_accuracy,
)

_PENALTIES = (1.0, 0.7, 0.3, 0.1, 0.07, 0.03, 0.01)  # the grid of C of the authors of DFR


class Head(ClassifierMixin, BaseEstimator):
    """What all heads share. A subclass fits weights on standardised embeddings.

    Attributes:
        classes_: (c,).
        coef_, intercept_: of the standardised embeddings, (1, d) and (1,) of two classes, (c, d) and (c,) of more.
        mean_, scale_: of the embeddings, (d,).
        selected_: the strength that was selected, by name; empty where there is none to select.
        selected_by_: ``worst group`` or ``worst class``; empty likewise.
    """

    def fit(self, X: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None) -> Self:
        """Fits the head.

        Args:
            X: embeddings (N, d).
            y: classes (N,).
            groups: (N,), any values that can be sorted; None where there are none.

        Raises `InputError` for shapes that do not fit, numbers that are not finite, and fewer than two classes.
        """
        rows, labels = checked(X, y)
        self.classes_, targets = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise InputError(f"a head tells classes apart, and there is only {self.classes_[0]}.")
        self.mean_ = rows.mean(0)
        spread = rows.std(0)
        self.scale_ = np.where(spread > 0, spread, 1.0)
        self.selected_: dict[str, float] = {}
        self.selected_by_ = ""
        ids = None if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
        if ids is not None and len(ids) != len(rows):
            raise InputError(f"there must be one group an image, not {len(ids)} for {len(rows)}.")
        self.n_features_in_ = rows.shape[1]
        self.coef_, self.intercept_ = self._weights((rows - self.mean_) / self.scale_, targets, ids)
        return self

    def _weights(self, rows: Floats, targets: Ids, ids: Ids | None) -> tuple[Floats, Floats]:
        raise NotImplementedError

    def decision_function(self, X: ArrayLike) -> Floats:
        """(N,) of two classes, positive for the second; (N, c) of more."""
        values = values_of((np.asarray(X, dtype=np.float64) - self.mean_) / self.scale_, self.coef_, self.intercept_)
        return values[:, 0] if values.shape[1] == 1 else values

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Classes (N,)."""
        values = self.decision_function(X)
        return self.classes_[(values > 0).astype(int) if values.ndim == 1 else values.argmax(1)]

    def _select(
        self,
        name: str,
        strengths: Sequence[float],
        fit: Callable[[float, Floats, Ids, Ids | None], tuple[Floats, Floats]],
        rows: Floats,
        targets: Ids,
        ids: Ids | None,
    ) -> float:
        """The strength with the best worst group, or class, on a held-out half; the first of equals."""
        if len(strengths) == 1:
            return float(strengths[0])
        judged = targets if ids is None else ids
        train, held_out = halves(targets, judged, self.random_state)
        own = None if ids is None else ids[train]
        fits = [fit(strength, rows[train], targets[train], own) for strength in strengths]
        scores = [worst_accuracy(targets[held_out], judged[held_out], *weights, rows[held_out]) for weights in fits]
        best = float(strengths[int(np.argmax(scores))])
        self.selected_[name] = best
        self.selected_by_ = "worst class" if ids is None else "worst group"
        return best

    random_state: int


class ERM(Head):
    """Logistic regression with an l2 penalty of strength 1 / C."""

    def __init__(self, *, C: float = 1.0) -> None:
        self.C = C

    def _weights(self, rows: Floats, targets: Ids, ids: Ids | None) -> tuple[Floats, Floats]:  # noqa: ARG002
        return logistic(rows, targets, C=self.C)


class DFR(Head):
    """Deep feature reweighting: the last layer anew, on subsets with as many images of each group.

    Args:
        C: inverse strengths of the penalty to select from.
        retrains: balanced subsets whose weights are averaged.
        penalty: ``l1``, or ``l2``.
        balanced: whether subsets are balanced; if not, all images are fitted once.
        random_state: seed of subsets and of the split.
    """

    def __init__(
        self,
        *,
        C: Sequence[float] = _PENALTIES,
        retrains: int = 20,
        penalty: str = "l1",
        balanced: bool = True,
        random_state: int = 0,
    ) -> None:
        self.C = C
        self.retrains = retrains
        self.penalty = penalty
        self.balanced = balanced
        self.random_state = random_state

    def _weights(self, rows: Floats, targets: Ids, ids: Ids | None) -> tuple[Floats, Floats]:
        if ids is None:
            raise InputError("DFR balances groups: give fit the group of each image.")
        generator = np.random.default_rng(self.random_state)
        C = self._select("C", self.C, partial(self._once, generator=generator), rows, targets, ids)
        fits = [
            self._once(C, rows, targets, ids, generator=generator) for _ in range(self.retrains if self.balanced else 1)
        ]
        coefficients, intercepts = zip(*fits, strict=True)
        return np.mean(coefficients, axis=0), np.mean(intercepts, axis=0)

    def _once(
        self, C: float, rows: Floats, targets: Ids, ids: Ids | None, *, generator: np.random.Generator
    ) -> tuple[Floats, Floats]:
        members = balanced_subset(ids, generator) if self.balanced and ids is not None else np.arange(len(rows))
        return logistic(rows[members], targets[members], C=C, penalty=self.penalty)


class JTT(Head):
    """Just train twice: what a first, strongly regularised head gets wrong counts ``weight`` times.

    Args:
        weight: factors to select from.
        first_C: of the first head, so weak that it learns what is easiest.
        C: of the second head.
    """

    def __init__(
        self,
        *,
        weight: Sequence[float] = (5.0, 20.0, 50.0, 100.0),
        first_C: float = 1e-3,
        C: float = 1.0,
        random_state: int = 0,
    ) -> None:
        self.weight = weight
        self.first_C = first_C
        self.C = C
        self.random_state = random_state

    def _weights(self, rows: Floats, targets: Ids, ids: Ids | None) -> tuple[Floats, Floats]:
        factor = self._select("weight", self.weight, self._twice, rows, targets, ids)
        first = logistic(rows, targets, C=self.first_C)
        self.n_errors_ = int((predicted(rows, *first) != targets).sum())
        return self._twice(factor, rows, targets, ids)

    def _twice(self, factor: float, rows: Floats, targets: Ids, ids: Ids | None) -> tuple[Floats, Floats]:  # noqa: ARG002
        wrong = predicted(rows, *logistic(rows, targets, C=self.first_C)) != targets
        return logistic(rows, targets, C=self.C, weights=np.where(wrong, factor, 1.0))


class AFR(Head):
    """Automatic feature reweighting: images that a first head is unsure of count more, on a half that it has not seen.

    With p the probability of an image's class by the first head, its weight is ``exp(-gamma p)`` over the size of its
    class. The second head minimises the weighted loss and ``0.5 / C`` times the squared distance to the first.

    Args:
        gamma: strengths to select from.
        C: inverse strength of the pull towards the first head.
    """

    def __init__(
        self, *, gamma: Sequence[float] = (1.0, 2.0, 4.0, 8.0, 16.0), C: float = 100.0, random_state: int = 0
    ) -> None:
        self.gamma = gamma
        self.C = C
        self.random_state = random_state

    def _weights(self, rows: Floats, targets: Ids, ids: Ids | None) -> tuple[Floats, Floats]:
        gamma = self._select("gamma", self.gamma, self._reweighted, rows, targets, ids)
        return self._reweighted(gamma, rows, targets, ids)

    def _reweighted(self, gamma: float, rows: Floats, targets: Ids, ids: Ids | None) -> tuple[Floats, Floats]:
        first, second = halves(targets, targets if ids is None else ids, self.random_state)
        base = logistic(rows[first], targets[first])
        own = targets[second]
        logits = all_classes(values_of(rows[second], *base))
        right = np.exp(log_softmax(logits, axis=1)[np.arange(len(own)), own])
        weights = np.exp(-gamma * right) / np.bincount(own)[own]
        weights /= weights.mean()
        return near(base, rows[second], own, weights / len(own), self.C)


class GroupDRO(Head):
    """Distributionally robust optimisation over groups, with size adjustment.

    Each step multiplies the weight q_g of a group by ``exp(eta (L_g + adjustment / sqrt(n_g)))``, with L_g its mean
    loss, divides by their sum, and takes a step of gradient descent on ``sum_g q_g L_g``.

    Args:
        eta: step of the weights.
        adjustment: how much more small groups count, whose loss on the training data tells less.
        decay: l2 penalty of the weights.
        steps: of full-batch descent.
    """

    def __init__(
        self,
        *,
        eta: float = 0.01,
        adjustment: float = 0.0,
        decay: float = 1e-2,
        steps: int = 1_000,
        learning_rate: float = 0.1,
    ) -> None:
        self.eta = eta
        self.adjustment = adjustment
        self.decay = decay
        self.steps = steps
        self.learning_rate = learning_rate

    def _weights(self, rows: Floats, targets: Ids, ids: Ids | None) -> tuple[Floats, Floats]:
        if ids is None:
            raise InputError("Group DRO weighs groups: give fit the group of each image.")
        count = len(self.classes_)
        hits = np.eye(count)[targets]
        sizes = np.bincount(ids)
        q = np.full(len(sizes), 1 / len(sizes))
        coefficients = np.zeros((count, rows.shape[1]))
        intercepts = np.zeros(count)
        speed = [np.zeros_like(coefficients), np.zeros_like(intercepts)]
        for _ in range(self.steps):
            logs = log_softmax(rows @ coefficients.T + intercepts, axis=1)
            losses = np.bincount(ids, -(logs * hits).sum(1)) / sizes
            q = q * np.exp(self.eta * (losses + self.adjustment / np.sqrt(sizes)))
            q /= q.sum()
            slope = (np.exp(logs) - hits) * (q / sizes)[ids][:, None]
            # momentum .9, as published
            speed[0] = 0.9 * speed[0] + slope.T @ rows + self.decay * coefficients
            speed[1] = 0.9 * speed[1] + slope.sum(0)
            coefficients = coefficients - self.learning_rate * speed[0]
            intercepts = intercepts - self.learning_rate * speed[1]
        self.group_weights_ = q
        if count > 2:
            return coefficients, intercepts
        return coefficients[1:] - coefficients[:1], intercepts[1:] - intercepts[:1]
