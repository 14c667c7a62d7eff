"""How far a fit is, for whoever waits: estimators of scikit-learn take no function to tell it to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

Item = TypeVar("Item")
Progress = Callable[[int, int], None]
_listener: ContextVar[Progress | None] = ContextVar("listener", default=None)


@contextmanager
def reporting(progress: Progress | None) -> Iterator[None]:
    """Within, `counted` loops tell ``progress`` how many steps are done and how many there are."""
    token = _listener.set(progress)
    try:
        yield
    finally:
        _listener.reset(token)


def counted(items: Iterable[Item], total: int, size: Callable[[Item], int] = lambda _: 1) -> Iterator[Item]:
    """The items one by one; each is done when the next one is asked for, and stands for as many steps as its size."""
    progress = _listener.get()
    done = 0
    for item in items:
        yield item
        done += size(item)
        if progress is not None:
            progress(min(done, total), total)
