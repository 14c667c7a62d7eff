"""Nearest neighbours against brute force, near-duplicates included, and the memory that they take."""

from __future__ import annotations

import threading

import psutil
import pytest
import torch

from chinspect.anomaly import _neighbours
from chinspect.anomaly._neighbours import NearestNeighbours


def brute_force(queries: torch.Tensor, bank: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    distances = torch.stack([(bank.double() - q.double()).square().sum(1).sqrt() for q in queries])
    values, rows = distances.sort(dim=1, stable=True)
    return values[:, :k], rows[:, :k]


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("k", [1, 9])
@pytest.mark.parametrize("numbers", [1 << 23, 1 << 15])
def test_against_brute_force(monkeypatch, k, numbers):
    monkeypatch.setattr(_neighbours, "_BLOCK_NUMBERS", numbers)  # one block, and many
    monkeypatch.setattr(_neighbours, "_QUERIES", 64)
    bank, queries = normal(700, 48).relu() + 3, normal(150, 48, seed=1).relu() + 3
    distances, rows = NearestNeighbours(bank).search(queries, k)
    expected, places = brute_force(queries, bank, k)
    assert torch.equal(rows, places)
    torch.testing.assert_close(distances, expected.float(), rtol=1e-6, atol=0)


def test_near_duplicates_far_from_the_origin():
    """A hundred rows within 1e-3 of each other at norm 600: products in float32 cannot tell them apart."""
    cluster = 100 + 1e-3 * normal(100, 40)
    bank = torch.cat([100 * normal(300, 40, seed=1), cluster])
    queries = cluster[:50] + 1e-4 * normal(50, 40, seed=2)
    distances, rows = NearestNeighbours(bank).search(queries, 2)
    expected, places = brute_force(queries, bank, 2)
    assert torch.equal(rows, places)
    torch.testing.assert_close(distances, expected.float(), rtol=1e-6, atol=0)


def test_rows_of_the_bank_are_at_distance_zero():
    bank = 50 + normal(500, 64)
    distances, rows = NearestNeighbours(bank).search(bank)
    assert torch.equal(distances, torch.zeros(500, 1))
    assert torch.equal(rows[:, 0], torch.arange(500))


def test_of_equal_rows_the_lowest_comes_first():
    bank = normal(3, 8).repeat(2, 1)
    _, rows = NearestNeighbours(bank).search(bank[3:], 2)
    assert rows.tolist() == [[0, 3], [1, 4], [2, 5]]


def test_a_bank_smaller_than_the_candidates():
    bank, queries = normal(2, 8), normal(5, 8, seed=1)
    distances, rows = NearestNeighbours(bank).search(queries, 2)
    expected, places = brute_force(queries, bank, 2)
    assert torch.equal(rows, places)
    torch.testing.assert_close(distances, expected.float())


def test_double_precision_stays_double():
    bank, queries = normal(40, 8).double(), normal(6, 8, seed=1).double()
    distances, _ = NearestNeighbours(bank).search(queries)
    assert distances.dtype == torch.float64
    torch.testing.assert_close(distances, brute_force(queries, bank, 1)[0])


def test_results_do_not_depend_on_the_batch():
    bank, queries = normal(300, 32), normal(40, 32, seed=1)
    search = NearestNeighbours(bank).search
    alone = [search(query[None], 3) for query in queries]
    together = search(queries, 3)
    assert torch.equal(together[0], torch.cat([distances for distances, _ in alone]))
    assert torch.equal(together[1], torch.cat([rows for _, rows in alone]))


class PeakMemory:
    """The growth of this process's memory inside the context, sampled, in bytes."""

    def __enter__(self) -> PeakMemory:
        self.process, self.done = psutil.Process(), threading.Event()
        self.before = self.peak = self.process.memory_info().rss
        self.thread = threading.Thread(target=self.sample)
        self.thread.start()
        return self

    def sample(self) -> None:
        while not self.done.wait(0.002):
            self.peak = max(self.peak, self.process.memory_info().rss)

    def __exit__(self, *error: object) -> None:
        self.done.set()
        self.thread.join()
        self.growth = self.peak - self.before


def test_memory_is_bounded():
    """For a bank of 100 MB, whose distances alone would be 410 MB."""
    bank, queries = torch.rand(100_000, 256), torch.rand(1024, 256)
    with PeakMemory() as memory:
        NearestNeighbours(bank).search(queries)
    assert memory.growth < 250e6
