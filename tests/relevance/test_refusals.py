"""What the engine cannot do it says in one sentence; what it did badly it warns about, with the numbers."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from _networks import image, torchvision_network
from torch import Tensor, nn
from torch.nn.attention.flex_attention import flex_attention

from chinspect.errors import InputError
from chinspect.relevance import (
    COMPOSITES,
    HANDLERS,
    Composite,
    Graph,
    Push,
    RelevanceWarning,
    Row,
    Site,
    composite,
    handles,
    patches,
    relevance_map,
    trace,
)
from chinspect.relevance.rules import Epsilon, Flat, Pass, Rule, WSquare, ZBox, Zero, ZPlus

LRP_0 = Composite("lrp-0", (Row(Epsilon(stabiliser=0.0)),))


class Cumulated(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.cumsum(2)


class Nested(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 4, 3)
        self.body = nn.Sequential(nn.ReLU(), nn.Sequential(Cumulated(), nn.Flatten()))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(self.stem(x))


@pytest.fixture
def registry() -> Iterator[None]:
    before = dict(HANDLERS)
    yield
    HANDLERS.clear()
    HANDLERS.update(before)


def test_operation_without_rule_is_named_with_its_module_and_the_way_out() -> None:
    with pytest.raises(InputError) as error:
        relevance_map(Nested(), image(1, 3, 6, 6))
    assert "aten.cumsum.default" in str(error.value)
    assert "'body.1.0' (Cumulated)" in str(error.value)
    assert "chinspect.relevance.handles" in str(error.value)


class Behind(nn.Module):
    """A convolution, and a function behind it."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 4, 3)
        self.last = Called(function)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.stem(x))


class Called(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def refusal(model: nn.Module, composite: str = "epsilon_plus_flat") -> str:
    with pytest.raises(InputError) as error:
        relevance_map(model, image(1, 3, 8, 8), composite)
    message = str(error.value)
    assert "\n" not in message
    return message


def test_all_operations_without_rule_are_listed_at_once() -> None:
    message = refusal(Behind(lambda a: (a.cumsum(2).cumprod(3) + a.cumsum(1)).flatten(1)))
    assert "aten.cumsum.default in module 'last' (Called)" in message
    assert "aten.cumprod.default" in message
    assert message.count("aten.cumsum") == 1
    assert "method 'shapley'" in message


@pytest.mark.parametrize(
    "function",
    [
        lambda a: F.dropout(a, 0.5).flatten(1),
        lambda a: F.scaled_dot_product_attention(a, a, a, dropout_p=0.3).flatten(1),
        lambda a: (a + torch.rand_like(a)).flatten(1),
    ],
    ids=["dropout", "attention", "noise"],
)
def test_random_numbers_in_evaluation_are_refused_by_the_module(function: Callable[[Tensor], Tensor]) -> None:
    state = torch.get_rng_state()
    message = refusal(Behind(function))
    assert "'last' (Called) draws random numbers in evaluation" in message
    assert torch.equal(torch.get_rng_state(), state)


def test_random_numbers_from_elsewhere_are_refused() -> None:
    generator = np.random.default_rng(0)
    message = refusal(Behind(lambda a: (a * float(generator.uniform(0.5, 2))).flatten(1)))
    assert "Behind answers the same image differently" in message


def test_what_is_not_a_number_is_refused_by_the_module_where_it_begins() -> None:
    model = Nested()
    model.body = nn.Sequential(nn.ReLU(), nn.Sequential(nn.Conv2d(4, 4, 1), nn.Flatten()))
    model.body[1][0].weight.data[0, 0] = float("nan")
    message = refusal(model)
    assert "not finite: NaN begins in module 'body.1.0' (Conv2d" in message


def branch(a: Tensor) -> Tensor:
    return torch.cond(a.sum() > 0, lambda t: t.relu(), lambda t: -t, (a,)).flatten(1)


def flexible(a: Tensor) -> Tensor:
    tokens = a.flatten(2).mT[:, None]
    return flex_attention(tokens, tokens, tokens).flatten(1)


def test_operations_that_hold_others_are_refused() -> None:
    assert "module 'last' (Called) calls torch's cond" in refusal(Behind(branch))
    assert "module 'last' (Called) calls torch's flex_attention" in refusal(Behind(flexible))


@pytest.mark.filterwarnings("ignore")  # torch's own, of what it would rather be used
def test_torchscript_and_quantised_models_are_refused() -> None:
    frozen = torch.jit.freeze(torch.jit.script(small().eval()))
    assert "is TorchScript" in refusal(frozen)
    quantised = torch.ao.quantization.quantize_dynamic(small().eval())
    assert "module '4' (Linear) is quantised" in refusal(quantised)


@pytest.mark.parametrize("head", [nn.Sigmoid(), nn.Softmax(1)], ids=lambda head: type(head).__name__)
def test_a_head_that_stops_relevance_is_named(head: nn.Module) -> None:
    message = refusal(nn.Sequential(small(), head))
    assert f"stops it is {type(head).__name__.lower()} in module '1' ({type(head).__name__})" in message


@pytest.mark.usefixtures("registry")
def test_registering_a_handler_is_enough() -> None:
    @handles("cumsum")
    def _cumsum(site: Site) -> Push:
        dim = site.argument(1)
        return Push(site.carried, lambda t: t.cumsum(dim + 1), fresh=True)

    model, x = Nested().double(), image(1, 3, 6, 6, dtype=torch.float64)
    mapped = relevance_map(model, x, LRP_0)
    jacobian = torch.autograd.functional.jacobian(lambda t: model(t)[0], x)[:, 0]
    expected = (jacobian * x).unflatten(2, (2, 3)).unflatten(4, (2, 3)).sum((1, 3, 5)).flatten(1).T
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RelevanceWarning)
        torch.testing.assert_close(mapped.push(patches(3)), expected)


@pytest.mark.parametrize("rule", [Flat(), WSquare(), ZBox()], ids=lambda rule: type(rule).__name__)
def test_rules_on_pixels_belong_to_the_first_layer(rule: Rule) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Flatten())
    with pytest.raises(InputError, match=f"{type(rule).__name__}.*'2'.*position='first'"):
        relevance_map(model, image(1, 3, 8, 8), Composite("everywhere", (Row(rule),)))


def small() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))


@pytest.mark.parametrize(
    "x",
    [
        image(1, 3, 8, 8)[0],
        image(1, 3, 8, 8)[None],
        torch.zeros(1, 3, 8, 8, dtype=torch.uint8),
        image(1, 3, 8, 8).fill_(float("nan")),
        image(1, 3, 8, 8).index_fill(3, torch.tensor(2), float("inf")),
    ],
    ids=["no batch", "five dimensions", "integers", "nan", "inf"],
)
def test_input_must_be_finite_images(x: Tensor) -> None:
    with pytest.raises(InputError, match="finite images"):
        relevance_map(small(), x)


def test_input_that_the_model_does_not_take_is_refused() -> None:
    with pytest.raises(InputError, match=r"Sequential at input shape \(1, 4, 8, 8\)"):
        relevance_map(small(), image(1, 4, 8, 8))


def test_graph_fits_one_shape() -> None:
    graph: Graph = trace(small(), image(1, 3, 8, 8))
    with pytest.raises(InputError, match=r"\(1, 3, 8, 8\).*\(1, 3, 8, 9\)"):
        relevance_map(graph, image(1, 3, 8, 9))


@pytest.mark.parametrize("shape", [(5,), (1, 4), (2, 5), (1, 5, 1)])
def test_relevance_must_be_shaped_like_the_output(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"\(1, 5\)"):
        relevance_map(small(), image(1, 3, 8, 8)).pull(torch.ones(shape))


def test_embeddings_must_be_vectors() -> None:
    with pytest.raises(InputError, match=r"\(N, D\), not \(1, 4, 6, 6\)"):
        relevance_map(small()[:1], image(1, 3, 8, 8))


def test_unknown_composite_is_answered_with_the_known_ones() -> None:
    with pytest.raises(InputError, match="'epsilon_plus_round'") as error:
        relevance_map(small(), image(1, 3, 8, 8), "epsilon_plus_round")
    assert all(name in str(error.value) for name in COMPOSITES)


def test_composite_must_have_a_row_for_each_layer() -> None:
    table = Composite("convolutions", (Row(ZPlus(), operation="conv*"),))
    with pytest.raises(InputError, match="'convolutions' has no row for the linear layer at '4'"):
        relevance_map(small(), image(1, 3, 8, 8), table)


def test_composite_that_lets_nothing_pass_is_refused() -> None:
    with pytest.raises(InputError, match="lets no relevance pass"):
        relevance_map(small(), image(1, 3, 8, 8), Composite("closed", (Row(Zero()),)))


def test_rows_match_by_operation_path_and_position() -> None:
    rules = [Flat(), Zero(), Pass(), ZPlus(), Epsilon()]
    first, shortcut, path, conv, rest = rules
    table = Composite(
        "table",
        (
            Row(first, "conv*", position="first"),
            Row(shortcut, "conv.strided"),
            Row(path, path="layer2.*"),
            Row(conv, "conv*"),
            Row(rest),
        ),
    )
    assert table.rule("conv", "stem", True) is first
    assert table.rule("conv.strided", "layer2.0.down", False) is shortcut
    assert table.rule("linear", "layer2.fc", False) is path
    assert table.rule("conv", "layer3.0", False) is conv
    assert table.rule("linear", "head", True) is rest


def test_strided_shortcuts_get_no_relevance_from_the_authors_map() -> None:
    """All of what enters is the shortcut's: nothing arrives."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 1, stride=2), nn.Flatten())
    with pytest.raises(InputError, match="kauffmann2025"):
        relevance_map(model, image(1, 3, 8, 8), "kauffmann2025")
    model[2] = nn.Conv2d(4, 4, 1)
    assert relevance_map(model, image(1, 3, 8, 8), "kauffmann2025").output.shape == (1, 144)


def message_of(model: nn.Module | Graph, x: Tensor, table: Composite) -> str:
    with pytest.warns(RelevanceWarning) as caught:
        relevance_map(model, x, table).push(patches(16))
    return str(caught[0].message)


def test_explosion_is_announced() -> None:
    """Pure epsilon rules on a residual network: parts of enormous size and opposite sign."""
    message = message_of(torchvision_network("resnet18", 32), image(1, 3, 32, 32), composite("epsilon", bias=False))
    assert "explodes under 'epsilon'" in message
    assert float(message.split("absolute values to ")[1].split()[0]) > 1e3


def test_overflow_is_announced(resnet50_graph: Graph) -> None:
    assert "explodes" in message_of(resnet50_graph, image(1, 3, 64, 64), composite("epsilon", bias=False))


def test_what_biases_absorb_is_the_constant_and_no_warning() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 256, 4))
    with torch.no_grad():
        model[1].bias.fill_(100)
    mapped = relevance_map(model, image(1, 3, 16, 16), composite("epsilon"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        total = mapped.push(patches(4)).sum(0)
    torch.testing.assert_close(mapped.constant, torch.full((1, 4), 100.0), rtol=1e-3, atol=0)
    torch.testing.assert_close(total + mapped.constant[0], mapped.output[0])


def test_healthy_maps_are_silent(resnet50_graph: Graph) -> None:
    mapped = relevance_map(resnet50_graph, image(1, 3, 64, 64))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mapped.push(patches(16))
