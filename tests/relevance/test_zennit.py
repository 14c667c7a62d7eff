"""Agreement with Zennit, through the witness and, without anything of ours, through its own canonizers and composites.

Zennit's own merge of batch norms leaves their epsilon behind (0.5.1) or sets it to zero (1.0.0). The copies that it is
given here have it moved into the variance beforehand, which changes nothing of what the network computes.
"""

from __future__ import annotations

import copy
from functools import cache

import pytest
import torch
import zennit.composites
from _networks import image, torchvision_network
from torch import Tensor, nn
from zennit.attribution import Gradient
from zennit.canonizers import SequentialMergeBatchNorm
from zennit.torchvision import ResNetCanonizer

from chinspect.errors import InputError
from chinspect.relevance import COMPOSITES, Graph, composite, relevance_map, trace
from chinspect.relevance.witness import zennit_relevance

pytestmark = pytest.mark.filterwarnings("ignore::chinspect.relevance.RelevanceWarning")

SIZE, OUTPUTS, NEURONS = 32, 12, [0, 2, 5, 11]
NETWORKS = ["vgg16_bn", "resnet18", "resnet50"]
FROZEN = [name for name in COMPOSITES if name != "attn_lrp"]
ZENNIT = {
    "epsilon_plus_flat": (zennit.composites.EpsilonPlusFlat, {}),
    "epsilon_plus": (zennit.composites.EpsilonPlus, {}),
    "epsilon_alpha2_beta1_flat": (zennit.composites.EpsilonAlpha2Beta1Flat, {}),
    "epsilon_gamma_box": (zennit.composites.EpsilonGammaBox, {"low": -3.0, "high": 3.0}),
}


@cache
def network(name: str) -> nn.Module:
    return torchvision_network(name, SIZE, num_classes=OUTPUTS)


@cache
def graph(name: str, dtype: torch.dtype) -> Graph:
    return trace(copy.deepcopy(network(name)).to(dtype), photograph(dtype))


def photograph(dtype: torch.dtype = torch.float32) -> Tensor:
    return image(1, 3, SIZE, SIZE, dtype=dtype)


def seeds(dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.eye(OUTPUTS, dtype=dtype)[NEURONS]


def precision(table: str) -> torch.dtype:
    """Rules of both signs cancel so much that single precision keeps less than three digits, here and there."""
    return torch.float64 if table in ("epsilon", "epsilon_gamma_box") else torch.float32


def pulled(name: str, table: str, bias: bool | None, neurons: int = 4) -> Tensor:
    dtype = precision(table)
    mapped = relevance_map(graph(name, dtype), photograph(dtype), composite(table, bias=bias))
    return torch.cat([mapped.pull(seed * mapped.output) for seed in seeds(dtype)[:neurons]])


def by_witness(name: str, table: str, bias: bool | None, neurons: int = 4) -> Tensor:
    dtype = precision(table)
    return zennit_relevance(graph(name, dtype), photograph(dtype), composite(table, bias=bias), NEURONS[:neurons])


def difference(ours: Tensor, theirs: Tensor) -> float:
    """The largest of any neuron's map, relative to that map's norm."""
    return float(((ours - theirs).flatten(1).norm(dim=1) / theirs.flatten(1).norm(dim=1)).max())


@pytest.mark.parametrize("table", FROZEN)
@pytest.mark.parametrize("name", NETWORKS)
def test_agrees_with_the_witness(name: str, table: str) -> None:
    neurons = 4 if table not in ZENNIT or name == "resnet18" else 2  # the others are compared below, all four
    assert difference(pulled(name, table, None, neurons), by_witness(name, table, None, neurons)) < 1e-3


@pytest.mark.parametrize("table", ["epsilon", "epsilon_gamma_box", "epsilon_alpha2_beta1_flat"])
def test_agrees_with_the_witness_where_relevance_explodes(table: str) -> None:
    """Biases out of all denominators: maps of 1e15 and more, and the same ones."""
    assert difference(pulled("resnet18", table, False), by_witness("resnet18", table, False)) < 1e-3


@pytest.mark.parametrize("table", ZENNIT)
@pytest.mark.parametrize("name", NETWORKS)
def test_agrees_with_zennits_own_composites(name: str, table: str) -> None:
    assert difference(pulled(name, table, True), by_zennit(name, table, None)) < 1e-3


@pytest.mark.parametrize("name", NETWORKS)
def test_agrees_with_zennits_default_without_biases(name: str) -> None:
    """With biases out everywhere: by default they count in the linear head."""
    theirs = by_zennit(name, "epsilon_plus_flat", "bias")
    assert difference(pulled(name, "epsilon_plus_flat", False), theirs) < 1e-3


def by_zennit(name: str, table: str, zero_params: str | None) -> Tensor:
    dtype = precision(table)
    model = copy.deepcopy(network(name)).to(dtype)
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.running_var += norm.eps
            norm.eps = 0.0
    kind, options = ZENNIT[table]
    options = {key: torch.full((1, 3, 1, 1), value, dtype=dtype) for key, value in options.items()}
    canonizer = ResNetCanonizer() if "resnet" in name else SequentialMergeBatchNorm()
    rules = kind(zero_params=zero_params, canonizers=[canonizer], **options)
    with Gradient(model=model, composite=rules) as attributor:
        return attributor(photograph(dtype).expand(len(NEURONS), -1, -1, -1), lambda y: y * seeds(dtype))[1]


def test_attnlrp_has_no_witness() -> None:
    with pytest.raises(InputError, match="attn_lrp"):
        zennit_relevance(graph("resnet18", torch.float32), photograph(), composite("attn_lrp"), [0])
