"""Where patches are nearest to a memory bank: exact nearest neighbours in bounded memory, and the score of an image.

``|q - b|^2 = |q|^2 - 2 q.b + |b|^2`` is one matrix product for a block of the bank, and loses up to all digits where q
and b are near-duplicates. So the product only proposes candidates; their distances are computed again from ``q - b``.
Where rounding could have hidden a nearer neighbour from the candidates, the query is searched again in float64.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

SUPPORT = 9
"""Entries of the bank that weight the score (``b`` in equation 7 of arXiv:2106.08265, with anomalib's value)."""
_SPARE = 3  # candidates beyond the neighbours asked for
_QUERIES = 1024  # searched at once: their products with a block of the bank fit in as much memory as the block
_BLOCK_NUMBERS = 1 << 23  # of a block of the bank, and of its products: 32 MiB each in float32


class NearestNeighbours:
    """Exact Euclidean nearest neighbours in a bank (n, d), which is only read.

    A search takes about 0.2 GB beside the bank and its own results, however large the bank is.
    """

    def __init__(self, bank: Tensor) -> None:
        self.bank = bank
        # products of centred vectors round less; any centre gives the same distances
        self._centre = torch.zeros(bank.shape[1], dtype=torch.float64, device=bank.device)
        for block in bank.split(self._rows):
            self._centre += block.sum(0, dtype=torch.float64) / len(bank)

    @property
    def _rows(self) -> int:
        return max(1, _BLOCK_NUMBERS // max(self.bank.shape[1], _QUERIES))

    def search(self, queries: Tensor, k: int = 1) -> tuple[Tensor, Tensor]:
        """The ``k`` nearest rows of the bank for each of ``queries`` (m, d).

        Returns:
            distances (m, k), rising, in the type of the bank, and rows (m, k); of rows equally far the lower one first.
            ``k`` is at most n.
        """
        distances, rows = zip(*(self._search(chunk, k) for chunk in queries.split(_QUERIES)), strict=True)
        return torch.cat(distances), torch.cat(rows)

    def _search(self, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
        proposed, squared = self._propose(queries, k + _SPARE, self.bank.dtype)
        distances, rows = self._exact(queries, proposed, k)
        if proposed.shape[1] == len(self.bank) or self.bank.dtype == torch.float64:
            return distances, rows
        unsure = self._may_hide(queries, distances[:, -1], squared[:, -1])
        if bool(unsure.any()):
            again, _ = self._propose(queries[unsure], k + _SPARE, torch.float64)
            distances[unsure], rows[unsure] = self._exact(queries[unsure], again, k)
        return distances, rows

    def _propose(self, queries: Tensor, count: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """The ``count`` rows that look nearest in the arithmetic of ``dtype``, and their squared distances, rising."""
        centre = self._centre.to(dtype)
        centred = queries.to(dtype) - centre
        rows = torch.empty(len(queries), 0, dtype=torch.long, device=queries.device)
        squared = torch.empty(len(queries), 0, dtype=dtype, device=queries.device)
        start = 0
        for block in self.bank.split(self._rows):
            entries = block.to(dtype) - centre
            # |q|^2 is the same for all rows: it is added at the end
            values, indices = _smallest(torch.addmm(entries.square().sum(1), centred, entries.T, alpha=-2), count)
            squared, best = _smallest(torch.cat([squared, values], 1), count)
            rows = torch.cat([rows, indices + start], 1).gather(1, best)
            start += len(block)
        return rows, squared + centred.square().sum(1, keepdim=True)

    def _exact(self, queries: Tensor, rows: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """The nearest ``k`` of the proposed rows, from differences."""
        rows = rows.sort(1).values  # so that the lower of two equal rows comes first
        columns = [
            torch.linalg.vector_norm(queries - self.bank[rows[:, j]], dim=1, dtype=torch.float64)
            for j in range(rows.shape[1])
        ]
        distances, order = torch.stack(columns, 1).sort(dim=1, stable=True)
        return distances[:, :k].to(self.bank.dtype), rows.gather(1, order[:, :k])

    def _may_hide(self, queries: Tensor, distance: Tensor, farthest: Tensor) -> Tensor:
        """Whether a row that was not proposed may be nearer than ``distance``.

        It looked no nearer than ``farthest``, and a product of d terms errs by about ``sqrt(d) eps |q| |b|`` (Higham &
        Mary 2019, 10.1137/18M1226312); a row that is nearer has a norm of at most ``|q| + distance``.
        """
        norm = (queries - self._centre.to(queries)).norm(dim=1)
        # 4: a margin above what is expected
        error = 4 * math.sqrt(queries.shape[1]) * torch.finfo(queries.dtype).eps * (norm + distance).square()
        return farthest - error < distance.square()


def _smallest(values: Tensor, count: int) -> tuple[Tensor, Tensor]:
    result = values.topk(min(count, values.shape[1]), dim=1, largest=False)
    return result.values, result.indices


@dataclass(frozen=True)
class Matches:
    """Where n images are compared with a bank.

    Attributes:
        distances: (n, p), of each patch to its nearest entry.
        patch: (n,), the patch of the largest distance; the first of equal ones.
        prototype: (n,), its nearest entry in the bank.
        score: (n,).
    """

    distances: Tensor
    patch: Tensor
    prototype: Tensor
    score: Tensor

    @property
    def distance(self) -> Tensor:
        """(n,), of the patch to its prototype."""
        return self.distances.amax(1)

    @classmethod
    def concatenated(cls, batches: Sequence[Matches]) -> Matches:
        """All images of some batches, on the CPU."""
        names = [field.name for field in fields(cls)]
        return cls(*(torch.cat([getattr(batch, name) for batch in batches]).cpu() for name in names))


def match(descriptors: Tensor, bank: NearestNeighbours, *, weighted: bool) -> Matches:
    """Compares patches (n, p, D) with a bank; ``weighted`` applies equation 7."""
    n, patches, _ = descriptors.shape
    distances, entries = (result.view(n, patches) for result in bank.search(descriptors.flatten(0, 1)))
    score, patch = distances.max(1)
    images = torch.arange(n, device=patch.device)
    prototype = entries[images, patch]
    if weighted:
        score = score * _weight(descriptors[images, patch], prototype, bank)
    return Matches(distances, patch, prototype, score)


def _weight(descriptor: Tensor, prototype: Tensor, bank: NearestNeighbours) -> Tensor:
    """``1 - exp d(e, m*) / sum_m exp d(e, m)`` over the entries m around the prototype m*, itself included: (n,)."""
    _, support = bank.search(bank.bank[prototype], min(SUPPORT, len(bank.bank)))
    distances = (descriptor[:, None] - bank.bank[support]).norm(dim=2)
    return 1 - distances.softmax(1)[:, 0]
