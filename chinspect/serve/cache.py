"""What was made is not made again, as long as there is room: the least recently used goes first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock


class Cache:
    """Bytes by key, at most ``limit`` of them in all; safe in threads.

    Two threads that ask for one key at once both make it: that is rarer and cheaper than a lock for each key.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._entries: OrderedDict[Hashable, bytes] = OrderedDict()
        self._lock = Lock()
        self.size = 0

    def get(self, key: Hashable, make: Callable[[], bytes]) -> bytes:
        """The bytes of a key, made where they are not there."""
        with self._lock:
            if key in self._entries:
                self._entries.move_to_end(key)
                return self._entries[key]
        entry = make()
        with self._lock:
            if key not in self._entries and len(entry) <= self._limit:
                self._entries[key] = entry
                self.size += len(entry)
            while self.size > self._limit:
                self.size -= len(self._entries.popitem(last=False)[1])
        return entry
