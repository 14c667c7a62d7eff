"""Digests: what tells data, models and settings from others, as one sha256.

Every digest of the package is made here, so that equal things are equal everywhere. A digest that lies in a file of an
earlier version stays valid: parts are hashed one behind the other, with nothing in between.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor


def digest(*parts: str | bytes | NDArray[Any]) -> str:
    """64 hexadecimal digits of the sha256 over texts, bytes and arrays, in their order.

    A text counts by its UTF-8 (names of files that are no UTF-8 by their bytes), an array by its values in C order: its
    type and shape count only where they are a part of their own.
    """
    state = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            state.update(part.encode("utf-8", "surrogateescape"))
        else:
            state.update(np.ascontiguousarray(part).data if isinstance(part, np.ndarray) else part)
    return state.hexdigest()


def digest_of_json(value: Mapping[str, Any] | Sequence[Any]) -> str:
    """64 hexadecimal digits over JSON values, whatever the order of their keys.

    Raises `ValueError` for numbers that are not finite, and `TypeError` for what is no JSON.
    """
    return digest(json.dumps(value, sort_keys=True, allow_nan=False))


def digest_of_file(path: str | Path) -> str:
    """64 hexadecimal digits over the content of a file. Raises `OSError` if it cannot be read."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def tensor_bytes(tensor: Tensor) -> NDArray[np.uint8]:
    """The bytes of a tensor of any type and device, as an array that `digest` takes; NumPy knows no bfloat16."""
    import torch  # slow to import, and not needed for what has no tensors

    values: NDArray[np.uint8] = tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
    return values
