"""The adaptive grid: exact sums at every level, detail where relevance lies, and a cost that is kept."""

from __future__ import annotations

import pytest
import torch
from _networks import image
from torch import Tensor, nn

from chinspect.errors import InputError
from chinspect.relevance import Graph, RelevanceMap, adaptive_push, patches, relevance_map, segments, trace

pytestmark = pytest.mark.filterwarnings("ignore::chinspect.relevance.RelevanceWarning")
SIZE = (70, 90)  # no multiple of a patch: cut patches have fewer quarters


@pytest.fixture(scope="module")
def graph() -> Graph:
    torch.manual_seed(0)
    # most of the work is after the pool, where each patch has a map of its own
    layers = [nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d((12, 14)), nn.Flatten()]
    model = nn.Sequential(*layers, nn.Linear(4 * 12 * 14, 2000)).double()
    return trace(model, torch.zeros(1, 3, *SIZE).double())


def mapped(graph: Graph, composite: str = "epsilon", x: Tensor | None = None) -> RelevanceMap:
    return relevance_map(graph, image(1, 3, *SIZE, dtype=torch.float64) if x is None else x, composite)


@pytest.mark.parametrize("composite", ["epsilon_plus_flat", "epsilon", "rescale"])
def test_quarters_sum_to_their_patch(graph: Graph, composite: str) -> None:
    result = mapped(graph, composite)
    adaptive = adaptive_push(result, coarse=32, fine=4, budget=3)
    parents = result.push(patches(32))
    scale = float(parents.abs().max())
    grid = patches(32).on(SIZE).labels  # type: ignore[attr-defined]
    sums = torch.zeros_like(parents)
    for number, row in enumerate(adaptive.table):
        (parent,) = grid[adaptive.labels == number].unique()
        sums[parent] += row
    torch.testing.assert_close(sums, parents, rtol=0, atol=1e-12 * scale)
    assert set(adaptive.sides.tolist()) == {4, 8, 16, 32}
    # and each row is the push of the pixels that it stands for
    torch.testing.assert_close(result.push(segments(adaptive.labels)), adaptive.table, rtol=0, atol=1e-9 * scale)


def test_every_pixel_belongs_to_a_patch_of_its_side(graph: Graph) -> None:
    adaptive = adaptive_push(mapped(graph), coarse=16, fine=4, budget=3)
    counts = adaptive.labels.flatten().bincount()
    assert len(counts) == len(adaptive.table) == len(adaptive.sides)
    assert bool((counts >= 1).all())
    assert bool((counts <= adaptive.sides**2).all())
    assert bool((adaptive.labels >= 0).all())


@pytest.mark.parametrize("budget", [1.0, 1.2, 1.5, 3.0])
def test_the_budget_is_kept(graph: Graph, budget: float) -> None:
    result = mapped(graph)
    adaptive = adaptive_push(result, coarse=32, fine=8, budget=budget)
    assert 1 <= adaptive.cost <= budget
    if budget == 1.0:
        torch.testing.assert_close(adaptive.table, result.push(patches(32))[_order(adaptive.labels, 32)])


def _order(labels: Tensor, side: int) -> Tensor:
    """The patch of the grid for each row."""
    grid = patches(side).on(labels.shape).labels  # type: ignore[attr-defined]
    return torch.stack([grid[labels == number][0] for number in range(int(labels.max()) + 1)])


def test_detail_lies_where_the_direction_points(graph: Graph) -> None:
    x = image(1, 3, *SIZE, dtype=torch.float64) * 1e-3
    x[..., 40:52, 8:20] = image(1, 3, 12, 12, dtype=torch.float64)
    result = mapped(graph, "epsilon", x)
    for direction in (None, result.output[0]):
        adaptive = adaptive_push(result, direction, coarse=32, fine=8, budget=3)
        assert int(adaptive.sides[adaptive.labels[44, 12]]) == 8
        assert int(adaptive.sides[adaptive.labels[4, 80]]) == 32


def test_what_cannot_be_divided_is_refused(graph: Graph) -> None:
    for coarse, fine in ((32, 12), (8, 16), (16, 0)):
        with pytest.raises(InputError, match="halve"):
            adaptive_push(mapped(graph), coarse=coarse, fine=fine)


def test_macs_and_seconds_of_a_push(graph: Graph) -> None:
    result = mapped(graph)
    few = result.macs(patches(16), torch.arange(4))
    assert 0 < few < result.macs(patches(16)) < result.macs(patches(4))
    assert 0 < result.seconds(patches(16)) < result.seconds(patches(2))


def test_members_are_rows_of_the_table(graph: Graph) -> None:
    result = mapped(graph, "epsilon_plus_flat")
    table = result.push(patches(8))
    for members in ([3], [70, 2, 14, 15], list(range(40, 75))):
        torch.testing.assert_close(
            result.push(patches(8), torch.tensor(members)), table[members], rtol=1e-9, atol=1e-12
        )
