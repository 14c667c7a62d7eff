"""Run a job's missing shards: in this process, in several, or on a Ray cluster.

In this process, ``run(job, path)`` needs nothing else. Several processes may run the same job on the same folder at the
same time, started by hand or by a batch system: each takes the missing shards in an order of its own.

On one machine, ``run(job, path, workers=4)`` starts Ray (``pip install chinspect[ray]``) and stops it when it is done.
On a cluster, Ray is started on each machine and named by an environment variable:

    ray start --head --port=6379                     # on the first machine
    ray start --address=FIRST_MACHINE:6379           # on each other
    RAY_ADDRESS=FIRST_MACHINE:6379 python script.py  # where run(job, path, workers=...) is called

Recent versions of Ray start clusters that ask for a token: set ``RAY_AUTH_MODE=token`` for all of these commands, and
give every machine the same ``~/.ray/auth_token`` (or ``RAY_AUTH_TOKEN``).

The folder must lie on a disk that all machines share, and all need the same library versions: workers compare them with
the manifest. Each worker is a process with its own model and writes its shards itself, so that no result travels. A
worker that dies costs one try of its shard. Results do not depend on where a shard was run, as far as the sums of
torch do not depend on the number of threads: a worker has its fraction of the CPUs.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path

from chinspect.errors import InputError
from chinspect.execute.job import Job
from chinspect.execute.store import Store


def run(job: Job, path: str | Path, *, workers: int = 0, progress: Callable[[int, int], None] | None = None) -> Store:
    """Runs those shards of a job that its store lacks, and returns the complete store.

    Args:
        path: the store's folder, made if need be.
        workers: 0 for this process, else the number of workers on Ray.
        progress: called with the number of shards done and in all: first if some are done already, then after each.

    Raises:
        InputError: the folder holds something else; Ray is not installed; a shard's worker died three times; and
            whatever the job raises. Other errors of a worker come with its traceback.
    """
    if not isinstance(workers, int) or workers < 0:
        raise InputError(f"workers must be 0 (this process) or more, not {workers!r}.")
    store = Store(path, job.description, job.n_shards)
    missing = store.missing()
    done = store.n_shards - len(missing)
    if progress is not None and done:
        progress(done, store.n_shards)
    with closing(_on_ray(job, store, missing, workers) if workers else _here(job, store, missing)) as finished:
        for count, _ in enumerate(finished, done + 1):
            if progress is not None:
                progress(count, store.n_shards)
    if not store.complete:
        raise InputError(f"the workers left no shards in {str(path)!r}: it must lie on a disk that all machines share.")
    return store


def _here(job: Job, store: Store, missing: list[int]) -> Generator[int]:
    """Another order in each process, so that several divide the work instead of doing it twice."""
    for shard in random.sample(missing, len(missing)):
        if not store.has(shard):
            store.write(shard, job.run_shard(shard))
        yield shard


def _on_ray(job: Job, store: Store, missing: list[int], workers: int) -> Generator[int]:
    if missing:
        from chinspect.execute._ray import run_on_ray  # here, so that Ray is imported only where it is used

        yield from run_on_ray(job, store.path.resolve(), missing, workers)
