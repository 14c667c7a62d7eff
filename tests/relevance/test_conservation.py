"""How much of the output arrives at the pixels: all of it in residual networks, a measured share in transformers."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from _networks import image
from _textbook import normal
from torch import nn
from zennit.attribution import Gradient
from zennit.composites import EpsilonPlusFlat
from zennit.torchvision import ResNetCanonizer

from chinspect.relevance import Graph, RelevanceMap, patches, relevance_map

RESIDUAL = ["resnet50_graph", "clip_gap_graph"]
WITH_ATTENTION = ["clip_rn50_graph", "vit_b_32_graph", "dinov2_s_graph"]


def mapped(graph: Graph, composite: str = "epsilon_plus_flat") -> RelevanceMap:
    return relevance_map(graph, image(*graph.input_shape), composite)


@pytest.mark.parametrize("network", RESIDUAL)
def test_relevance_is_conserved_to_a_thousandth(network: str, request: pytest.FixtureRequest) -> None:
    result = mapped(request.getfixturevalue(network))
    y = result.output[0].double()
    pushed, pulled = result.push(patches(16)).double(), result.pull(result.output).double()
    assert float((pushed.sum(0) * y).sum() / y.square().sum()) == pytest.approx(1, abs=1e-3)
    assert float(pulled.sum() / y.sum()) == pytest.approx(1, abs=1e-3)
    assert result.conservation == pytest.approx(1, abs=1e-3)
    # not on average only: output by output
    assert float((pushed.sum(0) - y).abs().max() / y.abs().max()) < 1e-3


def test_plain_zennit_doubles_relevance_in_each_block_of_clip(clip_gap: nn.Module, clip_gap_graph: Graph) -> None:
    """Its canonizer knows torchvision's residual blocks only; the 16 of open_clip's ResNet-50 give 2^16."""
    x = image(1, 3, 64, 64)
    rules = EpsilonPlusFlat(zero_params="bias", canonizers=[ResNetCanonizer()])
    with Gradient(model=copy.deepcopy(clip_gap), composite=rules) as attributor:
        y, relevance = attributor(x, lambda output: output)
    assert float(relevance.double().sum() / y.detach().double().sum()) == pytest.approx(2**16, rel=0.02)
    result = relevance_map(clip_gap_graph, x)
    assert float(result.pull(result.output).double().sum() / result.output.double().sum()) == pytest.approx(1, abs=1e-3)


@pytest.mark.filterwarnings("ignore::chinspect.relevance.RelevanceWarning")
@pytest.mark.parametrize("composite", ["epsilon_plus_flat", "attn_lrp"])
@pytest.mark.parametrize("network", WITH_ATTENTION)
def test_conservation_is_reported_and_push_is_adjoint(
    network: str, composite: str, request: pytest.FixtureRequest
) -> None:
    result = mapped(request.getfixturevalue(network), composite)
    y, table = result.output[0].double(), result.push(patches(14)).double()
    assert math.isfinite(result.conservation)
    assert result.conservation == pytest.approx(float((table.sum(0) * y).sum() / y.square().sum()), rel=1e-3)
    weights = normal((len(y),), 1)  # of the outputs: their plain sum is zero behind a layer norm
    pulled = result.pull((weights * y).float()[None]).double().sum((0, 1))
    by_patch = torch.stack([cell.sum() for row in pulled.split(14) for cell in row.split(14, 1)])
    assert float((table @ weights - by_patch).norm() / by_patch.norm()) < 1e-5
