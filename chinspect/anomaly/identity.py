"""What decides a detector's scores, as one hash: results of another detector are not taken for its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from chinspect.digests import digest, tensor_bytes
from chinspect.encoders import Encoder

_PLAIN = (bool, int, float, str, tuple, type(None))


def fingerprint(kind: str, values: Mapping[str, Any]) -> str:
    """64 hexadecimal digits of a sha256 over a name and named values, whatever their order.

    Tensors count by type, shape and values, encoders by their own fingerprint, modules by their structure, tensors and
    plain attributes, and everything else by its ``repr``.
    """
    return digest(kind, *(f"\n{name}={_identity(values[name])}" for name in sorted(values)))


def _identity(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"{value.dtype} {tuple(value.shape)} {digest(tensor_bytes(value))}"
    if isinstance(value, Encoder):
        return value.fingerprint
    if isinstance(value, nn.Module):
        return fingerprint(repr(value), {**value.state_dict(), **_attributes(value)})
    return repr(value)


def _attributes(module: nn.Module) -> dict[str, Any]:
    """Plain attributes of a module and those within: what ``repr`` and tensors may not tell."""
    return {
        f"{path}:{name}": value
        for path, inner in module.named_modules()
        for name, value in vars(inner).items()
        if isinstance(value, _PLAIN)
    }
