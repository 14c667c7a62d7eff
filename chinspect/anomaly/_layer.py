"""A linear layer in front of distances: what it does to images, and its transpose."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from chinspect.errors import InputError

_BATCH = 32


@dataclass(frozen=True, eq=False)
class LinearLayer:
    """``B``: a module that maps batches (N, *shape) linearly and each image on its own; None is the identity."""

    module: nn.Module | None
    shape: tuple[int, ...]

    def __call__(self, x: Tensor) -> Tensor:
        """``B x`` for images (N, *shape)."""
        if self.module is None:
            return x
        with torch.no_grad():
            return torch.cat([self.module(part) for part in x.split(_BATCH)])

    def transpose(self, y: Tensor) -> Tensor:
        """``B^T y`` for outputs of the layer: (N, *shape)."""
        return y if self.module is None else torch.cat([self._pulled(part) for part in y.split(_BATCH)])

    def check(self, x: Tensor) -> None:
        """`InputError` unless the layer maps ``x`` (N, *shape) linearly, at least on these images."""
        try:
            parts = self(torch.cat([x[:1], x[1:2], 2 * x[:1] - 3 * x[1:2], torch.zeros_like(x[:1])]))
        except RuntimeError as error:
            raise InputError(f"the layer {self.module} cannot read images {self.shape}: {error}") from error
        if parts.ndim < 2 or not torch.isfinite(parts).all():
            raise InputError(f"the layer {self.module} gives no batch of finite numbers: use a linear one.")
        excess = (parts[2] - 2 * parts[0] + 3 * parts[1]).abs().max() + parts[3].abs().max()
        if excess > 1e-3 * (1 + parts.abs().max()):
            raise InputError(f"the layer {self.module} is not linear (it is off by {float(excess):.3g}): use a filter.")

    def _pulled(self, y: Tensor) -> Tensor:
        assert self.module is not None
        with torch.enable_grad():
            anywhere = y.new_zeros(len(y), *self.shape).requires_grad_()  # a linear map has one derivative
            return torch.autograd.grad(self.module(anywhere), anywhere, y)[0]
