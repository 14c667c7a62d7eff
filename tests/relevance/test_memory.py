"""A push keeps to its memory: in the plan's arithmetic, and in the bytes that are really alive."""

from __future__ import annotations

import weakref
from collections import Counter

import pytest
import torch
from _networks import image
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

from chinspect.relevance import Components, Graph, RelevanceMap, channels, patches, relevance_map, segments, trace
from chinspect.relevance._program import plan, push

MEGABYTE = 1 << 20


class Living(TorchDispatchMode):
    """Bytes of tensors made inside the context and still alive: their peak."""

    def __init__(self) -> None:
        super().__init__()
        self.known: WeakIdKeyDictionary = WeakIdKeyDictionary()
        self.users: Counter[int] = Counter()
        self.sizes: dict[int, int] = {}
        self.peak = 0

    def __torch_dispatch__(self, function, _types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        result = function(*args, **(kwargs or {}))
        outside = {t.untyped_storage().data_ptr() for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        for t in tree_leaves(result):
            if isinstance(t, Tensor) and t not in self.known:
                address = t.untyped_storage().data_ptr()
                if address in self.sizes or address not in outside:  # not a view of what was there before
                    self.known[t] = address
                    self.users[address] += 1
                    self.sizes[address] = t.untyped_storage().nbytes()
                    weakref.finalize(t, self.release, address)
        self.peak = max(self.peak, sum(self.sizes.values()))
        return result

    def release(self, address: int) -> None:
        self.users[address] -= 1
        if not self.users[address]:
            self.sizes.pop(address, None)


@pytest.fixture(scope="module")
def graph() -> Graph:
    """12 convolutions of 32 channels at 32 x 32 pixels: 128 kB for each component and value."""
    torch.manual_seed(0)
    layers: list[nn.Module] = [nn.Conv2d(3, 32, 3, stride=2, padding=1), nn.ReLU()]
    for _ in range(11):
        layers += [nn.Conv2d(32, 32, 3, padding=1), nn.ReLU()]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 512)]
    return trace(nn.Sequential(*layers, *head), torch.zeros(1, 3, 64, 64))


def mapped(graph: Graph) -> RelevanceMap:
    return relevance_map(graph, image(1, 3, 64, 64))


COMPONENTS = {
    "patches": patches(4),
    "segments": segments(torch.arange(64 * 64).view(64, 64) // 32),
    "channels": channels(),
}


def peak(result: RelevanceMap, components: Components, memory: int) -> int:
    decomposition = components.on(result.x.shape)
    how = plan(result._programs[0], decomposition, memory)
    with torch.no_grad(), Living() as living:
        push(result._programs[0], decomposition, how)
    return living.peak


@pytest.mark.parametrize("memory", [2 * MEGABYTE, 8 * MEGABYTE, 32 * MEGABYTE])
@pytest.mark.parametrize("kind", ["patches", "segments"])
def test_peak_stays_near_the_limit(graph: Graph, kind: str, memory: int) -> None:
    assert peak(mapped(graph), COMPONENTS[kind], memory) < 2 * memory


def test_peak_without_a_limit_is_far_above() -> None:
    """What the limit is there for, and proof that the measure can rise."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 30 * 30, 8))
    result = relevance_map(trace(model, torch.zeros(1, 3, 32, 32)), image(1, 3, 32, 32))
    free, tight = (peak(result, patches(2), memory) for memory in (1 << 30, MEGABYTE))
    assert free > 5 * tight


@pytest.mark.parametrize("memory", [1, MEGABYTE, 16 * MEGABYTE, 1 << 30])
@pytest.mark.parametrize("kind", COMPONENTS)
def test_plan_fits_its_chunks(graph: Graph, kind: str, memory: int) -> None:
    result = mapped(graph)
    decomposition, steps = COMPONENTS[kind].on(result.x.shape), result._programs[0].steps
    how = plan(result._programs[0], decomposition, memory)
    rest = [step for section in how.rest for step in section.steps]
    largest = max(step.shape.numel() for step in rest) * 4
    assert 1 <= how.chunk <= decomposition.count
    assert how.chunk == 1 or 4 * how.chunk * largest <= memory  # a value and the one made from it, and their copies
    assert how.chunk == decomposition.count or (how.chunk + 1) * 8 * largest > memory
    costs = [step.push.macs * decomposition.count for step in rest]
    costs += [step.push.macs * how.layout[step.name].maps for section in how.local for step in section.steps]
    assert len(costs) == len(steps)
    assert how.macs == sum(costs)


def test_shared_maps_save_work_only_where_they_fit(graph: Graph) -> None:
    result = mapped(graph)
    decomposition = patches(4).on(result.x.shape)
    plans = [plan(result._programs[0], decomposition, memory) for memory in (1, 4 * MEGABYTE, 1 << 30)]
    lengths = [sum(len(section.steps) for section in how.local) for how in plans]
    assert lengths == sorted(lengths)
    assert lengths[0] == 0
    assert plans[0].macs > plans[1].macs >= plans[2].macs


@pytest.mark.filterwarnings("ignore::chinspect.relevance.RelevanceWarning")
def test_memory_limit_changes_nothing_but_memory(graph: Graph) -> None:
    x = image(1, 3, 64, 64)
    roomy, tight = (relevance_map(graph, x, memory_limit=memory).push(patches(8)) for memory in (1 << 30, MEGABYTE))
    torch.testing.assert_close(roomy, tight, rtol=1e-4, atol=1e-5 * float(roomy.abs().max()))
