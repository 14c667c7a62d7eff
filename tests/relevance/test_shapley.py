"""Shapley maps: exact where all sets are answered, calibrated where they are drawn, and of any function of images."""

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from chinspect.errors import InputError
from chinspect.relevance import (
    ShapleyMap,
    channels,
    frequency_bands,
    pair_errors,
    patches,
    reference_images,
    segments,
    shapley_map,
)

PATCHES = patches(4)
"""Four of an image of 8 pixels."""
DOZEN = segments(torch.arange(64).view(8, 8) % 12)
"""Twelve, all sets of which are 4,096."""


def network(outputs: int = 3, seed: int = 0) -> nn.Module:
    """A small network that is far from linear."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 24), nn.ReLU(), nn.Linear(24, outputs), nn.Tanh())
    return model.requires_grad_(False)


def image(seed: int = 0) -> Tensor:
    return torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(seed))


def values_of(game: Callable[[frozenset[int]], Tensor], count: int) -> Tensor:
    """The definition: the mean marginal contribution over all orders, by sets."""
    values = []
    for player in range(count):
        total = torch.zeros_like(game(frozenset()))
        for size in range(count):
            weight = math.factorial(size) * math.factorial(count - size - 1) / math.factorial(count)
            for others in itertools.combinations([i for i in range(count) if i != player], size):
                members = frozenset(others)
                total = total + weight * (game(members | {player}) - game(members))
        values.append(total)
    return torch.stack(values)


def game_of(model: nn.Module, x: Tensor, labels: Tensor, x0: Tensor) -> Callable[[frozenset[int]], Tensor]:
    def game(members: frozenset[int]) -> Tensor:
        shown = torch.isin(labels, torch.tensor(sorted(members), dtype=torch.long))
        return model(torch.where(shown, x, x0))[0].double()

    return game


@pytest.mark.parametrize("reference", ["blur", "mean", "grey"])
def test_few_components_are_enumerated_and_exact(reference):
    x = image()
    model = network()
    mapped = shapley_map(model, x, PATCHES, reference)
    expected = values_of(game_of(model, x, PATCHES.on(x.shape).labels, reference_images(reference, x)[0]), 4)
    assert mapped.evaluations == 2**4
    torch.testing.assert_close(mapped.values, expected.float(), rtol=1e-4, atol=1e-6)
    assert not mapped.standard_errors(torch.eye(3)).any()


def test_the_pair_map_is_that_of_the_game_of_both_images():
    # v(S, T) = <y_a(S) - y_a0, y_b(T) - y_b0>, its Shapley values in S of those in T
    a, b = image(1), image(2)
    model = network()
    labels = PATCHES.on(a.shape).labels
    games = [game_of(model, x, labels, reference_images("mean", x)[0]) for x in (a, b)]
    empty: frozenset[int] = frozenset()

    def rows(members: frozenset[int]) -> Tensor:
        left = games[0](members) - games[0](empty)
        return values_of(lambda others: left @ (games[1](others) - games[1](empty)), 4)

    first, second = (shapley_map(model, x, PATCHES, "mean") for x in (a, b))
    expected = values_of(rows, 4).float()
    torch.testing.assert_close(first.values @ second.values.T, expected, rtol=1e-4, atol=1e-6)


@given(seed=st.integers(0, 1000), side=st.sampled_from([1, 2, 4]), evaluations=st.integers(1100, 1400))
@settings(max_examples=10, deadline=None)
def test_values_sum_to_what_the_image_has_over_its_reference(seed, side, evaluations):
    x = image(seed)
    model = network(seed=seed)
    mapped = shapley_map(model, x, patches(side), "mean", evaluations=evaluations, random_state=seed)
    x0 = reference_images("mean", x)[0]
    torch.testing.assert_close(mapped.output, model(x)[0])
    torch.testing.assert_close(mapped.baseline, model(x0)[0])
    torch.testing.assert_close(mapped.values.sum(0), mapped.output - mapped.baseline, rtol=1e-5, atol=1e-5)
    assert mapped.evaluations <= evaluations


def additive(count: int) -> tuple[nn.Module, Tensor]:
    """A linear network over ``count`` patches of two pixels, and its weights."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 5)).requires_grad_(False)
    return model, model[1].weight


def test_an_additive_game_is_exact_however_few_sets_are_drawn():
    model, weight = additive(16)
    x = image()
    mapped = shapley_map(model, x, patches(2), "grey", evaluations=66)
    contributions = (weight.view(5, 3, 8, 8) * x).permute(1, 0, 2, 3)
    expected = patches(2).on(x.shape).sums(contributions.permute(1, 0, 2, 3)).T
    torch.testing.assert_close(mapped.values, expected, rtol=1e-4, atol=1e-5)
    assert mapped.standard_errors(torch.eye(5)).max() < 1e-5


def test_twins_are_equal_and_dummies_have_nothing():
    # components 0 and 1 enter by their sum alone, component 2 not at all
    labels = torch.arange(64).view(8, 8) % 5

    def respond(images: Tensor) -> Tensor:
        totals = torch.stack([(images[:, 0] * (labels == i)).sum((1, 2)) for i in range(5)], 1)
        return torch.stack([(totals[:, 0] + totals[:, 1]).square() * totals[:, 3], totals[:, 4].tanh()], 1)

    mapped = shapley_map(respond, torch.ones(1, 3, 8, 8), segments(labels), "grey")
    assert mapped.evaluations == 32
    twin = mapped.values[0]
    # 13 pixels of component 0 and 13 of component 1
    torch.testing.assert_close(twin, mapped.values[1], rtol=1e-4, atol=1e-4)
    assert twin[0] > 1
    assert mapped.values[2].abs().max() < 1e-3 * float(mapped.values.abs().max())


def test_standard_errors_are_those_of_repetitions():
    model = network(4)
    x = image(3)
    exact = shapley_map(model, x, DOZEN, "mean", evaluations=2**12)
    maps = [shapley_map(model, x, DOZEN, "mean", random_state=seed) for seed in range(60)]
    directions = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    deviations = torch.stack([(mapped.values - exact.values) @ directions for mapped in maps])
    errors = torch.stack([mapped.standard_errors(directions) for mapped in maps])
    ratio = float(deviations.square().mean().sqrt() / errors.square().mean().sqrt())
    # 60 repetitions of 36 values know the ratio to .03; balanced sets do a little better than independent ones
    assert 0.8 < ratio < 1.15


def test_standard_errors_of_pairs_are_those_of_repetitions():
    model = network(16)
    images = [image(4), image(5)]
    exact = [shapley_map(model, x, DOZEN, "mean", evaluations=2**12).values for x in images]
    deviations = []
    errors = []
    for seed in range(40):
        a, b = (shapley_map(model, x, DOZEN, "mean", random_state=seed) for x in images)
        deviations.append(a.values @ b.values.T - exact[0] @ exact[1].T)
        errors.append(pair_errors(a, b))
    ratio = float(torch.stack(deviations).square().mean().sqrt() / torch.stack(errors).square().mean().sqrt())
    assert 0.7 < ratio < 1.15


def test_estimates_come_closer_with_evaluations():
    model = network()
    x = image(6)
    exact = shapley_map(model, x, DOZEN, "mean", evaluations=2**12).values

    def error(evaluations: int) -> float:
        maps = [shapley_map(model, x, DOZEN, "mean", evaluations=evaluations, random_state=s) for s in range(8)]
        return float(torch.stack([(mapped.values - exact).square().mean() for mapped in maps]).mean())

    # the variance falls with 1 / n: by 8, and a factor of 2 for chance
    assert error(800) < error(100) / 4


def test_the_same_state_gives_the_same_map_and_another_image_other_sets():
    model = network()
    x = image()
    first, second = (shapley_map(model, x, patches(2), random_state=1) for _ in range(2))
    torch.testing.assert_close(first.values, second.values, rtol=0, atol=0)
    other = shapley_map(model, image(1), patches(2), random_state=1)
    assert not torch.equal(first.weights, other.weights)


def test_several_references_give_the_mean_of_their_maps():
    model = network()
    x = image()
    references = torch.cat([image(8), image(9)])
    both = shapley_map(model, x, PATCHES, references)
    single = [shapley_map(model, x, PATCHES, reference[None]) for reference in references]
    torch.testing.assert_close(both.values, (single[0].values + single[1].values) / 2)
    torch.testing.assert_close(both.baseline, (single[0].baseline + single[1].baseline) / 2)
    assert both.evaluations == 2 * 2**4


def test_channels_are_components_too():
    x = image()
    mapped = shapley_map(network(), x, channels(), "grey")
    expected = values_of(game_of(network(), x, torch.arange(3).view(3, 1, 1).expand(3, 8, 8), torch.zeros_like(x)), 3)
    torch.testing.assert_close(mapped.values, expected.float(), rtol=1e-4, atol=1e-6)


def test_one_component_carries_all():
    mapped = shapley_map(network(), image(), patches(8))
    torch.testing.assert_close(mapped.values[0], mapped.output - mapped.baseline)
    assert mapped.evaluations == 2


def test_masked_images_come_in_batches():
    sizes = []

    def respond(images: Tensor) -> Tensor:
        sizes.append(len(images))
        return images.mean((2, 3))

    mapped = shapley_map(respond, image(), patches(2), batch=50)
    assert max(sizes) == 50
    assert sum(sizes) == mapped.evaluations == 8 * 16 + 2


def test_an_onnx_session_is_a_black_box_like_any_other(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    model = network()
    path = tmp_path / "model.onnx"
    export_linear(model, path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def respond(images: Tensor) -> Tensor:
        return torch.from_numpy(session.run(None, {"x": images.numpy()})[0])

    x = image()
    torch.testing.assert_close(
        shapley_map(respond, x, patches(2)).values, shapley_map(model, x, patches(2)).values, rtol=1e-4, atol=1e-5
    )


def export_linear(model: nn.Module, path) -> None:
    """The network of `network` as a file of ONNX, written by hand: the exporter takes seconds."""
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    first, second = model[1], model[3]
    tensors = {"w1": first.weight, "b1": first.bias, "w2": second.weight, "b2": second.bias}
    nodes = [
        helper.make_node("Flatten", ["x"], ["f"]),
        helper.make_node("Gemm", ["f", "w1", "b1"], ["h"], transB=1),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Gemm", ["r", "w2", "b2"], ["g"], transB=1),
        helper.make_node("Tanh", ["g"], ["y"]),
    ]
    float32 = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("x", float32, ["n", 3, 8, 8])],
        [helper.make_tensor_value_info("y", float32, ["n", 3])],
        [onnx.numpy_helper.from_array(tensor.numpy(), name) for name, tensor in tensors.items()],
    )
    # the newest versions may be ahead of the runtime
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"x": torch.zeros(2, 3, 8, 8)}, "one finite image"),
        ({"x": torch.full((1, 3, 8, 8), torch.nan)}, "one finite image"),
        ({"components": frequency_bands(3)}, "overlap"),
        ({"evaluations": 65}, "65 evaluations are too few for 16 components"),
        ({"respond": lambda images: images.mean((1, 2, 3))}, r"outputs \(n, D\)"),
        ({"respond": lambda images: images.mean((2, 3)) / 0}, "not finite"),
        ({"reference": "noise"}, "unknown reference"),
    ],
)
def test_refusals(changes, reason):
    settings = {"respond": network(), "x": image(), "components": patches(2)} | changes
    with pytest.raises(InputError, match=reason):
        shapley_map(**settings)


def test_a_result_holds_what_it_says():
    mapped = shapley_map(network(), image(), patches(2))
    assert isinstance(mapped, ShapleyMap)
    assert mapped.values.shape == (16, 3)
    assert mapped.standard_errors(torch.eye(3)).shape == (16, 3)
    assert pair_errors(mapped, mapped).shape == (16, 16)
    assert np.isfinite(pair_errors(mapped, mapped).numpy()).all()
