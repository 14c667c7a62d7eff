"""The study of faithfulness: its controls are what they are said to be, and its shares count what they should."""

import numpy as np
import pytest
import torch

from experiments.faithfulness.__main__ import _agreement, _corrected
from experiments.faithfulness.watermark import ROWS, share, versions


def test_controls_have_the_ink_of_the_mark():
    grey = np.full((224, 224, 3), 100, dtype=np.uint8)
    ink = {name: change(grey).astype(int) - 100 for name, change in versions().items()}
    assert not ink["plain"].any()
    rows = {name: np.flatnonzero(values.any((1, 2))) for name, values in ink.items()}
    for control in ("strokes", "elsewhere"):
        assert ink[control].sum() == ink["watermark"].sum()
        assert not np.array_equal(ink[control], ink["watermark"])
    for name in ("watermark", "strokes"):
        # in rows 3 and 4 of patches of 32 pixels
        assert (rows[name].min() // 32, rows[name].max() // 32) == ROWS
    assert rows["elsewhere"].max() < rows["watermark"].min()


def test_a_share_is_that_of_pairs_under_the_mark():
    assert share(torch.ones(49, 49), ROWS) == pytest.approx((2 / 7) ** 2)
    cells = torch.zeros(49, 49)
    cells[21:35, 21:35] = 1
    assert share(cells, ROWS) == 1
    assert share(cells, (1, 2)) == 0


def test_agreement_corrects_for_the_mean_reliability():
    rng = np.random.default_rng(0)
    truths = [rng.normal(size=49) for _ in range(60)]
    halves = [truth + rng.normal(size=(2, 49)) for truth in truths]
    maps = [truth + rng.normal(size=49) for truth in truths]
    row = _agreement("shapley", maps, halves, 2)
    # a map with as much noise as signal correlates with the truth at .71
    assert row["shapley"] == pytest.approx(0.71, abs=0.05)
    assert row["shapley_low"] < 0.71 < row["shapley_high"]
    assert _corrected(np.array([0.5]), np.array([1.0])) == 0.5
