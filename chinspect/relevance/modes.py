"""Evaluation mode for the time of a question: a network that trains answers by its batch, and learns from it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def evaluation_mode(model: object) -> Iterator[None]:
    """Evaluation mode for the time of the context; each module's own flag comes back, also after an error.

    In training mode dropout answers by chance, and batch normalisation mixes the images of a batch and moves its
    running statistics. The flags are set, since ``eval`` may do more, and is forbidden in exported modules.

    Args:
        model: a module; a function that is none is left as it is.
    """
    modules = list(model.modules()) if isinstance(model, nn.Module) else []
    flags = [module.training for module in modules]
    try:
        for module in modules:
            module.training = False
        yield
    finally:
        for module, flag in zip(modules, flags, strict=True):
            module.training = flag
