"""What a model says of images in their order: embeddings, and logits of ImageNet's classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from chinspect.execute import map_images
from chinspect.execute.job import ImageSource
from chinspect.known.effect import Options
from chinspect.known.models import Models

Values = NDArray[np.float64]
_SHARD = 32


def embeddings_of(models: Models, images: ImageSource, options: Options) -> Values:
    """Embeddings (n, D) of length 1."""
    values = _mapped(_Respond(models, "embeddings"), images, options)
    unit: Values = values / np.linalg.norm(values, axis=1, keepdims=True)
    return unit


def logits_of(models: Models, images: ImageSource, options: Options) -> Values:
    """Logits (n, 1000)."""
    return _mapped(_Respond(models, "logits"), images, options)


@dataclass(frozen=True)
class _Respond:
    models: Models
    kind: str
    device = "cpu"

    @property
    def description(self) -> dict[str, Any]:
        return {"kind": self.kind, "model": self.models.encoder.fingerprint}

    def __call__(self, pictures: Sequence[Image.Image], indices: range) -> dict[str, NDArray[Any]]:  # noqa: ARG002
        seen = self.models.encoder.see(pictures)
        respond = self.models.encoder.respond if self.kind == "embeddings" else self.models.logits
        return {self.kind: respond(seen).astype(np.float32)}


def _mapped(function: _Respond, images: ImageSource, options: Options) -> Values:
    results = map_images(function, images, None, shard_size=_SHARD, strict=True, progress=options.progress)
    return results.arrays(function.kind).astype(float)
