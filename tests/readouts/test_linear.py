"""The readout is the published one, as scikit-learn computes it."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from chinspect.errors import InputError
from chinspect.readouts import linear_readout


@pytest.fixture
def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = np.array(["cat"] * 60 + ["dog"] * 30 + ["fish"] * 10)
    return rng.normal(size=(100, 7)) + np.repeat([[0.0], [1.0], [2.0]], [60, 30, 10], axis=0), labels


def test_logistic_regression_of_the_paper(data: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = data
    options = {"C": 1.0, "fit_intercept": False, "class_weight": "balanced", "max_iter": 1000, "solver": "lbfgs"}
    expected = LogisticRegression(**options).fit(X, y)
    readout = linear_readout().fit(X, y)
    np.testing.assert_array_equal(readout.coef_, expected.coef_)
    np.testing.assert_array_equal(readout.predict(X), expected.predict(X))


def test_support_vector_machine_of_the_paper(data: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = data[0][:90], data[1][:90]
    expected = LinearSVC(C=0.01, class_weight="balanced", random_state=0).fit(X, y)
    readout = clone(linear_readout("svm")).fit(X, y)
    np.testing.assert_allclose(readout.decision_function(X), expected.decision_function(X))
    np.testing.assert_array_equal(readout.predict(X), expected.predict(X))


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(InputError, match=r"one of logistic, svm, not 'forest'"):
        linear_readout("forest")
