"""Workers on Ray: one process and one model each, a shard at a time, and a fresh worker for each that dies."""

from __future__ import annotations

import logging
import os
import platform
import sys
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from chinspect.errors import InputError, MachineError
from chinspect.execute.job import Job
from chinspect.execute.store import Store

try:
    import ray
    from ray.exceptions import RayError, RayTaskError
except ImportError as error:
    raise InputError("workers need Ray, which is not installed: pip install chinspect[ray].") from error

_TRIES = 3
"""Workers that a shard may cost: one can die of bad luck, three hardly."""


class Worker:
    """What runs on Ray."""

    def __init__(self, job: Job, path: Path, threads: int) -> None:
        self._job = job
        self._path = path
        self._threads = threads

    def begin(self) -> None:
        """Opens the store; apart from the constructor, whose errors Ray takes for the worker's death."""
        _use_threads(self._threads)
        if not self._path.is_dir():
            raise InputError(
                f"the worker on {platform.node()!r} does not see {str(self._path)!r}: give a folder on a disk that "
                "all machines share."
            )
        self._store = Store(self._path, self._job.description, self._job.n_shards)

    def run(self, shard: int) -> None:
        """Runs and writes one shard, unless it is there."""
        if not self._store.has(shard):
            self._store.write(shard, self._job.run_shard(shard))


def run_on_ray(job: Job, path: Path, missing: Sequence[int], workers: int) -> Iterator[int]:
    """Runs the missing shards of a store that exists; yields the number of each as it is done."""
    workers = min(workers, len(missing))
    with _connected(workers):
        cpus, gpus = worker_resources(
            [node["Resources"] for node in ray.nodes() if node["Alive"]], workers, job.function.device
        )
        hire = ray.remote(Worker).options(num_cpus=cpus, num_gpus=gpus)
        crew = _Crew(hire, (ray.put(job), path, cpus), missing)
        try:
            yield from crew.finished(workers)
        finally:
            crew.dismiss()


def worker_resources(nodes: Sequence[dict[str, float]], workers: int, device: str) -> tuple[int, float]:
    """CPUs and GPUs of one worker: the most that let all workers run at once, else 1 CPU, and the rest wait.

    ``nodes`` are the resources of each machine. A GPU serves one worker, or as many as need be.
    """
    gpus = [node.get("GPU", 0.0) for node in nodes]
    per_gpu = 0
    if device != "cpu":
        if not any(gpus):
            raise InputError(f"the job computes on {device!r}, and the cluster has no GPU: choose cpu.")
        per_gpu = next(n for n in range(1, workers + 1) if sum(int(gpu * n) for gpu in gpus) >= workers)
    slots = [int(gpu * per_gpu) if per_gpu else workers for gpu in gpus]
    cpus = [int(node.get("CPU", 0.0)) for node in nodes]
    fits = (
        size
        for size in range(max(cpus), 1, -1)
        if sum(min(cpu // size, slot) for cpu, slot in zip(cpus, slots, strict=True)) >= workers
    )
    # Ray counts GPUs in steps of 0.0001; rounded down, so that all workers fit
    return next(fits, 1), int(1e4 / per_gpu) / 1e4 if per_gpu else 0.0


def _use_threads(count: int) -> None:
    """Threads of torch in this process. Many jobs never need torch, which takes seconds to import: it reads this."""
    os.environ["OMP_NUM_THREADS"] = str(count)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(count)


class _Crew:
    """The workers, what each of them is doing, and the shards that nobody does yet."""

    def __init__(self, hire: Any, arguments: tuple[Any, ...], missing: Sequence[int]) -> None:
        self._hire = hire
        self._arguments = arguments
        self._queue = deque(missing)
        self._deaths: Counter[int | None] = Counter()
        self._running: dict[Any, tuple[Any, int | None]] = {}
        """Worker and shard of each call; no shard while a worker begins, so that none waits for a busy cluster."""

    def finished(self, workers: int) -> Iterator[int]:
        """Numbers of the shards as they are done."""
        for _ in range(workers):
            self._begin()
        while self._running:
            (call,), _ = ray.wait(list(self._running), num_returns=1)
            worker, shard = self._running.pop(call)
            if not self._survived(call, shard):
                self._begin()
                continue
            self._next(worker)
            if shard is not None:
                yield shard

    def dismiss(self) -> None:
        """Ends all workers; for those that are not done."""
        for worker, _ in self._running.values():
            ray.kill(worker)

    def _begin(self) -> None:
        if self._queue:
            worker = self._hire.remote(*self._arguments)
            self._running[worker.begin.remote()] = (worker, None)

    def _next(self, worker: Any) -> None:
        if self._queue:
            shard = self._queue.popleft()
            self._running[worker.run.remote(shard)] = (worker, shard)
        else:
            ray.kill(worker)

    def _survived(self, call: Any, shard: int | None) -> bool:
        """Whether the call came back; its own errors are raised, a worker's death is counted."""
        try:
            ray.get(call)
        except RayTaskError as error:
            if isinstance(error.cause, InputError | MachineError):
                raise error.cause from None
            raise
        except RayError as error:
            self._deaths[shard] += 1
            if self._deaths[shard] == _TRIES:
                what = "as it began" if shard is None else f"in shard {shard}"
                raise MachineError(
                    f"a worker died {_TRIES} times {what} (of too little memory?): try fewer workers, or workers=0 to "
                    "see it."
                ) from error
            if shard is not None:
                self._queue.appendleft(shard)
            return False
        return True


@contextmanager
def _connected(workers: int) -> Iterator[None]:
    """Connects to the cluster of ``RAY_ADDRESS``, else starts one here; ends what it began, and nothing else."""
    if ray.is_initialized():
        yield
        return
    address = os.environ.get("RAY_ADDRESS") or "local"
    options: dict[str, Any] = {}
    if address == "local":
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray would report to its makers
        options = {"num_cpus": max(workers, os.cpu_count() or 1), "include_dashboard": False}
    try:
        ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False, **options)
    except (ConnectionError, RayError, ValueError, RuntimeError) as error:
        raise InputError(f"no Ray cluster answers at {address!r} ({error}): check RAY_ADDRESS.") from error
    try:
        yield
    finally:
        ray.shutdown()
