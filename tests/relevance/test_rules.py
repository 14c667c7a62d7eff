"""Each rule against its published formula, written with loops over dense float64 matrices."""

import itertools

import numpy as np
import pytest
import torch
from _textbook import Dense, dense_convolution, dense_linear, fractions, normal
from torch import Tensor, nn

from chinspect.relevance import Components, Composite, Graph, Partition, Row, patches, relevance_map, trace
from chinspect.relevance.rules import AlphaBeta, Epsilon, Flat, Gamma, Pass, Rule, WSquare, ZBox, Zero, ZPlus

SHAPE = (2, 5, 4)
ABOUT_ZERO = 1e-6  # the rules' default stabiliser

RULES: dict[str, tuple[type[Rule], str, dict[str, float]]] = {
    "epsilon": (Epsilon, "epsilon", {}),
    "z-plus": (ZPlus, "z_plus", {}),
    "alpha 2, beta 1": (AlphaBeta, "alpha_beta", {"alpha": 2.0}),
    "alpha 1.5, beta 0.5": (AlphaBeta, "alpha_beta", {"alpha": 1.5}),
    "gamma 0.25": (Gamma, "gamma", {"gamma": 0.25}),
    "gamma 2": (Gamma, "gamma", {"gamma": 2.0}),
    "flat": (Flat, "flat", {}),
    "w-square": (WSquare, "w_square", {}),
    "z-box": (ZBox, "z_box", {"low": -3.0, "high": 3.0}),
}
LAYERS: dict[str, dict[str, object]] = {
    "linear": {},
    "conv": {"kernel_size": 3},
    "strided": {"kernel_size": 3, "stride": (2, 1), "padding": 1},
    "dilated": {"kernel_size": 2, "dilation": (3, 2), "padding": (1, 0)},
    "grouped": {"kernel_size": (3, 2), "groups": 2, "padding": 1},
    "depthwise": {"kernel_size": 3, "groups": 2, "stride": 2},
    "pointwise strided": {"kernel_size": 1, "stride": 2},
    "valid": {"kernel_size": 2, "padding": "valid"},
    "without bias": {"kernel_size": 3, "bias": False},
}


class Layer:
    """One layer as a model, and as a matrix."""

    def __init__(self, name: str) -> None:
        torch.manual_seed(3)
        if name == "linear":
            self.module: nn.Module = nn.Sequential(nn.Flatten(), nn.Linear(40, 6)).double()
            self.dense: Dense = dense_linear(self.module[1])
        else:
            convolution = nn.Conv2d(2, 4, **LAYERS[name]).double()  # type: ignore[arg-type]
            self.module = nn.Sequential(convolution, nn.Flatten())
            self.dense = dense_convolution(convolution, SHAPE)
        self.graph: Graph = trace(self.module, torch.zeros(1, *SHAPE).double())


@pytest.fixture(scope="module")
def layers() -> dict[str, Layer]:
    return {name: Layer(name) for name in LAYERS}


def image(sign: str) -> Tensor:
    x = normal((1, *SHAPE), 0)
    return x if sign == "mixed" else x.clamp(min=0)


def single(rule: Rule) -> Composite:
    return Composite("single", (Row(rule),))


def entries() -> Components:
    """Each number of the image is a component."""
    labels = torch.arange(np.prod(SHAPE)).view(SHAPE)
    return Components("entries", lambda _shape: Partition(labels))


def close(ours: Tensor, expected: np.ndarray) -> None:
    np.testing.assert_allclose(ours.numpy(), expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("sign", ["mixed", "non-negative"])
@pytest.mark.parametrize("bias", [True, False], ids=["bias in", "bias out"])
@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("layer", LAYERS)
def test_rule_equals_its_formula(layers: dict[str, Layer], layer: str, name: str, bias: bool, sign: str) -> None:
    kind, formula, options = RULES[name]
    x, dense, graph = image(sign), layers[layer].dense, layers[layer].graph
    expected = fractions(formula, dense, x.flatten().numpy(), bias=bias, epsilon=ABOUT_ZERO, **options)
    mapped = relevance_map(graph, x, single(kind(bias=bias, **options)))
    y, relevance = mapped.output[0].numpy(), normal((1, len(dense.bias)), 1)
    np.testing.assert_allclose(y, dense.weight @ x.flatten().numpy() + dense.bias, rtol=1e-10, atol=1e-12)
    with torch.no_grad():
        close(mapped._programs[0].apply(*by_entry(x))[:, 0], expected * y)
    close(mapped.pull(relevance).flatten(), expected @ relevance[0].numpy())


def by_entry(x: Tensor) -> tuple[Tensor, Tensor]:
    indicators = torch.eye(x.numel(), dtype=x.dtype).view(-1, *x.shape)
    return indicators * x, indicators


@pytest.mark.filterwarnings("ignore::chinspect.relevance.RelevanceWarning")
@pytest.mark.parametrize("name", RULES)
def test_public_push_equals_the_formula(layers: dict[str, Layer], name: str) -> None:
    kind, formula, options = RULES[name]
    x, layer = image("mixed"), layers["strided"]
    expected = fractions(formula, layer.dense, x.flatten().numpy(), bias=True, epsilon=ABOUT_ZERO, **options)
    mapped = relevance_map(layer.graph, x, single(kind(bias=True, **options)))
    table = expected * mapped.output[0].numpy()
    close(mapped.push(entries()), table)
    pixels = table.reshape(*SHAPE, -1)
    rows = [
        pixels[:, top : top + 2, left : left + 2].sum((0, 1, 2)) for top, left in itertools.product((0, 2, 4), (0, 2))
    ]
    close(mapped.push(patches(2)), np.stack(rows))


def test_bounds_may_differ_by_channel(layers: dict[str, Layer]) -> None:
    x, dense = image("mixed"), layers["conv"].dense
    lows, highs = (-3.0, -2.5), (3.5, 4.0)
    by_channel = [
        fractions("z_box", dense, x.flatten().numpy(), bias=False, epsilon=0, low=low, high=high)
        for low, high in zip(lows, highs, strict=True)
    ]
    # the denominators mix the channels, so compare numerators: S[i, j] * z[j] with one z of both channels
    numerators = np.zeros_like(by_channel[0])
    a, per_channel = x.flatten().numpy(), SHAPE[1] * SHAPE[2]
    for j, i in itertools.product(range(len(dense.bias)), range(len(a))):
        w, c = dense.weight[j, i], i // per_channel
        numerators[i, j] = w * a[i] - max(w, 0) * lows[c] - min(w, 0) * highs[c]
    expected = numerators / numerators.sum(0)
    mapped = relevance_map(layers["conv"].graph, x, single(ZBox(low=lows, high=highs, stabiliser=0.0)))
    relevance = normal(tuple(mapped.output.shape), 1)
    close(mapped.pull(relevance).flatten(), expected @ relevance[0].numpy())


@pytest.mark.parametrize("stabiliser", [1e-3, 0.25])
@pytest.mark.parametrize("name", ["epsilon", "z-plus", "alpha 2, beta 1", "gamma 0.25"])
def test_stabiliser_is_added_with_the_denominators_sign(layers: dict[str, Layer], name: str, stabiliser: float) -> None:
    kind, formula, options = RULES[name]
    x, layer = image("mixed"), layers["conv"]
    expected = fractions(formula, layer.dense, x.flatten().numpy(), bias=True, epsilon=stabiliser, **options)
    mapped = relevance_map(layer.graph, x, single(kind(bias=True, stabiliser=stabiliser, **options)))
    relevance = normal(tuple(mapped.output.shape), 1)
    close(mapped.pull(relevance).flatten(), expected @ relevance[0].numpy())


class Between(nn.Module):
    """A layer that keeps the shape, beside and before others: ``last(a + tanh(inner(a)))``, ``a = tanh(first(x))``."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.first, self.inner, self.last = nn.Linear(6, 5), nn.Linear(5, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        a = self.first(x.flatten(1)).tanh()
        return self.last(a + self.inner(a).tanh())


@pytest.mark.parametrize("rule", ["pass", "zero"])
def test_pass_and_zero_in_the_middle_of_a_network(rule: str) -> None:
    model, x, relevance = Between().double(), normal((1, 1, 2, 3), 0), normal((1, 3), 1)
    inner = Pass(stabiliser=0.0) if rule == "pass" else Zero()
    table = Composite("between", (Row(inner, path="inner"), Row(Epsilon(stabiliser=0.0))))
    with torch.no_grad():
        a0 = x.flatten()
        a1 = model.first(a0).tanh()  # through which relevance passes as it is; linear layers alone would be one
        added = model.inner(a1).tanh()
        total = a1 + added
    r = fractions("epsilon", dense_linear(model.last), total.numpy(), bias=True, epsilon=0) @ relevance[0].numpy()
    r_sum = r / total.numpy()
    r = a1.numpy() * r_sum + fractions(rule, dense_linear(model.inner), a1.numpy(), bias=True, epsilon=0) @ (
        added.numpy() * r_sum
    )
    r = fractions("epsilon", dense_linear(model.first), a0.numpy(), bias=True, epsilon=0) @ r
    close(relevance_map(model, x, table).pull(relevance).flatten(), r)


class Sum(nn.Module):
    """``last(left(x) + right(x))``."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.left, self.right, self.last = nn.Linear(6, 5), nn.Linear(6, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        return self.last(self.left(x) + self.right(x))


def test_sum_shares_by_summand() -> None:
    """The norm rule: ``R_left = left / (left + right) * R``."""
    model, x, relevance = Sum().double(), normal((1, 1, 2, 3), 0), normal((1, 3), 1)
    a, options = x.flatten().numpy(), {"bias": True, "epsilon": 0.0}
    left, right = (layer(x.flatten()).detach().numpy() for layer in (model.left, model.right))
    r = fractions("epsilon", dense_linear(model.last), left + right, **options) @ relevance[0].numpy()
    r_left = [r[k] * left[k] / (left[k] + right[k]) for k in range(5)]
    r_right = [r[k] * right[k] / (left[k] + right[k]) for k in range(5)]
    expected = fractions("epsilon", dense_linear(model.left), a, **options) @ r_left
    expected += fractions("epsilon", dense_linear(model.right), a, **options) @ r_right
    mapped = relevance_map(model, x, single(Epsilon(stabiliser=0.0)))
    close(mapped.pull(relevance).flatten(), expected)


@pytest.mark.parametrize("name", RULES)
def test_two_layers_are_the_product_of_their_matrices(name: str) -> None:
    kind, formula, options = RULES[name]
    torch.manual_seed(6)
    model = nn.Sequential(nn.Conv2d(2, 3, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(18, 4)).double()
    x = image("mixed")
    hidden = model[:3](x).detach().flatten().numpy()
    first = fractions(
        formula, dense_convolution(model[0], SHAPE), x.flatten().numpy(), bias=False, epsilon=ABOUT_ZERO, **options
    )
    second = fractions("z_plus", dense_linear(model[3]), hidden, bias=False, epsilon=ABOUT_ZERO)
    table = Composite("two", (Row(kind(bias=False, **options), position="first"), Row(ZPlus())))
    relevance = normal((1, 4), 1)
    close(relevance_map(model, x, table).pull(relevance).flatten(), first @ (second @ relevance[0].numpy()))
