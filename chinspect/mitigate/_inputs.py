"""Images as a detector reads them: a batch as it is, or files through a resizer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from chinspect.images import list_images
from chinspect.images.resizers import load_inputs


def as_batch(X: Any, resizer: str, size: int) -> Tensor:
    """A folder, paths, or a batch (N, C, H, W), as a float32 batch."""
    if isinstance(X, str | Path):
        X = list_images(X) if Path(X).is_dir() else [X]
    if isinstance(X, Sequence) and X and all(isinstance(item, str | Path) for item in X):
        return load_inputs(X, resizer, size)
    return torch.as_tensor(X, dtype=torch.float32)
