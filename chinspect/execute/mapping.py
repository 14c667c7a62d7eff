"""One job for a data set: a function of pictures, over all images of it.

    store = map_images(function, load_samples("photographs"), "store", shard_size=16)

What is the same for every such job is done here: each image is opened once, through the one safe door; an image that
cannot be read takes up its row, so that rows stay where they are; images are cut into shards, and a run that was
stopped goes on where it was, in this process, in several, or on Ray.

In this process nothing else is needed. Several processes may run the same job on the same folder at the same time,
started by hand or by a batch system: each takes the missing shards in an order of its own.

On one machine, ``workers=4`` starts Ray (``pip install chinspect[ray]``) and stops it when it is done. On a cluster,
Ray is started on each machine and named by an environment variable:

    ray start --head --port=6379                     # on the first machine
    ray start --address=FIRST_MACHINE:6379           # on each other
    RAY_ADDRESS=FIRST_MACHINE:6379 python script.py  # where map_images(..., workers=...) is called

Recent versions of Ray start clusters that ask for a token: set ``RAY_AUTH_MODE=token`` for all of these commands, and
give every machine the same ``~/.ray/auth_token`` (or ``RAY_AUTH_TOKEN``).

The folder must lie on a disk that all machines share, and all need the same library versions: workers compare them with
the manifest. Each worker is a process with its own model and writes its shards itself, so that no result travels. A
worker that dies costs one try of its shard. Results do not depend on where a shard was run, as far as the sums of
torch do not depend on the number of threads: a worker has its fraction of the CPUs.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from chinspect.errors import InputError
from chinspect.execute._shard import Array
from chinspect.execute.job import ImageFunction, ImageSource, Job
from chinspect.execute.store import Store

Progress = Callable[[int, int], None]
"""Called with the number of images done and in all."""


class Results(Protocol):
    """Arrays of one row an image, as `Store` gives them."""

    def arrays(self, name: str) -> Array:
        """One array, of all images in their order."""
        ...


def map_images(
    function: ImageFunction,
    images: ImageSource,
    path: str | Path | None,
    *,
    shard_size: int,
    strict: bool = False,
    workers: int = 0,
    progress: Progress | None = None,
) -> Results:
    """Calls a function with all images of a data set, ``shard_size`` at a time.

    The result has the arrays of the function and, unless ``strict``, ``readable`` (N,): False for an image that cannot
    be read. In its stead the function gets a black picture, and its row is zero in all arrays.

    Args:
        path: the folder of the `Store` that is returned, made if need be; None keeps the arrays in memory only.
        strict: raise for an image that cannot be read.
        workers: 0 to work in this process, else how many workers on Ray.
        progress: called with the number of images done and in all: first if some are done already, then after each
            shard.

    Raises:
        InputError: there are no images, or the file of one is not there (another worker, or a later run, may see it);
            ``path`` holds something else; workers without a path, or without Ray; and whatever the function raises.
        MachineError: the disk is full, or a shard's worker died three times.
        Other errors of a worker come with its traceback.
    """
    job = Job(function, images, shard_size, strict)
    total = len(images)
    if not total:
        raise InputError("there are no images: give at least one.")
    if not isinstance(workers, int) or workers < 0:
        raise InputError(f"workers must be 0 (this process) or more, not {workers!r}.")

    def report(shards: int) -> None:
        if progress is not None:
            progress(min(shards * shard_size, total), total)  # the last shard may be smaller

    if path is not None:
        return _stored(job, path, workers, report)
    if workers:
        raise InputError("workers write their results to a folder: give a path.")
    results = []
    for shard in range(job.n_shards):
        results.append(job.run_shard(shard))
        report(len(results))
    return _InMemory(results)


def _stored(job: Job, path: str | Path, workers: int, report: Callable[[int], None]) -> Store:
    """Runs those shards of a job that its store lacks, and returns the complete store."""
    store = Store(path, job.description, job.n_shards)
    missing = store.missing()
    done = store.n_shards - len(missing)
    if done:
        report(done)
    with closing(_on_ray(job, store, missing, workers) if workers else _here(job, store, missing)) as finished:
        for count, _ in enumerate(finished, done + 1):
            report(count)
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


@dataclass(frozen=True)
class _InMemory:
    shards: list[Mapping[str, Array]]

    def arrays(self, name: str) -> Array:
        return np.concatenate([arrays[name] for arrays in self.shards])
