"""Distances ``||x - u||_p^p`` between images and a bank of them, for p = 1, 2, 4: fast, and right on near-duplicates.

p = 2 and p = 4 expand into matrix products around the mean of the bank,

    ||x - u||^2   = |x|^2 - 2 x u + |u|^2
    ||x - u||_4^4 = |x^4| - 4 x^3 u + 6 x^2 u^2 - 4 x u^3 + |u^4|

in float32. Where the terms cancel, the pair is computed again from its difference, so that results are right to about
1e-5 in any case. p = 1 has no such form. Images of 8 bits are held and compared as integers for p = 1 and 2: no
rounding at all, a quarter of the memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch
from torch import Tensor

CANCELLING = 4.0
"""A distance that is smaller than its terms by more than this factor is computed directly."""
_LEVEL = 127.5
_TOLERANCE = 1e-3  # of a grey level: the rounding of float32 arithmetic, never a filter
_BLOCK = 1 << 22  # entries of a bank's block in float32: 16 MB
_COLUMNS = 1 << 16  # products of 8-bit numbers that a 32-bit sum surely holds


@dataclass(frozen=True, eq=False)
class Bank:
    """Images as rows (N, D): int8, grey levels minus 128, where all are such, or float32 in [-1, 1]."""

    rows: Tensor

    @classmethod
    def of(cls, x: Tensor) -> Bank:
        """A bank of images (N, ...) in [-1, 1]."""
        flat = x.reshape(len(x), -1)
        levels = as_levels(flat)
        return cls(flat if levels is None else levels)

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def centre(self) -> Tensor:
        """The mean image (D,)."""
        total = torch.zeros(self.rows.shape[1], dtype=torch.float64)
        for _, block in self.blocks():
            total += block.sum(0)
        return (total / len(self)).float()

    @cached_property
    def squares(self) -> Tensor:
        """Sums of squares (N,) of the 8-bit rows, int64."""
        return _squares(self.rows)

    @cached_property
    def central_squares(self) -> Tensor:
        """``||u - centre||_2^2`` (N,), float64."""
        return self._sizes(2)

    @cached_property
    def central_fourth_powers(self) -> Tensor:
        """``||u - centre||_4^4`` (N,), float64."""
        return self._sizes(4)

    def _sizes(self, p: int) -> Tensor:
        sizes = torch.empty(len(self), dtype=torch.float64)  # small results beside blocks would pin their memory
        for rows, block in self.blocks():
            centred = block - self.centre
            sizes[rows] = _size(centred.square_() if p == 4 else centred)
        return sizes

    def take(self, index: Tensor | slice) -> Tensor:
        """Some rows in [-1, 1], float32."""
        return from_levels(self.rows[index])

    def blocks(self) -> Iterator[tuple[slice, Tensor]]:
        """The rows in [-1, 1], float32, some at a time."""
        step = max(1, _BLOCK // self.rows.shape[1])
        for start in range(0, len(self), step):
            rows = slice(start, min(start + step, len(self)))
            yield rows, self.take(rows)


def as_levels(x: Tensor) -> Tensor | None:
    """Grey levels ``127.5 (x + 1)`` minus 128 as int8, or None where some value is not one; x (n, D)."""
    if x.dtype == torch.int8:
        return x
    levels = torch.empty(x.shape, dtype=torch.int8)
    scaled, rounded = torch.empty(2, x.shape[1])
    for row, out in zip(x, levels, strict=True):  # one image stays in the cache
        torch.mul(row, _LEVEL, out=scaled).sub_(0.5)
        out.copy_(torch.round(scaled, out=rounded))
        low, high = torch.aminmax(scaled.sub_(rounded))
        if max(float(high), -float(low)) > _TOLERANCE:
            return None
    return levels


def from_levels(rows: Tensor) -> Tensor:
    """The inverse of `as_levels`, as `chinspect.images.to_input` rounds it; float32 stays as it is."""
    return rows.float().add_(128).div_(_LEVEL).sub_(1) if rows.dtype == torch.int8 else rows


def powered_distances(x: Tensor, bank: Bank, p: int) -> Tensor:
    """``||x_i - u_j||_p^p`` (n, N) in float64 for rows ``x`` (n, D), int8 levels or float32 in [-1, 1]; p is 1, 2, 4.

    Memory beyond the result is a few blocks of 16 MB and some copies of ``x``, whatever the size of the bank.
    """
    levels = as_levels(x) if bank.rows.dtype == torch.int8 else None
    if p == 1:
        return _absolute(levels, bank.rows) / _LEVEL if levels is not None else _absolute_of_floats(x, bank)
    if p == 2 and levels is not None and integer_products_are_exact():
        return _squared_of_levels(levels, bank).double() / _LEVEL**2
    x = from_levels(x)
    powers = _powers(x - bank.centre, p)
    sizes = _size(powers[p // 4])[:, None] + (bank.central_squares if p == 2 else bank.central_fourth_powers)
    distances = torch.empty(len(x), len(bank), dtype=torch.float64)
    buffer = torch.empty(_BLOCK + x.shape[1])
    for rows, block in bank.blocks():
        centred = torch.sub(block, bank.centre, out=buffer[: block.numel()].view_as(block))
        expanded = sizes[:, rows] + _mixed_terms(powers, _powers(centred, p))
        for i, j in (sizes[:, rows] > CANCELLING * expanded).nonzero():
            expanded[i, j] = direct_distance(x[i], block[j], p)
        distances[:, rows] = expanded
    return distances


def direct_distance(x: Tensor, u: Tensor, p: int) -> Tensor:
    """``||x - u||_p^p`` over the last axis, for p = 2 or 4, from the difference."""
    square = (x - u).square_()
    return (square.square_() if p == 4 else square).sum(-1)


def _powers(x: Tensor, p: int) -> list[Tensor]:
    """``x`` to the powers from 1 to ``p - 1``, as the expansion needs them."""
    square = x * x if p == 4 else x
    return [x, square, square * x] if p == 4 else [x]


def _mixed_terms(x: list[Tensor], u: list[Tensor]) -> Tensor:
    """The terms (n, k) of the expansion with both sides in them, from their powers; float64."""
    if len(x) == 1:
        return -2 * (x[0] @ u[0].T).double()
    return 6 * (x[1] @ u[1].T).double() - 4 * ((x[2] @ u[0].T).double() + (x[0] @ u[2].T).double())


def _size(x: Tensor) -> Tensor:
    """Sums of squares (n,) of rows, float64."""
    return x.square().sum(1).double()  # summed pairwise, unlike in vector_norm


def _squared_of_levels(x: Tensor, bank: Bank) -> Tensor:
    """Sums of squared differences of levels, exact, int64."""
    return _squares(x)[:, None] + bank.squares - 2 * _integer_products(x, bank.rows)


def _squares(x: Tensor) -> Tensor:
    return torch.stack([torch.dot(row, row) for row in (row.double() for row in x)]).long()


def _integer_products(x: Tensor, u: Tensor) -> Tensor:
    total = torch.zeros(len(x), len(u), dtype=torch.int64)
    for start in range(0, x.shape[1], _COLUMNS):
        columns = slice(start, start + _COLUMNS)
        total += torch._int_mm(x[:, columns], u[:, columns].T)
    return total


@lru_cache(maxsize=1)
def integer_products_are_exact() -> bool:
    """Whether 8-bit products are summed in 32 bits here: some processors saturate at 16, some builds have no kernel."""
    x = torch.full((17, 64), -128, dtype=torch.int8)
    x[::2, ::3] = 127
    try:
        return bool((torch._int_mm(x, x.T) == x.long() @ x.long().T).all())
    except (RuntimeError, AttributeError):
        return False


def _absolute(x: Tensor, rows: Tensor) -> Tensor:
    """Sums of absolute differences (n, k) in float64; both sides int8 or both float32."""
    from cv2 import NORM_L1, norm

    entries = rows.numpy()
    distances = [[norm(a, b, NORM_L1) for b in entries] for a in x.numpy()]
    return torch.tensor(distances, dtype=torch.float64)


def _absolute_of_floats(x: Tensor, bank: Bank) -> Tensor:
    x = from_levels(x)
    distances = torch.empty(len(x), len(bank), dtype=torch.float64)
    for rows, block in bank.blocks():
        distances[:, rows] = _absolute(x, block)
    return distances
