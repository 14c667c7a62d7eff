"""What decides a detector's scores, as one hash: results of another detector are not taken for its own."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from chinspect.encoders import Encoder

_PLAIN = (bool, int, float, str, tuple, type(None))


def fingerprint(kind: str, parts: Mapping[str, Any]) -> str:
    """64 hexadecimal digits of a sha256 over a name and named parts, whatever their order.

    Tensors count by type, shape and values, encoders by their own fingerprint, modules by their structure, tensors and
    plain attributes, and everything else by its ``repr``.
    """
    digest = hashlib.sha256(kind.encode())
    for name in sorted(parts):
        digest.update(f"\n{name}=".encode())
        digest.update(_identity(parts[name]))
    return digest.hexdigest()


def _identity(part: Any) -> bytes:
    if isinstance(part, Tensor):
        values = part.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
        return f"{part.dtype} {tuple(part.shape)} {hashlib.sha256(values.data).hexdigest()}".encode()
    if isinstance(part, Encoder):
        return part.fingerprint.encode()
    if isinstance(part, nn.Module):
        return fingerprint(repr(part), {**part.state_dict(), **_attributes(part)}).encode()
    return repr(part).encode()


def _attributes(module: nn.Module) -> dict[str, Any]:
    """Plain attributes of a module and those within: what ``repr`` and tensors may not tell."""
    return {
        f"{path}:{name}": value
        for path, inner in module.named_modules()
        for name, value in vars(inner).items()
        if isinstance(value, _PLAIN)
    }
