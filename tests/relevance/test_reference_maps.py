"""Reference maps: components of ``x - x0`` sum to ``y(x) - y(x0)``, exactly, and follow the rescale rule."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from _networks import calibrated, clip_vit, dinov2, image, torchvision_network
from _textbook import dense_linear, normal
from torch import Tensor, nn

from chinspect.errors import InputError
from chinspect.relevance import Graph, RelevanceMap, channels, patches, reference_images, relevance_map, trace

pytestmark = pytest.mark.filterwarnings("error::chinspect.relevance.RelevanceWarning")

Function = Callable[[Tensor], Tensor]
FIRST = normal((4, 2, 3, 3), 7)
VECTOR = normal((4,), 11)
MATRIX = normal((4, 4), 12)
POSITIONS = normal((4, 42), 13)


class Net(nn.Module):
    """A convolution, and what is tested behind it."""

    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(F.conv2d(x, FIRST, VECTOR, padding=1)).flatten(1)


def attention(a: Tensor) -> Tensor:
    tokens = a.flatten(2).transpose(1, 2)
    q, k, v = (t.unflatten(-1, (2, 2)).transpose(1, 2) for t in (tokens, tokens @ MATRIX, tokens.sin()))
    return F.scaled_dot_product_attention(q, k, v)


def grouped_queries(a: Tensor) -> Tensor:
    tokens = a.flatten(2).transpose(1, 2)[:, None]
    return F.scaled_dot_product_attention(torch.cat([tokens, 2 * tokens], 1), tokens, tokens.sin(), enable_gqa=True)


def causal(a: Tensor) -> Tensor:
    tokens = a.flatten(2).transpose(1, 2)[:, None]
    return F.scaled_dot_product_attention(tokens, tokens, tokens, is_causal=True, scale=0.3)


def relative_positions(a: Tensor) -> Tensor:
    """The mask depends on the query, as in SAM and MViTv2."""
    q = a.flatten(2).transpose(1, 2)[:, None]
    return F.scaled_dot_product_attention(q, q.cos(), q.sin(), attn_mask=q @ POSITIONS)


OPERATIONS: dict[str, Function] = {
    "attention by relative positions": relative_positions,
    "relu": F.relu,
    "hardtanh": F.hardtanh,
    "gelu": F.gelu,
    "gelu tanh": lambda a: F.gelu(a, approximate="tanh"),
    "silu": F.silu,
    "hardswish": F.hardswish,
    "mish": F.mish,
    "elu": F.elu,
    "leaky relu": F.leaky_relu,
    "sigmoid gate": lambda a: a * a.mean((2, 3), keepdim=True).sigmoid(),
    "square": lambda a: a * a,
    "power": lambda a: (a.abs() + 1).pow(1.7),
    "quotient": lambda a: a / (1 + a.square().sum(1, keepdim=True)),
    "constant over it": lambda a: 2 / (1 + a.square()),
    "l2 norm": lambda a: F.normalize(a, dim=1),
    "vector norm": lambda a: a.flatten(1).norm(dim=1, keepdim=True),
    "layer norm": lambda a: F.layer_norm(a.permute(0, 2, 3, 1), (4,), VECTOR, VECTOR, 1e-3),
    "group norm": lambda a: F.group_norm(a, 2, VECTOR, VECTOR, 1e-3),
    "variance": lambda a: a.var(1),
    "softmax": lambda a: (3 * a).softmax(1),
    "log softmax": lambda a: (3 * a).log_softmax(1),
    "attention": attention,
    "causal attention": causal,
    "product of two": lambda a: a.flatten(2) @ a.flatten(2).transpose(1, 2).tanh(),
    "max pool": lambda a: F.max_pool2d(a, 3, 2, 1),
    "max pool ceil": lambda a: F.max_pool2d(a, 2, 2, ceil_mode=True),
    "max pool dilated": lambda a: F.max_pool2d(a, 2, 1, dilation=2),
    "largest": lambda a: a.amax((2, 3)),
    "largest along": lambda a: a.max(1).values,
    "maximum": lambda a: torch.maximum(a, a.flip(1)),
    "minimum": lambda a: torch.minimum(a, a.flip(2) + 0.1),
    "smallest": lambda a: a.amin((1, 2)),
    "smallest along": lambda a: a.min(2).values,
    "adaptive max pool": lambda a: F.adaptive_max_pool2d(a, (4, 5)),
    "max pool with indices": lambda a: F.max_pool2d(a, 3, 2, return_indices=True)[0],
    "transposed convolution": lambda a: F.conv_transpose2d(a, FIRST, VECTOR[:2], stride=2),
    "instance norm": lambda a: F.instance_norm(a, weight=VECTOR, eps=1e-3),
    "standard deviation": lambda a: a.std(1),
    "variance and mean": lambda a: torch.cat(torch.var_mean(a, 1), 1),
    "prelu": lambda a: F.prelu(a, VECTOR),
    "hardswish by hand": lambda a: a * F.relu6(a + 3) / 6,
    "glu": lambda a: F.glu(a, 1),
    "clamped above": lambda a: a.clamp(max=0.3),
    "grouped queries": grouped_queries,
    "where": lambda a: torch.where(a > 0.2, a.square(), -a),
    "average pool": lambda a: F.avg_pool2d(a, 3, 2, 1),
    "reflecting pad": lambda a: F.pad(a, (1, 2, 1, 0), mode="reflect"),
    "concatenation": lambda a: torch.cat([a, a.relu()], 1),
    "constant gate": lambda a: a * torch.full_like(a, 0.5),
}


def built(function: Function, *, seed: int = 0) -> RelevanceMap:
    x = image(1, 2, 7, 6, seed=seed, dtype=torch.float64)
    return relevance_map(Net(function), x, "rescale", reference="mean")


@pytest.mark.parametrize("name", OPERATIONS)
def test_components_sum_to_the_difference_and_push_is_adjoint(name: str) -> None:
    mapped = built(OPERATIONS[name])
    net = Net(OPERATIONS[name])
    difference = net(mapped.x) - net(reference_images("mean", mapped.x)[0])
    torch.testing.assert_close(mapped.explained, difference, rtol=1e-9, atol=1e-9)
    table = mapped.push(patches(2))
    torch.testing.assert_close(table.sum(0), difference[0], rtol=1e-8, atol=1e-8)
    assert float(mapped.constant.abs().max()) < 1e-8
    relevance = normal(difference.shape, 5, torch.float64) * difference
    weights = torch.where(difference == 0, 0, relevance / difference)[0]
    torch.testing.assert_close(mapped.pull_components(relevance, patches(2))[0], table @ weights, rtol=1e-8, atol=1e-8)


def textbook(layers: list[nn.Linear], x: np.ndarray, x0: np.ndarray) -> np.ndarray:
    """DeepLIFT's multipliers, layer by layer with loops, for a network of linear layers with tanh between them."""
    a, a0 = x, x0
    total = np.eye(len(x))  # from input to the layer
    for depth, layer in enumerate(layers):
        dense = dense_linear(layer)
        z, z0 = (dense.weight @ value + dense.bias for value in (a, a0))
        total = dense.weight @ total
        if depth < len(layers) - 1:
            a, a0 = np.tanh(z), np.tanh(z0)
            for j in range(len(z)):
                total[j] *= (a[j] - a0[j]) / (z[j] - z0[j])
    return total * (x - x0)


def test_linear_layers_and_tanh_follow_the_textbook() -> None:
    torch.manual_seed(0)
    layers = [nn.Linear(12, 6), nn.Linear(6, 5), nn.Linear(5, 3)]
    net = nn.Sequential(nn.Flatten(), layers[0], nn.Tanh(), layers[1], nn.Tanh(), layers[2]).double()
    x, x0 = (image(1, 3, 2, 2, seed=seed, dtype=torch.float64) for seed in (0, 1))
    table = relevance_map(net, x, "rescale", reference=x0).push(channels())
    expected = textbook(layers, x.flatten().numpy(), x0.flatten().numpy())  # (outputs, inputs)
    np.testing.assert_allclose(table.numpy(), expected.reshape(3, 3, 4).sum(2).T, rtol=1e-10)


@pytest.mark.filterwarnings("ignore:Setting forward, backward hooks")
def test_convolutional_networks_agree_with_captum() -> None:
    attr = pytest.importorskip("captum.attr")
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, stride=2),
        nn.ELU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(8 * 9, 16),
        nn.Sigmoid(),
        nn.Linear(16, 4),
    ).eval()
    x, x0 = (image(1, 3, 14, 14, seed=seed) for seed in (0, 1))
    mapped = relevance_map(net, x, "rescale", reference=x0)
    for output in range(4):
        expected = attr.DeepLift(net).attribute(x.clone().requires_grad_(), x0, target=output).detach()
        ours = mapped.pull(mapped.explained * torch.eye(4)[output])
        assert float((ours - expected).norm() / expected.norm()) < 1e-4


def test_a_maximum_over_many_entries_is_as_fast_as_they_are_many() -> None:
    """Weights of n entries take n steps: with n^2 of them this took minutes."""
    net = Net(lambda a: a.flatten(2).max(-1).values)
    x = image(1, 2, 96, 96, dtype=torch.float64)
    mapped = relevance_map(net, x, "rescale")
    torch.testing.assert_close(mapped.push(patches(24)).sum(0), mapped.explained[0], rtol=1e-4, atol=1e-5)


def test_a_maximum_is_the_tournament_of_both_orders() -> None:
    """``max(a, b, c)`` as ``m = a + relu(b - a)``, ``m + relu(c - m)``, and the same from c to a; by hand."""

    def in_turn(values: list[tuple[float, float]]) -> list[float]:
        weights, best, best0 = [1.0], *values[0]
        for a, a0 in values[1:]:
            lead, lead0 = a - best, a0 - best0
            slope = (max(lead, 0) - max(lead0, 0)) / (lead - lead0)
            weights = [weight * (1 - slope) for weight in weights] + [slope]
            best, best0 = max(best, a), max(best0, a0)
        return weights

    x = torch.tensor([0.3, -0.4, 0.9]).view(1, 3, 1, 1)
    x0 = torch.tensor([0.5, 0.1, -0.2]).view(1, 3, 1, 1)
    values = list(zip(x.flatten().tolist(), x0.flatten().tolist(), strict=True))
    weights = [(a + b) / 2 for a, b in zip(in_turn(values), in_turn(values[::-1])[::-1], strict=True)]
    net = nn.Sequential(nn.Flatten(), nn.Unflatten(1, (1, 3)), nn.MaxPool1d(3), nn.Flatten())
    table = relevance_map(Largest(), x, "rescale", reference=x0).push(channels())
    expected = [weight * (a - a0) for weight, (a, a0) in zip(weights, values, strict=True)]
    np.testing.assert_allclose(table.flatten().numpy(), expected, rtol=1e-5)
    assert float(table.sum()) == pytest.approx(float(net(x) - net(x0)), rel=1e-5)


class Largest(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.amax(1).flatten(1)


NETWORKS: dict[str, Callable[[], tuple[nn.Module, int]]] = {
    "resnet18": lambda: (torchvision_network("resnet18", 64), 64),
    "mobilenet_v3_small": lambda: (torchvision_network("mobilenet_v3_small", 64), 64),
    "convnext_tiny": lambda: (torchvision_network("convnext_tiny", 64), 64),
    "swin_v2_t": lambda: (torchvision_network("swin_v2_t", 64), 64),
    "clip_vit": lambda: (clip_vit(96, 32, 64, 3, 4, 32), 96),
    "dinov2": lambda: (dinov2(), 56),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_conserve_to_a_ten_thousandth(name: str) -> None:
    model, size = NETWORKS[name]()
    mapped = relevance_map(model, image(1, 3, size, size), "rescale")
    total = mapped.push(patches(size // 4)).sum(0)
    largest = float(mapped.explained.abs().max())
    assert float((total - mapped.explained[0]).abs().max()) < 1e-4 * largest
    assert mapped.conservation == pytest.approx(1, abs=1e-4)


@pytest.fixture(scope="module")
def small() -> Graph:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 6, 3, 2), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(96, 5)]
    return trace(calibrated(nn.Sequential(*layers), 20), torch.zeros(1, 3, 20, 20))


def test_several_references_are_averaged(small: Graph) -> None:
    x = image(1, 3, 20, 20)
    references = torch.cat([image(1, 3, 20, 20, seed=seed) for seed in (1, 2, 3)])
    several = relevance_map(small, x, "rescale", reference=references)
    alone = [relevance_map(small, x, "rescale", reference=one[None]) for one in references]
    expected = torch.stack([one.push(patches(5)) for one in alone]).mean(0)
    torch.testing.assert_close(several.push(patches(5)), expected)
    relevance = several.explained * normal((1, 5), 3, torch.float32)
    torch.testing.assert_close(
        several.pull_components(relevance, patches(5))[0], expected @ (relevance / several.explained)[0]
    )
    assert float(several.pull(relevance).sum()) == pytest.approx(float(relevance.sum()), rel=1e-4)
    with pytest.raises(InputError, match="3 references have multipliers each"):
        several.multipliers(relevance)


def test_an_image_that_is_its_reference_has_nothing_to_explain(small: Graph) -> None:
    x = image(1, 3, 20, 20)
    mapped = relevance_map(small, x, "rescale", reference=x)
    assert float(mapped.push(patches(5)).abs().max()) == 0
    assert float(mapped.explained.abs().max()) == 0


def test_named_references_are_what_they_say() -> None:
    x = image(2, 3, 40, 60)
    blur, mean, grey = (reference_images(name, x)[0] for name in ("blur", "mean", "grey"))
    assert float(grey.abs().max()) == 0
    torch.testing.assert_close(mean, x.mean((2, 3), keepdim=True).expand_as(x))
    torch.testing.assert_close(blur.mean((2, 3)), x.mean((2, 3)), atol=0.05, rtol=0)
    assert float(blur.diff(dim=3).abs().mean()) < 0.2 * float(x.diff(dim=3).abs().mean())


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("bluer", "unknown reference 'bluer'"),
        (torch.zeros(3, 20, 20), r"reference images are \(R, 3, 20, 20\)"),
        (torch.full((1, 3, 20, 20), torch.nan), "must be finite"),
    ],
)
def test_wrong_references_are_refused(small: Graph, reference: str | Tensor, message: str) -> None:
    with pytest.raises(InputError, match=message):
        relevance_map(small, image(1, 3, 20, 20), "rescale", reference=reference)  # type: ignore[arg-type]


def test_the_constant_is_what_biases_hold_when_they_are_pushed_as_inputs() -> None:
    """LRP-epsilon by hand: of each layer's output the bias' part, ``b_j / z_j``, goes through the layers behind it."""
    torch.manual_seed(1)
    layers = [nn.Linear(12, 7), nn.Linear(7, 6), nn.Linear(6, 4)]
    net = nn.Sequential(nn.Flatten(), layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2]).double()
    x = image(1, 3, 2, 2, dtype=torch.float64)
    a = x.flatten().numpy()
    constant = np.zeros(12)
    for depth, layer in enumerate(layers):
        dense = dense_linear(layer)
        z = dense.weight @ a + dense.bias
        constant = dense.weight @ constant + dense.bias  # y / z is 1 for epsilon, but for the stabiliser
        a = z if depth == 2 else np.maximum(z, 0)
        constant = constant if depth == 2 else np.where(z > 0, constant, 0)
    mapped = relevance_map(net, x, "epsilon")
    np.testing.assert_allclose(mapped.constant[0].numpy(), constant, rtol=1e-4, atol=1e-5)
    total = mapped.push(channels()).sum(0) + mapped.constant[0]
    torch.testing.assert_close(total, mapped.output[0])
