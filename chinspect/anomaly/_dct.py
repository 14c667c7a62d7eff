"""Frequency bands of many images: separable, and only those rows and columns of the DCT that a band can see.

Coefficient (u, v) of the orthonormal DCT-II has order ``u + v``; band b holds the orders from ``edges[b - 1]`` to below
``edges[b]``. All bands but the last lie within ``edges[-1]`` rows and columns, 19 of 224 with the paper's edges, which
makes projecting an image ten times cheaper than a whole transform. The last band is what remains.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from chinspect.relevance.components import dct_matrix


def lower_bands(x: Tensor, edges: Sequence[int]) -> Tensor:
    """All bands but the last of images (..., H, W): (len(edges), ..., H, W)."""
    if not edges:
        return x.new_empty(0, *x.shape)
    rows, columns = (dct_matrix(size)[: edges[-1]].to(x) for size in x.shape[-2:])
    coefficients = rows @ (x @ columns.T)
    starts = [0, *edges]
    order = _orders(coefficients.shape[-2:])
    kept = ((order >= low) & (order < high) for low, high in zip(starts, edges, strict=False))
    return torch.stack([(rows.T @ (coefficients * mask)) @ columns for mask in kept])


def inner_by_band(x: Tensor, y: Tensor, edges: Sequence[int]) -> Tensor:
    """Inner products ``<P_b x, y>`` of images (n, C, H, W) for each band b: (n, len(edges) + 1), float64."""
    rows, columns = (dct_matrix(size).to(x) for size in x.shape[-2:])
    products = (rows @ (x @ columns.T)) * (rows @ (y @ columns.T))
    band = torch.bucketize(_orders(x.shape[-2:]), torch.tensor(list(edges)), right=True).reshape(-1)
    sums = torch.zeros(len(x), len(edges) + 1, dtype=torch.float64)
    return sums.index_add_(1, band, products.sum(1, dtype=torch.float64).flatten(1))


def _orders(shape: Sequence[int]) -> Tensor:
    return torch.arange(shape[0])[:, None] + torch.arange(shape[1])
