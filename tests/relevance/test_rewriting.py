"""Equal functions are explained equally, however they are written; and what is computed stays the same."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from _networks import calibrated, image
from hypothesis import given, settings
from hypothesis import strategies as st
from timm.models.byobnet import MobileOneBlock, RepVggBlock
from timm.utils.model import reparameterize_model
from torch import Tensor, nn

from chinspect.relevance import RelevanceMap, patches, relevance_map, trace

pytestmark = pytest.mark.filterwarnings("ignore::chinspect.relevance.RelevanceWarning")

few = settings(max_examples=2, deadline=None, derandomize=True, database=None)
PATCHES = patches(4)
Layer = Callable[[Tensor], Tensor]


def table(model: nn.Module, x: Tensor, composite: str = "epsilon_plus_flat") -> Tensor:
    return relevance_map(model, x, composite).push(PATCHES)


def assert_explained_alike(first: RelevanceMap, second: RelevanceMap) -> None:
    torch.testing.assert_close(second.output, first.output, rtol=1e-9, atol=1e-9)
    tables = [mapped.push(PATCHES) for mapped in (first, second)]
    torch.testing.assert_close(tables[1], tables[0], rtol=1e-6, atol=1e-6 * float(tables[0].abs().max()))
    assert second.conservation == pytest.approx(first.conservation, rel=1e-6)


class Written(nn.Module):
    """A convolution in the middle of a network, written in some way."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.layer = layer
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.head = nn.Conv2d(4, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(self.stem(x).relu()).relu()).mean((2, 3))


def draw_weights(seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = {"wide": (4, 4, 3, 3), "narrow": (4, 4, 1, 1), "deep": (4, 1, 3, 3)}
    shapes |= dict.fromkeys(("bias", "scale", "shift", "mean", "other"), (4,))
    weights = {name: torch.randn(shape, generator=generator, dtype=torch.float64) for name, shape in shapes.items()}
    return weights | {"variance": 0.5 + weights["mean"].square()}


def by_channel(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1)


def with_batch_norm(w: dict[str, Tensor]) -> Layer:
    return lambda a: F.batch_norm(
        F.conv2d(a, w["wide"], w["bias"], padding=1), w["mean"], w["variance"], w["scale"], w["shift"]
    )


def norm_folded(w: dict[str, Tensor]) -> Layer:
    scale = w["scale"] / (w["variance"] + 1e-5).sqrt()
    bias = (w["bias"] - w["mean"]) * scale + w["shift"]
    return lambda a: F.conv2d(a, w["wide"] * scale.view(-1, 1, 1, 1), bias, padding=1)


def three_branches(w: dict[str, Tensor]) -> Layer:
    def layer(a: Tensor) -> Tensor:
        direct = F.batch_norm(a, w["mean"], w["variance"], w["scale"], w["shift"])
        return F.conv2d(a, w["wide"], padding=1) + F.conv2d(a, w["narrow"], w["bias"]) + direct

    return layer


def branches_merged(w: dict[str, Tensor]) -> Layer:
    scale = w["scale"] / (w["variance"] + 1e-5).sqrt()
    kernel = w["wide"] + F.pad(w["narrow"], (1, 1, 1, 1)) + F.pad(torch.diag(scale)[..., None, None], (1, 1, 1, 1))
    return lambda a: F.conv2d(a, kernel, w["bias"] + w["shift"] - w["mean"] * scale, padding=1)


def depthwise_and_itself(w: dict[str, Tensor]) -> Layer:
    return lambda a: by_channel(w["scale"]) * F.conv2d(a, w["deep"], w["bias"], padding=1, groups=4) + a


def depthwise_merged(w: dict[str, Tensor]) -> Layer:
    centre = F.pad(torch.ones(4, 1, 1, 1).double(), (1, 1, 1, 1))
    kernel = w["deep"] * w["scale"].view(-1, 1, 1, 1) + centre
    return lambda a: F.conv2d(a, kernel, w["bias"] * w["scale"], padding=1, groups=4)


def weight_normed(w: dict[str, Tensor]) -> Layer:
    def layer(a: Tensor) -> Tensor:
        kernel = w["scale"].view(-1, 1, 1, 1) * w["wide"] / w["wide"].square().sum((1, 2, 3), keepdim=True).sqrt()
        return by_channel(w["other"]) * (F.conv2d(a, kernel, w["bias"], padding=1) - by_channel(w["mean"]))

    return layer


def weight_computed(w: dict[str, Tensor]) -> Layer:
    factor = w["other"] * w["scale"] / w["wide"].flatten(1).norm(dim=1)
    bias = (w["bias"] - w["mean"]) * w["other"]
    return lambda a: F.conv2d(a, w["wide"] * factor.view(-1, 1, 1, 1), bias, padding=1)


def split_in_two(w: dict[str, Tensor]) -> Layer:
    return lambda a: F.conv2d(F.conv2d(a, w["wide"], w["bias"], padding=1), w["narrow"], w["shift"])


def product_of_both(w: dict[str, Tensor]) -> Layer:
    matrix = w["narrow"].flatten(1)
    kernel = torch.einsum("oc,cikl->oikl", matrix, w["wide"])
    return lambda a: F.conv2d(a, kernel, matrix @ w["bias"] + w["shift"], padding=1)


def scaled_before(w: dict[str, Tensor]) -> Layer:
    return lambda a: F.conv2d((a - by_channel(w["mean"])) / by_channel(w["variance"]), w["narrow"], w["bias"])


def scale_inside(w: dict[str, Tensor]) -> Layer:
    kernel = w["narrow"] / w["variance"].view(1, -1, 1, 1)
    return lambda a: F.conv2d(a, kernel, w["bias"] - kernel.flatten(1) @ w["mean"])


def sum_of_halves(w: dict[str, Tensor]) -> Layer:
    return lambda a: (
        F.conv2d(a, w["wide"] - 3 * w["other"].view(-1, 1, 1, 1), padding=1)
        + F.conv2d(a, 3 * w["other"].view(-1, 1, 1, 1).expand_as(w["wide"]), padding=1)
    )


def gated_by_hand(w: dict[str, Tensor]) -> Layer:
    return lambda a: (lambda b: b * F.relu6(b + 3) / 6)(F.conv2d(a, w["narrow"], w["bias"]))


def gated(w: dict[str, Tensor]) -> Layer:
    return lambda a: F.hardswish(F.conv2d(a, w["narrow"], w["bias"]))


REWRITINGS = {
    "batch norm folded": (with_batch_norm, norm_folded),
    "branches merged": (three_branches, branches_merged),
    "depthwise and itself": (depthwise_and_itself, depthwise_merged),
    "weight norm": (weight_normed, weight_computed),
    "split in two": (split_in_two, product_of_both),
    "scaled before": (scaled_before, scale_inside),
    "sum of halves": (sum_of_halves, lambda w: lambda a: F.conv2d(a, w["wide"], padding=1)),
    "hardswish": (gated_by_hand, gated),
    "silu": (lambda _: lambda a: a * a.sigmoid(), lambda _: F.silu),
    "matmul": (
        lambda w: lambda a: (a.flatten(2).mT @ w["narrow"].flatten(1).mT + w["bias"]).mT[..., None],
        lambda w: lambda a: F.linear(a.flatten(2).mT, w["narrow"].flatten(1), w["bias"]).mT[..., None],
    ),
}


@pytest.mark.parametrize("name", REWRITINGS)
@few
@given(seed=st.integers(0, 2**31 - 1))
def test_equal_functions_are_explained_equally(name: str, seed: int) -> None:
    x = image(1, 3, 8, 8, seed=seed % 1000, dtype=torch.float64)
    weights = draw_weights(seed)
    first, second = (trace(Written(write(weights)).double(), x) for write in REWRITINGS[name])
    for composite in ("epsilon_plus_flat", "rescale"):
        assert_explained_alike(relevance_map(first, x, composite), relevance_map(second, x, composite))


@pytest.mark.parametrize("block", [RepVggBlock, MobileOneBlock], ids=["RepVGG", "MobileOne"])
def test_blocks_of_branches_are_explained_as_after_their_reparameterisation(block: Any) -> None:
    torch.manual_seed(0)
    blocks = [nn.Conv2d(3, 8, 3), *(block(8, 8, 3) for _ in range(3))]
    model = calibrated(nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten()), 16).double()
    merged = reparameterize_model(copy.deepcopy(model))
    x = image(1, 3, 16, 16, dtype=torch.float64)
    first, second = (relevance_map(network, x) for network in (model, merged))
    tables = torch.stack([mapped.push(PATCHES).flatten() for mapped in (first, second)])
    assert float(torch.corrcoef(tables)[0, 1]) > 1 - 1e-9
    assert second.conservation == pytest.approx(first.conservation, rel=1e-6)


def test_a_shift_before_a_padded_convolution_stays_outside() -> None:
    """The padding is not shifted: folded, the border would be another function."""
    weights = draw_weights(3)
    model = Written(lambda a: F.conv2d(a + by_channel(weights["shift"]), weights["wide"], padding=1)).double()
    x = image(1, 3, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(relevance_map(model, x).output, model(x), rtol=1e-9, atol=1e-9)


def test_a_value_that_others_read_is_not_merged_away() -> None:
    weights = draw_weights(4)

    def layer(a: Tensor) -> Tensor:
        b = F.conv2d(a, weights["wide"], padding=1)
        return by_channel(weights["scale"]) * b + b.relu() + b.mean((2, 3), keepdim=True)

    model = Written(layer).double()
    x = image(1, 3, 8, 8, dtype=torch.float64)
    mapped = relevance_map(model, x)
    torch.testing.assert_close(mapped.output, model(x), rtol=1e-9, atol=1e-9)


def plain() -> nn.Module:
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 3), nn.ReLU())
    return calibrated(nn.Sequential(body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)), 16)


X = image(1, 3, 16, 16)
WAYS: dict[str, Callable[[], tuple[nn.Module, Tensor]]] = {
    "compiled": lambda: (torch.compile(plain()), X),
    "compiled inside": lambda: (nn.Sequential(torch.compile(plain())), X),
    "DataParallel": lambda: (nn.DataParallel(plain()), X),
    "exported": lambda: (torch.export.export(plain(), (X,)).module(), X),
    "exported program": lambda: (torch.export.export(plain(), (X,)), X),
    "channels last": lambda: (plain().to(memory_format=torch.channels_last), X),
    "half": lambda: (plain().half(), X.half()),
    "half, single images": lambda: (plain().half(), X),
    "bfloat16": lambda: (plain().bfloat16(), X.bfloat16()),
    "autocast": lambda: (Autocast(plain()), X),
}


class Autocast(nn.Module):
    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return self.body(x).float()


@pytest.mark.parametrize("name", WAYS)
def test_other_ways_to_hold_a_network_change_nothing(name: str) -> None:
    expected = table(plain(), X)
    result = table(*WAYS[name]())
    assert result.dtype == torch.float32
    low = name in ("half", "half, single images", "bfloat16")  # only the weights are rounded
    assert float((result - expected).norm() / expected.norm()) < (0.05 if low else 1e-4)
