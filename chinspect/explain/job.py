"""The job behind maps of a data set: any method that explains pictures, over shards of images.

Each shard holds, of its images, what the method makes of a picture, and ``readable``, False for a file that is no
image. In the place of such an image a black picture is explained, so that rows stay where they are; nothing of it is
used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from chinspect.errors import InputError
from chinspect.execute import Samples
from chinspect.images import MIN_SIDE, open_image

SHARD = 16
"""Images in one."""
KIND = "explanations of images"
Array = NDArray[Any]


class Method(Protocol):
    """A way to explain pictures one by one."""

    @property
    def description(self) -> Mapping[str, Any]:
        """JSON values: everything but the images that decides the result."""
        ...

    @property
    def device(self) -> str:
        """Where it computes."""
        ...

    def explain(self, pictures: Sequence[Image.Image], places: range) -> dict[str, Array]:
        """Arrays of one row a picture, the ``maps`` (n, h, w) and the ``values`` (n,) that they explain among them.

        ``places`` are those of the pictures among all images.
        """
        ...


@dataclass(frozen=True)
class ExplainJob:
    """A method over a data set, see `chinspect.execute.Job`."""

    method: Method
    samples: Samples

    @cached_property
    def description(self) -> dict[str, Any]:
        """What is explained and how."""
        return {
            "kind": KIND,
            **self.method.description,
            **self.samples.description,
        }

    @property
    def n_shards(self) -> int:
        """Shards of 16 images."""
        return self.samples.n_shards(SHARD)

    @property
    def device(self) -> str:
        """That of the method."""
        return self.method.device

    def run_shard(self, shard: int) -> dict[str, Array]:
        """The arrays of one shard; see the module."""
        part = self.samples.shard(shard, SHARD)
        pictures, readable = [], np.zeros(len(part), dtype=bool)
        for row, path in enumerate(part.paths):
            try:
                pictures.append(open_image(path))
                readable[row] = True
            except InputError:
                if not path.is_file():
                    raise  # another worker, or a later run, may see it
                pictures.append(Image.new("RGB", (MIN_SIDE, MIN_SIDE)))
        places = range(shard * SHARD, shard * SHARD + len(part))
        return {**self.method.explain(pictures, places), "readable": readable}
