"""What responds to a planted artefact is found, pruned and judged; where nothing responds, nothing is pruned."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t as student
from torch import nn

from chinspect.encoders import Encoder
from chinspect.encoders.edits import Prune, edited
from chinspect.errors import InputError
from chinspect.mitigate import (
    average_over_seeds,
    compare_mitigations,
    concept_direction,
    random_channels,
    rank_edits,
    reliance,
    responsiveness,
    search_pruning,
    top_channels,
)
from chinspect.mitigate.pruning import plateau
from chinspect.mitigate.responsive import activations
from chinspect.readouts import Pairs, Task
from tests.mitigate._planted import CHANNEL, LAYER, SIZE, marked, pictures, planted, task, timm_vit, torch_vit

PLAIN = pictures(12)
MARKED = marked(PLAIN)
PAIRS = Pairs(MARKED, PLAIN)


@pytest.mark.parametrize("rows", ["artefact", "all"])
def test_the_planted_channel_is_found_among_all_layers(rows: str) -> None:
    encoder = planted()
    table = responsiveness(encoder, PAIRS, rows=rows)  # type: ignore[arg-type]
    edits = [top_channels(table, str(layer), 1) for layer in table["layer"].unique()]
    edit = rank_edits(encoder, edits, PAIRS)[0][0]
    assert (edit.layer, edit.channels) == (LAYER, (CHANNEL,))
    assert (edit.rows is None) == (rows == "all")
    control = random_channels(table, edit, seed=0)
    assert control.channels != edit.channels
    (best, repaired), (worse, nothing) = rank_edits(encoder, [control, edit], PAIRS)
    assert (best, worse) == (edit, control)
    assert repaired > 0.8
    assert nothing < 0.1


def test_responses_against_a_loop_over_images() -> None:
    encoder = planted()
    table = responsiveness(encoder, PAIRS, LAYER).set_index("channel")
    first, stop = int(table["first"].iloc[0]), int(table["stop"].iloc[0])
    assert 0 < first < stop == SIZE // 2
    layer = nn.Sequential(*list(encoder.module.children())[:2])
    maps = [torch.cat([layer(encoder.prepare(image)) for image in images]) for images in (MARKED, PLAIN)]
    expected = [abs(float((maps[0] - maps[1])[:, channel, first:stop].mean())) for channel in range(8)]
    np.testing.assert_allclose(table["difference"].sort_index(), expected, atol=1e-6)
    assert table["difference"].is_monotonic_decreasing


@pytest.mark.parametrize(("make", "layer"), [(timm_vit, "blocks.1.attn"), (torch_vit, "blocks.0.attention")])
def test_what_heads_hand_over_adds_up_to_the_attention(make: Callable[[], Encoder], layer: str) -> None:
    encoder, outputs = make(), []
    heads = activations(encoder, PLAIN, {layer: None})[layer]
    attention = encoder.module.get_submodule(layer)
    handle = attention.register_forward_hook(
        lambda _m, _a, out: outputs.append(out[0] if isinstance(out, tuple) else out)
    )
    encoder.embed(PLAIN)
    handle.remove()
    projection = attention.proj if hasattr(attention, "proj") else attention.out_proj
    assert heads.shape == (12, 3, 8)
    joined = projection(torch.from_numpy(heads).flatten(1).float())
    torch.testing.assert_close(joined, outputs[0].mean(1), atol=1e-4, rtol=1e-4)


def test_transformers_give_heads_neurons_and_tokens() -> None:
    table = responsiveness(timm_vit(), PAIRS)
    sizes = table.groupby("layer").size()
    assert (sizes["blocks.0"], sizes["blocks.0.attn"], sizes["blocks.0.mlp.act"]) == (24, 3, 96)
    edits = [top_channels(table, layer, 1) for layer in sizes.index]
    assert all(math.isfinite(repair) for _, repair in rank_edits(timm_vit(), edits, PAIRS))


def test_a_search_prunes_the_planted_channel_and_no_more() -> None:
    calls: list[tuple[int, int]] = []
    result = search_pruning(planted(), task(), PAIRS, progress=lambda done, most: calls.append((done, most)))
    assert result.edit is not None
    assert result.control is not None
    assert (result.edit.layer, result.edit.channels, result.k) == (LAYER, (CHANNEL,), 1)
    assert result.p_value < 0.01
    curve = result.curve.set_index(["channels", "k"])["shifted"]
    assert curve["none", 0] < 0.7
    assert curve["responsive", 1] > 0.9
    assert curve["random", 1] < 0.7
    assert calls[-1][0] <= calls[-1][1]


def test_where_the_artefact_does_nothing_nothing_is_pruned() -> None:
    result = search_pruning(planted(wired=False), task(), PAIRS, layers=LAYER)
    assert (result.k, result.edit, result.control) == (0, None, None)
    planned = task(12)
    unchanged = replace(planned, test=dict.fromkeys(("original", "shifted"), planned.test["original"]))
    assert search_pruning(planted(), unchanged, PAIRS, layers=LAYER).edit is None


def test_a_number_that_is_asked_for_is_pruned_in_any_case() -> None:
    result = search_pruning(planted(wired=False), task(), PAIRS, layers=LAYER, k=2)
    assert result.edit is not None
    assert (result.k, len(result.edit.channels)) == (2, 2)
    assert result.p_value > 0.05


class Guesses(Task):
    """Eight in ten shifted images are told right, whatever is pruned, drawn anew each time."""

    rng = np.random.default_rng(0)

    def predict(self, _encoder: Encoder, **_options: object) -> pd.DataFrame:
        n = len(self.test_labels)
        tables = []
        for readout in self.readouts:
            for state, rate in (("original", 1.0), ("shifted", 0.8)):
                columns = {"label": 1, "predicted": (self.rng.random(n) < rate).astype(int)}
                tables.append(pd.DataFrame({"readout": readout, "state": state} | columns))
        return pd.concat(tables, ignore_index=True)


@pytest.mark.parametrize(("level", "few"), [(0.05, True), (1.0, False)])
def test_the_best_of_many_tries_by_chance_is_rarely_believed(level: float, few: bool) -> None:
    """Of 60 searches where nothing helps, at the level of the search, 0.05, three prune something at most on average.

    More than 9 do with a probability below 0.0008 (binomial). The plateau rule alone, at level 1, would prune in 36 %
    of them: 9 or fewer have a probability below 0.0004.
    """
    guesses = Guesses(**vars(task(40)))
    encoder = planted(wired=False)
    few_pairs = Pairs(MARKED[:2], PLAIN[:2])
    believed = sum(search_pruning(encoder, guesses, few_pairs, layers=LAYER, level=level).k > 0 for _ in range(60))
    assert (believed <= 9) == few


def test_averages_take_the_same_remedies_of_each_seed() -> None:
    columns = dict.fromkeys(["original", "shifted", "drop", "worst_group", "relevance_share", "similarity_shift"], 0.5)
    some = [pd.DataFrame([{"mitigation": name, "readout": "a"} | columns for name in ("none", "x")]) for _ in range(2)]
    assert average_over_seeds(some)["seeds"].tolist() == [2, 2]
    with pytest.raises(InputError, match="same remedies and readouts, one a seed"):
        average_over_seeds([some[0], some[1].iloc[:1]])


@settings(deadline=None)
@given(st.lists(st.integers(0, 50), min_size=1, max_size=8), st.data())
def test_the_plateau_is_the_first_within_one_error_of_the_best(counts: list[int], data: st.DataObject) -> None:
    values = [count / 50 for count in counts]
    allowed = data.draw(st.lists(st.booleans(), min_size=len(values), max_size=len(values)).filter(any))
    selected = plateau(values, 50, allowed)
    best = max(value for value, good in zip(values, allowed, strict=True) if good)
    rate = (50 * best + 1) / 52
    near = [
        good and value >= best - math.sqrt(rate * (1 - rate) / 50) for value, good in zip(values, allowed, strict=True)
    ]
    assert near[selected]
    assert not any(near[:selected])


def test_the_plateau_by_hand() -> None:
    assert plateau([0.80, 0.90, 0.955, 0.96, 0.97], 200, [True] * 5) == 3
    assert plateau([0.965, 0.97, 0.97], 400, [True] * 3) == 0
    assert plateau([0.80, 0.97, 0.90], 400, [True, False, True]) == 2
    assert plateau([0.97, 1.0], 20, [True] * 2) == 0
    assert plateau([0.90, 1.0], 20, [True] * 2) == 1
    with pytest.raises(InputError, match="no admissible"):
        plateau([0.5], 10, [False])


def test_the_planted_direction_is_projected_out() -> None:
    encoder = planted()
    edit = concept_direction(encoder, LAYER, PAIRS)
    values = [activations(encoder, images, {LAYER: None})[LAYER][:, :, 0] for images in (MARKED, PLAIN)]
    along = [result @ edit.direction.double().numpy() for result in values]
    assert along[0].min() > along[1].max()
    assert edit.level == pytest.approx(along[1].mean(), abs=1e-5)
    difference = values[0].mean(0) - values[1].mean(0)
    np.testing.assert_allclose(edit.direction, difference / np.linalg.norm(difference), atol=1e-6)
    assert int(edit.direction.abs().argmax()) == CHANNEL
    assert rank_edits(encoder, [edit], PAIRS)[0][1] > 0.5


def test_reliance_falls_where_the_channel_is_pruned() -> None:
    before = reliance(planted(), PAIRS)
    after = reliance(edited(planted(), Prune(LAYER, (CHANNEL,))), PAIRS)
    assert before.area == after.area < 0.15
    assert before.relevance_share > after.relevance_share + 0.2
    assert abs(after.similarity_shift) < abs(before.similarity_shift)


def test_one_table_for_all_remedies() -> None:
    encoder = planted()
    remedies = {"none": encoder, "pruned": edited(encoder, Prune(LAYER, (CHANNEL,)))}
    table = compare_mitigations(remedies, task(), PAIRS, control="pruned")
    assert table[["mitigation", "readout"]].to_numpy().tolist() == [
        [name, readout] for name in ("none", "pruned") for readout in ("logistic", "svm")
    ]
    none, pruned = (table[table["mitigation"] == name].iloc[0] for name in ("none", "pruned"))
    assert none["cost"] == none["recovered"] == 0
    assert pruned["recovered"] == pytest.approx(1 - pruned["drop"] / none["drop"])
    assert pruned["recovered"] > 0.5
    assert pruned["worst_group"] > none["worst_group"]
    assert pruned["worst_group_n"] == 30
    assert pruned["gain"] == pytest.approx(pruned["shifted"] - none["shifted"])
    assert 0 < pruned["gain_low"] < pruned["gain"] < pruned["gain_high"]
    assert (none["margin"], pruned["margin"]) == (pytest.approx(-pruned["gain"]), 0)
    assert (table["original_low"] <= table["original"]).all()
    assert (table["original"] <= table["original_high"] + 1e-12).all()


def test_averages_carry_t_intervals() -> None:
    rng = np.random.default_rng(0)
    columns = ["original", "shifted", "drop", "worst_group", "relevance_share", "similarity_shift"]
    tables = [
        pd.DataFrame(
            [
                {"mitigation": name, "readout": "a"} | dict(zip(columns, rng.random(6), strict=True))
                for name in ("none", "x")
            ]
        )
        for _ in range(4)
    ]
    table = average_over_seeds(tables).set_index("mitigation")
    values = np.array([frame["shifted"][1] for frame in tables])
    low, high = student.interval(0.95, 3, values.mean(), values.std(ddof=1) / 2)
    assert table.loc["x", ["shifted", "shifted_low", "shifted_high"]].tolist() == pytest.approx(
        [values.mean(), low, high]
    )
    drops = [sum(frame["drop"][row] for frame in tables) for row in (0, 1)]
    assert table.loc["x", "recovered"] == pytest.approx(1 - drops[1] / drops[0])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Pairs(MARKED[:3], PLAIN), "not 3 and 12"),
        (lambda: responsiveness(planted(), Pairs(PLAIN, PLAIN)), "are the same"),
        (lambda: responsiveness(planted(), PAIRS, ["nowhere"], rows="all"), "no layer 'nowhere'"),
        (lambda: rank_edits(planted(), [Prune(LAYER, (0,))], Pairs(PLAIN, PLAIN)), "changes no embedding"),
        (lambda: top_channels(responsiveness(planted(), PAIRS, LAYER), LAYER, 0), "choose k from 1 to 8"),
        (lambda: search_pruning(planted(), task(4), PAIRS, layers=LAYER, k=5), "half of the channels"),
        (lambda: concept_direction(planted(), "nowhere", PAIRS), "no layer 'nowhere'"),
        (lambda: concept_direction(timm_vit(), "blocks.0.attn", PAIRS), "an attention module"),
        (lambda: concept_direction(planted(), LAYER, Pairs(PLAIN, PLAIN)), "does not respond"),
        (lambda: reliance(planted(), Pairs(PLAIN, PLAIN)), "are the same"),
        (lambda: Pairs(PLAIN[:1], PLAIN[:1]), "two at least"),
    ],
)
def test_what_cannot_be_asked(call: Callable[[], object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        call()
