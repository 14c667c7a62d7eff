"""Seconds of a function, for all benchmarks."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def timed(
    function: Callable[[], T], repeat: int = 1, clock: Callable[[], float] = time.perf_counter
) -> tuple[float, T]:
    """The best of some runs in seconds, and the result of the last one; work on a GPU is waited for.

    Of one thread `time.process_time` is a clock that other processes hardly disturb.
    """
    runs = [_once(function, clock) for _ in range(repeat)]
    return min(seconds for seconds, _ in runs), runs[-1][1]


def _once(function: Callable[[], T], clock: Callable[[], float]) -> tuple[float, T]:
    start = clock()
    result = function()
    if getattr(result, "is_cuda", False):
        import torch  # here, as benchmarks without it measure their memory

        torch.cuda.synchronize()
    return clock() - start, result
