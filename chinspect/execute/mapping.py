"""One job for a data set: a function of pictures, over all images of it.

    store = map_images(function, load_samples("photographs"), "store", shard_size=16)

What is the same for every such job is done here: each image is opened once, through the one safe door; an image that
cannot be read takes up its row, so that rows stay where they are; images are cut into shards, and a run that was
stopped goes on where it was, in this process, in several, or on Ray.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from chinspect.errors import InputError, MissingImageError
from chinspect.execute._shard import Array
from chinspect.execute.runner import run
from chinspect.images import MIN_SIDE

Progress = Callable[[int, int], None]
"""Called with the number of images done and in all."""


class ImageFunction(Protocol):
    """What is computed from pictures. It travels to workers by pickle: a frozen dataclass of a model and parameters.

    What is heavy and can be made again belongs in a `functools.cached_property`, so that each process makes it once.
    """

    @property
    def description(self) -> Mapping[str, Any]:
        """JSON values: everything but the images that decides the result."""
        ...

    @property
    def device(self) -> str:
        """Where it computes: ``cpu``, or ``cuda`` if each worker needs (a fraction of) a GPU."""
        ...

    def __call__(self, pictures: Sequence[Image.Image], indices: range) -> Mapping[str, Array]:
        """Arrays of one row a picture; ``indices`` are those of the pictures among all images."""
        ...


class ImageSource(Protocol):
    """Images in an order, read when they are asked for: `chinspect.execute.Samples`, or pictures made of them."""

    @property
    def description(self) -> Mapping[str, Any]:
        """JSON values that tell these images from any others; only a run that is stored asks for it."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Image.Image:
        """One picture; `MissingImageError` if its file is not there, `InputError` if it cannot be read."""
        ...


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
        workers: 0 to work in this process, else how many workers on Ray (see `chinspect.execute.run`).
        progress: called with the number of images done and in all: first if some are done already, then after each
            shard.

    Raises:
        InputError: there are no images, or the file of one is not there (another worker, or a later run, may see it);
            ``path`` holds something else; workers without a path; and whatever the function raises.
    """
    job = _ImageJob(function, images, shard_size, strict)
    total = len(images)
    if not total:
        raise InputError("there are no images: give at least one.")

    def report(done: int, _: int) -> None:
        if progress is not None:
            progress(min(done * shard_size, total), total)  # the last shard may be smaller

    if path is not None:
        return run(job, path, workers=workers, progress=report)
    if workers:
        raise InputError("workers write their results to a folder: give a path.")
    shards = []
    for shard in range(job.n_shards):
        shards.append(job.run_shard(shard))
        report(shard + 1, job.n_shards)
    return _InMemory(shards)


@dataclass(frozen=True)
class _ImageJob:
    """A function over images, see `chinspect.execute.Job`."""

    function: ImageFunction
    images: ImageSource
    shard_size: int
    strict: bool

    @cached_property
    def description(self) -> dict[str, Any]:
        return {**self.function.description, **self.images.description}

    @property
    def n_shards(self) -> int:
        return -(-len(self.images) // self.shard_size)

    @property
    def device(self) -> str:
        return self.function.device

    def run_shard(self, shard: int) -> dict[str, Array]:
        start = shard * self.shard_size
        indices = range(start, min(start + self.shard_size, len(self.images)))
        pictures = [self._picture(index) for index in indices]
        readable = np.array([picture is not None for picture in pictures])
        black = Image.new("RGB", (MIN_SIDE, MIN_SIDE))
        arrays = self.function([black if picture is None else picture for picture in pictures], indices)
        if self.strict:
            return dict(arrays)
        return {**{name: _zeroed(array, ~readable) for name, array in arrays.items()}, "readable": readable}

    def _picture(self, index: int) -> Image.Image | None:
        """None for an image that cannot be read."""
        try:
            return self.images[index]
        except InputError as error:
            if self.strict or isinstance(error, MissingImageError):
                raise
            return None


@dataclass(frozen=True)
class _InMemory:
    shards: list[dict[str, Array]]

    def arrays(self, name: str) -> Array:
        return np.concatenate([arrays[name] for arrays in self.shards])


def _zeroed(array: Array, rows: Array) -> Array:
    if rows.any():
        array = array.copy()  # it may be a view of what the function keeps
        array[rows] = 0
    return array
