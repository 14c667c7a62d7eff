"""Which operation has which handler, and which one in reference maps."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from torch import Tensor

from chinspect.relevance._operations import Push, Site

Handler = Callable[[Site], Push | None]
HANDLERS: dict[str, Handler] = {}
LINEAR: set[str] = set()
"""Names of the operations that are linear in what carries."""
Registered = TypeVar("Registered", bound=Handler)


def handles(*names: str, linear: bool = False) -> Callable[[Registered], Registered]:
    """Registers the decorated function as the handler of the named operations (``aten.relu.default`` is ``relu``).

    ``linear`` says that the operations are linear in the arguments that carry, so that their push depends on no
    activation.
    """

    def register(handler: Registered) -> Registered:
        HANDLERS.update(dict.fromkeys(names, handler))
        if linear:
            LINEAR.update(names)
        return handler

    return register


DIFFERENCES: dict[str, Handler] = {}
Pair = tuple[Tensor, Tensor]
"""A value at the image and at the reference."""


def differs(*names: str) -> Callable[[Registered], Registered]:
    """Registers the decorated function as the handler of the named operations in reference maps."""

    def register(handler: Registered) -> Registered:
        DIFFERENCES.update(dict.fromkeys(names, handler))
        return handler

    return register
