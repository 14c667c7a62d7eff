"""What the panels of a stress test say in words."""

import numpy as np
import pandas as pd
import pytest

from chinspect.stress.metrics import evaluate
from chinspect.stress.resizing import Prediction
from chinspect.stress.words import beside, correlation_interval, size, verdicts

LABELS = np.repeat([0, 1], 40)
SCORES = np.random.default_rng(0).normal(size=80) + 6 * LABELS


def table(**conditions: np.ndarray) -> pd.DataFrame:
    scores = {"opencv-nearest": SCORES} | {name.replace("_", "-"): values for name, values in conditions.items()}
    rows = [
        {"mitigation": "none", "resizer": name, "change": "none"} | vars(evaluate(values, LABELS, 3.0, SCORES))
        for name, values in scores.items()
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("moved", "scores", "errors"),
    [(0.01, ": small.", "no worse beyond chance"), (6.0, ": large.", "the decisions do not survive")],
)
def test_the_shift_and_the_decisions_are_judged(moved: float, scores: str, errors: str) -> None:
    told = verdicts(table(pillow_bilinear=SCORES + moved), pd.DataFrame(), (), "opencv-nearest")
    assert told["scores"].startswith("pillow-bilinear moves normal scores by +")
    assert told["scores"].endswith(scores)
    assert told["errors"].endswith(f"{errors}.")
    assert "No better than chance" not in told["errors"]
    assert (told["steps"], told["prediction"]) == ("", "")


def test_a_detector_of_chance_is_called_so_before_any_change() -> None:
    chance = np.random.default_rng(1).normal(size=80)
    rows = table(pillow_bilinear=SCORES)
    rows.loc[0, "auroc"] = evaluate(chance, LABELS, 0.0).auroc
    told = verdicts(rows, pd.DataFrame(), (), "opencv-nearest")
    assert told["errors"].startswith("No better than chance even without a change: AUROC 0.")


@pytest.mark.parametrize(("slope", "words"), [(3.0, "it tells well"), (0.55, "in part"), (0.0, "it tells nothing")])
def test_a_correlation_is_told_with_its_meaning(slope: float, words: str) -> None:
    rng = np.random.default_rng(0)
    predicted = rng.normal(size=40)
    measured = slope * predicted + rng.normal(size=40)
    found = Prediction("opencv-area", np.ones(3), predicted, measured, LABELS[20:60])
    told = verdicts(table(opencv_area=SCORES), pd.DataFrame(), (found,), "opencv-nearest")["prediction"]
    assert told.startswith(f"opencv-area: r = {found.correlation:.2f} [")
    assert words in told


def test_the_words_for_numbers() -> None:
    assert [size(shift) for shift in (0.1, -0.5, 3)] == ["small", "noticeable", "large"]
    assert beside(1.0, 0.2, 0.3) == "low"
    assert beside(0.1, 0.2, 0.3) == "high"
    assert beside(0.25, 0.2, 0.3) == "as an even spread has it"
    # published example: r = .5 of 30 pairs
    np.testing.assert_allclose(correlation_interval(0.5, 30), (0.170, 0.729), atol=1e-3)
    assert correlation_interval(1.0, 3) == (-1, 1)
