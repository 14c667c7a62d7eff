"""Greedy k-centre coresets: a few patches such that every patch is close to one of them.

The greedy rule (Gonzalez 1985; Sener & Savarese 2018; PatchCore, Roth et al. 2022, algorithm 1) takes, again and again,
the point farthest from all points taken so far. Two things are done differently here, with the same result:

* **Integers.** Features are rounded, projected with random signs and rounded again to 128 integers in [-127, 127]. All
  sums stay below 2^24, where float32 counts exactly, in any order: the same features give the same coreset on any
  machine.
* **Speculation.** The next point is nearly always among those that are farthest now. So the L farthest are compared
  with each other, and taken in greedy order as long as the best of them still beats all others as they stood; then one
  matrix product updates the distances of all points. Distances only fall, so the sequence is that of the plain loop.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

DIMENSIONS = 128
LEVELS = 127
_EXACT = 1 << 24  # float32 holds all integers up to here
_CANDIDATES = 512  # compared with each other in a round: their table of distances stays small
_ROWS = 1024  # points whose distances are updated together: their products stay in the cache

Indices = NDArray[np.int64]


def integer_grid(features: Tensor, generator: np.random.Generator) -> Tensor:
    """Random projection of ``features`` (n, d), d below 2^20, to (n, 128) integers in [-127, 127], held as float32.

    A projection with random signs keeps distances up to a factor near 1 (Achlioptas 2003,
    10.1016/S0022-0000(03)00025-4); one scale for all dimensions leaves their ratios alone.
    """
    dimension = features.shape[1]
    signs = torch.from_numpy(generator.integers(0, 2, (dimension, DIMENSIONS)) * 2 - 1).to(features)
    levels = (_EXACT - 1) // dimension
    blocks = features.split(_ROWS)  # one after the other, as features may be larger than the memory
    largest = torch.stack([block.abs().amax() for block in blocks]).amax().clamp(min=torch.finfo(features.dtype).tiny)
    projected = features.new_empty(len(features), DIMENSIONS)
    for part, block in zip(projected.split(_ROWS), blocks, strict=True):
        torch.mm((block / largest * levels).round_(), signs, out=part)
    low = projected.amin(0)
    high = projected.amax(0)
    middle = torch.floor((low + high) / 2)
    half = (high - middle).amax().clamp(min=1)
    return projected.sub_(middle).div_(half).mul_(LEVELS).round_().clamp_(-LEVELS, LEVELS).float()


def greedy_coreset(points: Tensor, count: int, *, first: int) -> Tensor:
    """Indices of the points in the coreset, in the order in which they are taken.

    Args:
        points: (n, 128) of `integer_grid`.
        count: how many to take, 1 to n.
        first: the point to begin with. Later, of points equally far, the one with the lowest index is taken.

    Returns:
        (count,) indices, or fewer, where those taken cover all points at distance 0 on the grid.
    """
    taken = [torch.tensor([first], device=points.device)]
    missing = count - 1
    norms = points.square().sum(1)
    distances = torch.full_like(norms, torch.inf)
    _lower(distances, points, norms, taken[0])
    while missing > 0:
        candidates, rival = _farthest(distances, _CANDIDATES)
        accepted = _accept(points[candidates], distances[candidates], candidates.cpu().numpy(), rival)[:missing]
        if len(accepted) == 0:
            break
        taken.append(torch.from_numpy(accepted).to(points.device))
        _lower(distances, points, norms, taken[-1])
        missing -= len(accepted)
    return torch.cat(taken)


def _farthest(distances: Tensor, many: int) -> tuple[Tensor, tuple[float, int]]:
    """The indices of the farthest points, rising, and the key ``(distance, -index)`` of the best of the others."""
    if len(distances) <= many:
        return torch.arange(len(distances), device=distances.device), (-1.0, 0)
    # one integer orders by distance, then by lower index
    keys = distances.long() * len(distances) - torch.arange(len(distances), device=distances.device)
    best = keys.topk(many + 1).indices
    rival = int(best[-1])
    return best[:-1].sort().values, (float(distances[rival]), -rival)


def _accept(points: Tensor, distances: Tensor, indices: Indices, rival: tuple[float, int]) -> Indices:
    """The candidates that are taken, in greedy order, before one of the others may come first."""
    between = squared_distances(points, points).cpu().numpy()
    left = distances.cpu().numpy()
    accepted: list[np.int64] = []
    while True:
        best = int(left.argmax())
        if left[best] == 0 or (left[best], -indices[best]) < rival:
            return np.array(accepted, dtype=np.int64)
        accepted.append(indices[best])
        np.minimum(left, between[best], out=left)


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """Squared distances (n, m) between integer points; every number on the way is an integer below 2^24."""
    return torch.addmm(a.square().sum(1, keepdim=True) + b.square().sum(1), a, b.T, alpha=-2)


def _lower(distances: Tensor, points: Tensor, norms: Tensor, taken: Tensor) -> None:
    """Lowers the squared distances (n,) of ``points``, of squared ``norms``, to the nearest of those taken."""
    transposed = (-2 * points[taken]).T.contiguous()
    shift = norms[taken]
    for lowest, block, norm in zip(distances.split(_ROWS), points.split(_ROWS), norms.split(_ROWS), strict=True):
        torch.minimum(lowest, (block @ transposed).add_(shift).amin(1).add_(norm), out=lowest)
