"""The parts of the study of ClusCAM that are its own: variants, controls, intervals."""

import importlib.util
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from chinspect.encoders import load_encoder, observing
from chinspect.errors import InputError
from chinspect.faithfulness import control_maps
from experiments.cluscam import registers
from experiments.cluscam.measures import QUICK, judged_image, measured
from experiments.cluscam.sparse import ACTIVE, positions, train_coder
from experiments.cluscam.variants import VARIANTS, _regions

MODULE = load_encoder("tiny-supervised").module
X = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def study():
    path = Path(__file__).parents[2] / "experiments" / "cluscam" / "__main__.py"
    spec = importlib.util.spec_from_file_location("cluscam_study", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_variants_give_maps_that_differ():
    maps = {name: variant(MODULE, X, "stages.1", 3) for name, variant in VARIANTS.items()}
    assert all(values.shape == (8, 8) and bool(values.isfinite().all()) for values in maps.values())
    assert not any(torch.allclose(maps[a], maps[b]) for a, b in combinations(maps, 2))


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
    image = judged_image(MODULE, X, 3, 0)
    rows = {name: measured(image, values, QUICK) for name, values in control_maps((64, 64)).items()}
    assert rows["all-ones mask"]["drop"] == 0
    assert rows["all-ones mask"]["area"] == 1
    assert rows["random mask"]["area"] < 1


def test_intervals_hold_the_mean():
    rows = pd.DataFrame(
        {"image": [str(i % 20) for i in range(40)], "method": ["a"] * 20 + ["b"] * 20}
        | {name: np.random.default_rng(0).normal(size=40) for name in (*QUICK, "area")}
    )
    table = study().summary(rows, 200)
    assert list(table["method"]) == ["a", "b"]
    assert (table["removal_low"] < table["removal"]).all()
    assert (table["removal"] < table["removal_high"]).all()


def test_concepts_rebuild_what_is_mixed_from_few():
    generator = torch.Generator().manual_seed(0)
    atoms = torch.nn.functional.normalize(torch.randn(20, 32, generator=generator), dim=1)
    mixed = torch.rand(2000, 20, generator=generator) * (torch.rand(2000, 20, generator=generator) < 0.1)
    rows = mixed @ atoms + 1e-3 * torch.randn(2000, 32, generator=generator)
    coder = train_coder(rows, steps=200)
    assert coder.explained > 0.7  # .84; with one step below 0
    assert int((coder.concepts(rows) > 0).sum(1).max()) <= ACTIVE


def test_concepts_of_a_layer_give_a_map():
    coder = train_coder(positions(MODULE, [X], "stages.1"), steps=1)
    values = coder(MODULE, X, "stages.1", 3, masks=5, temperature=0.5)
    assert values.shape == (8, 8)
    assert bool(values.isfinite().all())


def test_tokens_that_were_given_outliers_are_told():
    encoder, pictures = registers.made(2)
    x = encoder.prepare(pictures[0])
    layer, norms = registers.widest(encoder.module, x)
    tokens = {}
    with observing(encoder.module, lambda path, _module, _args, _kwargs, output: tokens.update({path: output})):
        encoder.module(x)
    own = tokens["blocks.0"].norm(dim=2)[0, 1:]  # what the block reads that hoards
    assert layer.startswith("blocks.")
    found = norms > registers._OUTLIER * np.median(norms)
    assert sorted(np.flatnonzero(found)) == sorted(own.topk(3, largest=False).indices.tolist())
    image, rows = registers.measured(encoder, pictures[0], 0)
    assert image["outliers"] == 3
    assert [row["method"] for row in rows] == list(registers.METHODS)
    table = registers.summary(pd.DataFrame(rows + registers.measured(encoder, pictures[1], 1)[1]))
    assert (table["removal_low"] <= table["removal"]).all()


def test_a_spot_is_mended_and_its_density_told():
    spot = np.zeros((4, 4), dtype=bool)
    spot[0, 0] = spot[2, 2] = True
    map_ = np.where(spot, 8.0, 1.0)
    map_[0, 1] = 3
    assert registers.density(map_, spot) == pytest.approx((16 / 32) / (2 / 16))
    assert np.isnan(registers.density(-map_, spot))
    assert registers.mended(map_, spot).tolist() == np.where(spot, 1, map_).tolist()


def test_a_network_without_tokens_is_refused():
    with pytest.raises(InputError, match="has no tokens of patches: give --model a vision transformer"):
        registers.widest(MODULE, X)
