"""What can be run in shards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from chinspect.execute._shard import Array


class Job(Protocol):
    """Work that falls into shards, each of which can be done alone, anywhere, and again with the same result.

    A job travels to its workers by pickle, once each: a dataclass of paths, names and parameters, and of a model at
    most. What is heavy and can be made again belongs in a `functools.cached_property`, so that each process makes it
    once, when it first needs it.
    """

    @property
    def description(self) -> Mapping[str, Any]:
        """JSON values: everything that decides the result. Whoever leaves a parameter out reads stale results."""
        ...

    @property
    def n_shards(self) -> int:
        """How many shards the work has, at least 1."""
        ...

    @property
    def device(self) -> str:
        """Where a worker computes: ``cpu``, or ``cuda`` if each needs (a fraction of) a GPU."""
        ...

    def run_shard(self, shard: int) -> Mapping[str, Array]:
        """The arrays of one shard, 0 <= shard < n_shards."""
        ...
