"""What is computed, from which images, and how that falls into shards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from PIL import Image

from chinspect.errors import InputError, MissingImageError
from chinspect.execute._shard import Array
from chinspect.images import MIN_SIDE


class ImageFunction(Protocol):
    """What is computed from pictures. It travels to workers by pickle: a frozen dataclass of a model and parameters.

    What is heavy and can be made again belongs in a `functools.cached_property`, so that each process makes it once.
    """

    @property
    def description(self) -> Mapping[str, Any]:
        """JSON values: everything but the images that decides the result. What is left out makes results stale."""
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


@dataclass(frozen=True)
class Job:
    """A function over images, in shards that can each be done alone, anywhere, and again with the same result.

    A job travels to its workers by pickle, once each.

    Attributes:
        shard_size: number of images of a shard; the last one may have fewer.
        strict: whether an image that cannot be read is an error.
    """

    function: ImageFunction
    images: ImageSource
    shard_size: int
    strict: bool

    @property
    def description(self) -> dict[str, Any]:
        """JSON values: everything that decides the result."""
        return {**self.function.description, **self.images.description}

    @property
    def n_shards(self) -> int:
        """How many shards the work has."""
        return -(-len(self.images) // self.shard_size)

    def run_shard(self, shard: int) -> Mapping[str, Array]:
        """The arrays of one shard, 0 <= shard < n_shards."""
        indices = range(len(self.images))[shard * self.shard_size :][: self.shard_size]
        pictures = [self._picture(index) for index in indices]
        readable = np.array([picture is not None for picture in pictures])
        black = Image.new("RGB", (MIN_SIDE, MIN_SIDE))
        arrays = self.function([black if picture is None else picture for picture in pictures], indices)
        if self.strict:
            return arrays
        return {**{name: _zeroed(array, ~readable) for name, array in arrays.items()}, "readable": readable}

    def _picture(self, index: int) -> Image.Image | None:
        """None for an image that cannot be read."""
        try:
            return self.images[index]
        except InputError as error:
            if self.strict or isinstance(error, MissingImageError):
                raise
            return None


def _zeroed(array: Array, rows: Array) -> Array:
    if rows.any():
        array = array.copy()  # it may be a view of what the function keeps
        array[rows] = 0
    return array
