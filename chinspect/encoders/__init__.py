"""Encoders: image batches to embeddings, with the preprocessing and the card that belong to them.

from chinspect.encoders import load_encoder
encoder = load_encoder("tiny-clip")
embeddings = encoder.embed(["a.png", "b.png"])  # (2, D)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chinspect.encoders.cards import Card, read_card
from chinspect.encoders.zoo import ModelInfo, list_models

if TYPE_CHECKING:
    from chinspect.encoders.encoder import Encoder
    from chinspect.encoders.load import load_encoder

__all__ = ["Card", "Encoder", "ModelInfo", "list_models", "load_encoder", "read_card"]


def __getattr__(name: str) -> Any:
    """Import what needs torch when it is first asked for: listing models takes milliseconds, torch takes seconds."""
    if name == "Encoder":
        from chinspect.encoders.encoder import Encoder

        return Encoder
    if name == "load_encoder":
        from chinspect.encoders.load import load_encoder

        return load_encoder
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
