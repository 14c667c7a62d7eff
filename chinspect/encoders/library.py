"""What a library of encoders is: it knows the card of each of its models, its module, and how weights are loaded."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from chinspect.encoders.cards import Card
from chinspect.encoders.checkpoints import load_weights, read_checkpoint
from chinspect.errors import InputError

Weights = Path | Mapping[str, Tensor] | None
"""A file, tensors by name, or None for random ones."""

library_card = partial(Card, license="not recorded; see the library's model card", dimension=0, paper="", note="")


@dataclass(frozen=True, eq=False)
class Architecture:
    """A module whose output is the embedding, and what its checkpoints hold beyond it."""

    module: nn.Module
    """(N, 3, size, size) -> (N, D)."""
    heads: tuple[str, ...] = ()
    """Prefixes of the names in a checkpoint that belong to what was cut off behind the embedding."""


class Library(ABC):
    """Models by name. A library is imported when it is first asked."""

    prefix: ClassVar[str] = ""
    """What stands before the colon in the names of its models."""

    @abstractmethod
    def card(self, name: str) -> Card:
        """What is known about a model, its weights and its preprocessing.

        Raises `InputError` if there is no such model, or if its images are prepared in a way that is not known here.
        """

    @abstractmethod
    def build(self, name: str, size: int) -> Architecture:
        """An architecture with random weights for inputs of `size` pixels, ending at the embedding."""

    def classifier(self, name: str, size: int) -> nn.Module:  # noqa: ARG002
        """The network as it was trained, ending at its logits, with random weights.

        Raises `InputError` where a library has no classifiers.
        """
        raise InputError(f"{name!r} has no classifier; models of timm and torchvision have one.")

    def load(self, card: Card, weights: Weights, source: str) -> nn.Module:
        """The architecture of a card with weights; `source` is what messages call tensors that do not fit."""
        inner = card.architecture.removeprefix(f"{self.prefix}:")
        with torch.random.fork_rng(devices=[]):
            architecture = self.build(inner, card.preprocessing.size)
        if isinstance(weights, Path):
            source = str(weights)
            weights = read_checkpoint(weights)
        if weights is not None:
            load_weights(architecture.module, weights, architecture.heads, source)
        return architecture.module
