"""The list of models that can be loaded by name. Needs no network and no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from chinspect.encoders.cards import Card, read_card, zoo_names
from chinspect.encoders.weights import locate

Status = Literal["bundled", "cached", "downloadable"]


@dataclass(frozen=True)
class ModelInfo:
    """One line of the list of models."""

    name: str
    title: str
    embedding: str
    dimension: int
    license: str
    status: Status
    """`bundled` with the package, `cached` on this machine by an earlier download, or `downloadable`."""


def list_models() -> list[ModelInfo]:
    """All models of the zoo: bundled ones first, then by name."""
    cards = [read_card(name) for name in zoo_names()]
    models = [ModelInfo(c.name, c.title, c.embedding, c.dimension, c.license, _status(c)) for c in cards]
    return sorted(models, key=lambda model: (model.status != "bundled", model.name))


def _status(card: Card) -> Status:
    if card.source == "bundled":
        return "bundled"
    return "cached" if locate(card).cached() else "downloadable"
