"""Embeddings of a data set, kept on disk: the encoder is frozen, so they are computed once for any number of readouts.

A cache is a folder with one `chinspect.execute.Store` for each encoder (by its fingerprint) and set of images (by
names, contents and artefact): a pruned encoder, another artefact or an image that was edited finds nothing stale.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from PIL import Image

from chinspect.encoders import Encoder
from chinspect.execute import map_images
from chinspect.readouts.pictures import Pictures

_SHARD = 128  # images: a run that was stopped loses seconds, and a store has few files
Array = NDArray[Any]


def embeddings(encoder: Encoder, pictures: Sequence[Image.Image], cache: str | Path | None = None) -> Array:
    """Embeddings (N, D), float32.

    Args:
        pictures: any pictures; those of files (`Pictures`) can be cached.
        cache: a folder, made if need be, or None.

    Raises `InputError` if there are none, one cannot be read, or the cache cannot be written to.
    """
    if cache is None or not isinstance(pictures, Pictures):
        values: Array = encoder.embed(pictures).cpu().numpy()
        return values
    function = _Embed(encoder)
    folder = Path(cache) / f"{function.description['fingerprint']}-{pictures.digest[:16]}"
    return map_images(function, pictures, folder, shard_size=_SHARD, strict=True).arrays("embeddings")


@dataclass(frozen=True)
class _Embed:
    """Embeddings of pictures, see `chinspect.execute.map_images`."""

    encoder: Encoder
    device = "cpu"

    @cached_property
    def description(self) -> dict[str, Any]:
        return {"kind": "embeddings", "fingerprint": self.encoder.fingerprint}

    def __call__(self, pictures: Sequence[Image.Image], indices: range) -> dict[str, Array]:  # noqa: ARG002
        return {"embeddings": self.encoder.embed(pictures).cpu().numpy()}
