"""The parts of the study of ClusCAM that are its own: variants, controls, intervals."""

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from chinspect.encoders import load_encoder
from experiments.cluscam.measures import controls, measured
from experiments.cluscam.variants import _regions, split_channels, weighted_by_gradients

MODULE = load_encoder("tiny-supervised").module
X = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def study():
    path = Path(__file__).parents[2] / "experiments" / "cluscam" / "__main__.py"
    spec = importlib.util.spec_from_file_location("cluscam_study", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_variants_give_maps_that_differ():
    maps = [variant(MODULE, X, "stages.1", 3) for variant in (split_channels, weighted_by_gradients)]
    assert all(values.shape == (8, 8) and bool(values.isfinite().all()) for values in maps)
    assert not torch.allclose(*maps)


def test_a_channel_in_its_regions():
    channel = torch.zeros(6, 6)
    channel[0, :2] = 2
    channel[4:, 4:] = 3
    channel[2, 2] = 0.5
    first, second = _regions(channel)
    assert first.sum() == 4
    assert second.sum() == 12
    assert torch.equal(_regions(channel.clamp(max=0)), torch.zeros(1, 6, 6))


def test_a_map_of_ones_wins_the_usual_measure_and_not_deletion():
    rows = {name: measured(MODULE, X, 3, values) for name, values in controls(0).items()}
    assert rows["all ones"]["drop"] == 0
    assert rows["all ones"]["area"] == 1
    assert set(rows) == {"all ones", "random", "centred blob"}


def test_intervals_hold_the_mean():
    rows = pd.DataFrame(
        {"image": [str(i % 20) for i in range(40)], "method": ["a"] * 20 + ["b"] * 20}
        | {name: np.random.default_rng(0).normal(size=40) for name in ("deleted", "drop", "increase", "area")}
    )
    table = study().summary(rows, 200)
    assert list(table["method"]) == ["a", "b"]
    assert (table["deleted_low"] < table["deleted"]).all()
    assert (table["deleted"] < table["deleted_high"]).all()
