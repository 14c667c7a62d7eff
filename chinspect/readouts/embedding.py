"""Embeddings of a data set, kept on disk: the encoder is frozen, so they are computed once for any number of readouts.

A cache is a folder with one `chinspect.execute.Store` for each encoder (by its fingerprint) and set of images (by
names, contents and artefact): a pruned encoder, another artefact or an image that was edited finds nothing stale.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from chinspect.encoders import Encoder
from chinspect.execute import run
from chinspect.readouts.pictures import Pictures

_SHARD = 128
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
    job = _Embed(encoder, pictures)
    folder = Path(cache) / f"{job.fingerprint}-{pictures.digest[:16]}"
    return run(job, folder).arrays("embeddings")


@dataclass(frozen=True)
class _Embed:
    """The job: embeddings of the images of one shard."""

    encoder: Encoder
    pictures: Pictures
    device = "cpu"

    @cached_property
    def fingerprint(self) -> str:
        return self.encoder.fingerprint

    @cached_property
    def description(self) -> Mapping[str, Any]:
        return {"kind": "embeddings", "fingerprint": self.fingerprint, "images": self.pictures.digest}

    @property
    def n_shards(self) -> int:
        return self.pictures.samples.n_shards(_SHARD)

    def run_shard(self, shard: int) -> Mapping[str, Array]:
        some = self.pictures[shard * _SHARD : (shard + 1) * _SHARD]
        return {"embeddings": self.encoder.embed(some).cpu().numpy().astype(np.float32)}
