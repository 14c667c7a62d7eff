"""What the figures of known effects say: what a measure is, and whether the effect stands out from its controls."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from chinspect.known.comparing import Comparison
from chinspect.known.words import meaning, standing
from chinspect.report import CONTROL, EFFECT, VARIANT


def rows(own: tuple[float, float, float], *controls: float, variant: float = 9.0) -> list[dict[str, object]]:
    estimate, low, high = own
    made = [{"condition": "logo", "estimate": estimate, "low": low, "high": high}]
    made += [{"condition": f"control {i}", "estimate": value, "low": 0, "high": 1} for i, value in enumerate(controls)]
    return [*made, {"condition": "elsewhere", "estimate": variant, "low": 8, "high": 10}]


@pytest.mark.parametrize(
    ("own", "words"),
    [
        ((3.0, 2.5, 3.5), "above all controls"),
        ((3.0, 1.5, 3.5), "not beyond its controls"),
        ((0.1, 0.0, 0.2), "below all controls"),
    ],
)
def test_an_effect_stands_out_where_its_interval_is_beyond_all_controls(own: tuple[float, ...], words: str) -> None:
    assert standing(rows(own, 1.0, 2.0), "logo", ("elsewhere",)) == words  # type: ignore[arg-type]


def test_without_controls_nothing_is_said() -> None:
    assert standing(rows((3.0, 2.5, 3.5)), "logo", ("elsewhere",)) == ""
    assert standing(rows((3.0, 2.5, 3.5), 1.0), "another") == ""


def test_measures_are_explained() -> None:
    assert "linear readout" in meaning("jpeg: readable")
    assert meaning("accuracy")
    assert meaning("nonsense") == ""


def test_every_line_of_a_comparison_lies_within_its_model_and_another_form_is_no_control() -> None:
    conditions = ["watermark", *(f"random patch {i}" for i in range(5)), "elsewhere"]
    table = pd.DataFrame(
        {"model": model, "subject": "imagenet-w", "measure": "similarity gain", "condition": condition}
        | {"estimate": 0.1, "low": 0.0, "high": 0.2, "n": 9}
        for model in ("one", "two")
        for condition in conditions
    )
    comparison = Comparison(("one", "two"), "photos", table, {"imagenet-w": ("similarity gain", "watermark")})
    (axes,) = comparison.figure().axes
    bottom, top = axes.get_ylim()
    lines = [line for line in axes.lines if line.get_marker() in "os^" and line.get_marker() != ""]
    assert len(lines) == 2 * len(conditions)
    heights = [float(line.get_ydata()[0]) for line in lines]
    assert all(top < height < bottom for height in heights)
    assert all((height < 0.5) == (i < len(conditions)) for i, height in enumerate(heights))
    assert [line.get_marker() for line in lines].count("^") == 2


def test_colours_are_told_apart_in_grey() -> None:
    dark, *light = (np.dot((0.3, 0.59, 0.11), to_rgb(colour)) for colour in (EFFECT, VARIANT, CONTROL))
    assert dark < 0.35
    assert min(light) > 0.55
