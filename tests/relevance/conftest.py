"""The larger networks, traced once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from _networks import clip_rn50, clip_vit, dinov2, torchvision_network
from torch import nn

from chinspect.relevance import Graph, trace


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """The tensors are small: a second thread would mostly wait, and on a busy machine for very long."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def resnet50() -> nn.Module:
    """torchvision's ResNet-50 as an encoder, without its classifier."""
    model = torchvision_network("resnet50", 64)
    model.fc = nn.Identity()
    return model


@pytest.fixture(scope="session")
def resnet50_graph(resnet50: nn.Module) -> Graph:
    return trace(resnet50, torch.zeros(1, 3, 64, 64))


@pytest.fixture(scope="session")
def clip_gap() -> nn.Module:
    """open_clip's RN50 with a global average in place of its attention pool."""
    return clip_rn50(pool=False)


@pytest.fixture(scope="session")
def clip_gap_graph(clip_gap: nn.Module) -> Graph:
    return trace(clip_gap, torch.zeros(1, 3, 64, 64))


@pytest.fixture(scope="session")
def clip_rn50_graph() -> Graph:
    return trace(clip_rn50(pool=True), torch.zeros(1, 3, 64, 64))


@pytest.fixture(scope="session")
def vit_b_32_graph() -> Graph:
    return trace(clip_vit(96, 32, 768, 12, 12, 512), torch.zeros(1, 3, 96, 96))


@pytest.fixture(scope="session")
def dinov2_s_graph() -> Graph:
    return trace(dinov2(), torch.zeros(1, 3, 56, 56))
