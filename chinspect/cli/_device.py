"""Where to compute."""

from __future__ import annotations


def resolve_device(name: str) -> str:
    """``auto`` is the first of cuda, mps and cpu that is there; other names stay as they are."""
    import torch

    if name != "auto":
        return name
    return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
