"""However the push is run, the numbers are the same: on shared maps, in chunks, in batches, or by transposition."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
import torch
import torch.nn.functional as F
from _networks import image
from torch import Tensor, nn

from chinspect.errors import InputError
from chinspect.relevance import (
    Components,
    Composite,
    Decomposition,
    Graph,
    Partition,
    RelevanceMap,
    Row,
    _program,
    channels,
    composite,
    frequency_bands,
    patch_bands,
    patches,
    relevance_map,
    segments,
    trace,
)
from chinspect.relevance._program import Plan, plan, push
from chinspect.relevance.precision import Precision
from chinspect.relevance.rules import Epsilon, Flat, ZBox, ZPlus

pytestmark = [
    pytest.mark.filterwarnings("ignore::chinspect.relevance.RelevanceWarning"),
    pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning"),
]


class Residual(nn.Module):
    """Strides, a max pool, a projected shortcut and a plain one."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.pool = nn.Conv2d(3, 4, 5, stride=2, padding=2), nn.MaxPool2d(3, 2, 1)
        self.a, self.b = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 6, 3, stride=2, padding=1)
        self.shortcut, self.head = nn.Conv2d(4, 6, 1, stride=2), nn.Linear(6, 30)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.stem(x).relu())
        x = x + self.a(x).relu()
        return self.head((self.b(x) + self.shortcut(x)).relu().mean((2, 3)))


class Plain(nn.Module):
    """Dilation, groups, average pools (also ceiled), a gate and a concatenation."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 4, 3, dilation=2), nn.Conv2d(4, 4, (3, 2), groups=2, padding=(0, 1))
        self.c, self.gate = nn.Conv2d(8, 5, 1), nn.Conv2d(4, 4, 1)
        self.head = nn.Linear(20, 25)

    def forward(self, x: Tensor) -> Tensor:
        x = F.avg_pool2d(F.silu(self.a(x)), 3, 2, 1, ceil_mode=True)
        x = x * self.gate(x.mean((2, 3), keepdim=True)).sigmoid()
        x = F.pad(x, (0, 0, 1, 1))
        x = self.c(torch.cat([x[:, :, :-2, :-1], self.b(x)[..., 1:-1]], 1))
        return self.head(F.adaptive_avg_pool2d(x, 2).flatten(1))


class Coarse(nn.Module):
    """A stride larger than its kernel: some pixels reach nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.head = nn.Conv2d(3, 4, 1, stride=3), nn.Conv2d(4, 4, 2), nn.Linear(4, 20)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.b(self.a(x).relu()).mean((2, 3)))


class Uneven(nn.Module):
    """Padding that differs from side to side, as TensorFlow's "same", crops, and depthwise convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.deep = nn.Conv2d(3, 4, 3, stride=2), nn.Conv2d(4, 4, 4, padding="same", groups=4)
        self.valid, self.next = nn.Conv2d(4, 6, 2, padding="valid"), nn.Conv2d(6, 6, 5, stride=2, groups=6)
        self.head = nn.Linear(6, 30)

    def forward(self, x: Tensor) -> Tensor:
        x = F.hardswish(self.stem(F.pad(x, (0, 1, 0, 1))))
        x = x + self.deep(x).relu()
        x = F.pad(self.valid(x), (2, 2, 1, 2))
        x = F.pad(self.next(x), (0, -1, -1, 1))
        return self.head(x.relu().mean((2, 3)))


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "residual": Residual,
    "plain": Plain,
    "coarse": Coarse,
    "uneven": Uneven,
}
TABLES = {
    "flat": Composite("flat", (Row(Flat(), position="first"), Row(ZPlus()))),
    "z-box": Composite("z-box", (Row(ZBox(), position="first"), Row(Epsilon()))),
    "epsilon": Composite("epsilon", (Row(Epsilon()),)),
}
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")
SIZES = [(30, 30), (24, 41), (37, 22)]


@cache
def traced(name: str, height: int, width: int, n: int = 1) -> Graph:
    torch.manual_seed(0)
    return trace(NETWORKS[name]().double(), torch.zeros(n, 3, height, width).double())


def mapped(name: str, size: tuple[int, int], table: str = "flat", n: int = 1, limit: int | None = None) -> RelevanceMap:
    x = image(n, 3, *size, dtype=torch.float64)
    return relevance_map(traced(name, *size, n), x, TABLES[table], memory_limit=limit)


def plainly(result: RelevanceMap, components: Components) -> Tensor:
    """A map for each component, all at once: (N, P, D)."""
    decomposition = components.on(result.x.shape)
    everyone = torch.arange(decomposition.count)
    t = decomposition.values(result.x, everyone)
    indicators = torch.zeros_like(t)
    if isinstance(decomposition, Partition):
        indicators = decomposition.indicators(result.x, everyone).expand_as(t)
    with torch.no_grad():
        return result._programs[0].apply(t, indicators).movedim(0, 1)


def as_planned(result: RelevanceMap, decomposition: Decomposition, memory: int) -> tuple[Plan, Tensor]:
    how = plan(result._programs[0], decomposition, memory)
    with torch.no_grad():
        return how, push(result._programs[0], decomposition, how).movedim(0, 1)


def same(ours: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-10 * float(expected.abs().max()))


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("patch", [2, 3, 5, 8])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", NETWORKS)
def test_shared_maps_change_nothing(name: str, size: tuple[int, int], patch: int, table: str) -> None:
    result, components = mapped(name, size, table), patches(patch)
    how, table_of_plan = as_planned(result, components.on(result.x.shape), 1 << 30)
    assert how.local
    assert any(tiling.maps < components.on(result.x.shape).count for tiling in how.layout.values())
    same(table_of_plan, plainly(result, components))


@pytest.mark.parametrize("memory", [1, 30_000, 300_000])
@pytest.mark.parametrize("name", NETWORKS)
def test_chunks_change_nothing(name: str, memory: int) -> None:
    result = mapped(name, (24, 41))
    for components in (patches(4), segments(torch.arange(24 * 41).view(24, 41) % 7), channels()):
        how, table = as_planned(result, components.on(result.x.shape), memory)
        assert how.chunk == 1 or memory > 1
        same(table, plainly(result, components))


@pytest.mark.parametrize("batch", [1, 4_000, 30_000])
@pytest.mark.parametrize("name", NETWORKS)
def test_batches_change_nothing(name: str, batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one map, and of more the deeper the layer."""
    result = mapped(name, (24, 41), n=2)
    monkeypatch.setattr(_program, "_BATCH", batch)
    for components in (patches(4), segments(torch.arange(24 * 41).view(24, 41) % 7)):
        how, table = as_planned(result, components.on(result.x.shape), 1 << 30)
        sizes = [section.batch for section in how.rest]
        assert sizes == sorted(sizes)
        same(table, plainly(result, components))


@pytest.mark.parametrize(
    ("table", "components"),
    [("flat", patches(5)), ("z-box", channels()), ("epsilon", frequency_bands(4)), ("epsilon", patch_bands(9, 2))],
    ids=["patches", "channels", "bands", "patch bands"],
)
def test_push_by_transposition_changes_nothing(table: str, components: Components) -> None:
    for n in (1, 2):
        result = mapped("residual", (30, 30), table, n)
        same(result._pulled(result._programs[0], components.on(result.x.shape)), plainly(result, components))


def test_public_push_takes_the_cheaper_way() -> None:
    """30 outputs: few patches go forward, many components backward, and both give the same table."""
    result = mapped("residual", (30, 30), "flat")
    few, many = patches(15), segments(torch.arange(900).view(30, 30))
    taken: list[str] = []
    original = result._pulled
    result._pulled = lambda program, decomposition: taken.append("backward") or original(program, decomposition)  # type: ignore[method-assign]
    same(result.push(few)[None], plainly(result, few))
    assert taken == []
    same(result.push(many)[None], plainly(result, many))
    assert taken == ["backward"]


@pytest.mark.parametrize("memory", [20_000, 1 << 30])
@pytest.mark.parametrize(
    ("table", "components"),
    [
        ("flat", patches(4)),
        ("flat", segments(torch.arange(900).view(30, 30) // 200)),
        ("flat", channels()),
        ("z-box", segments(torch.arange(900).view(30, 30) % 3)),
        ("epsilon", frequency_bands(3)),
        ("epsilon", patch_bands(10, 2)),
    ],
    ids=["patches", "segments", "channels", "z-box segments", "bands", "patch bands"],
)
def test_a_batch_gives_what_its_images_give(table: str, components: Components, memory: int) -> None:
    batch = mapped("residual", (30, 30), table, 3, memory)
    together, graph = batch.push(components), traced("residual", 30, 30)
    relevance = image(1, 1, *batch.output.shape, dtype=torch.float64)[0, 0]
    pulled = batch.pull(relevance)
    assert together.shape == (3, components.on(batch.x.shape).count, 30)
    for index in range(3):
        single = relevance_map(graph, batch.x[index : index + 1], TABLES[table])
        same(single.push(components), together[index])
        same(single.pull(relevance[index : index + 1])[0], pulled[index])


def test_named_composites_agree_on_shared_maps() -> None:
    for name in ("epsilon_plus_flat", "epsilon_gamma_box", "kauffmann2025"):
        x = image(1, 3, 30, 30, dtype=torch.float64)
        result = relevance_map(traced("residual", 30, 30), x, composite(name))
        same(as_planned(result, patches(3).on(x.shape), 1 << 30)[1], plainly(result, patches(3)))


def test_bfloat16_is_near(monkeypatch: pytest.MonkeyPatch) -> None:
    """And refused where the processor would imitate it."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    model = Residual()
    x = image(1, 3, 30, 30)
    for table in ("epsilon_plus_flat", "rescale"):
        exact, low = (relevance_map(model, x, table, precision=name).push(patches(5)) for name in PRECISIONS)
        assert low.dtype == exact.dtype
        # 8 bits a number: .4 % each, over ten layers of random signs
        assert 1e-4 < float((low - exact).norm() / exact.norm()) < 2e-2
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    with pytest.raises(InputError, match="no bfloat16"):
        relevance_map(model, x, precision="bfloat16")
    with pytest.raises(InputError, match="unknown precision 'float8'"):
        relevance_map(model, x, precision="float8")  # type: ignore[arg-type]
