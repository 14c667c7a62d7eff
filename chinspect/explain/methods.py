"""Ways to explain pictures: relevance of an output, Grad-CAM, anomaly scores, and spectra of all three kinds.

Each is a function for `chinspect.execute.map_images`: of n pictures it gives ``maps`` (n, h, w) and the ``values`` (n,)
that they explain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from chinspect.anomaly import Detector, explain_anomaly
from chinspect.cam import grad_cam
from chinspect.encoders import Encoder
from chinspect.errors import InputError
from chinspect.explain.pooling import area_sum
from chinspect.images import resize, to_input
from chinspect.relevance import Graph, RelevanceMap, frequency_bands, relevance_map, trace
from chinspect.similarity.bilrp import resolve_composite

KIND = "explanations of images"
"""Of a store of maps."""
SIDE = 56
"""Cells of a stored map of pixels, at most: fine enough to draw over a picture and to isolate what it shows."""
_BATCH = 8

Array = NDArray[Any]
Targets = tuple[int, ...] | str | None


@dataclass(frozen=True)
class _OfEncoder:
    encoder: Encoder

    @property
    def device(self) -> str:
        return self.encoder.device.type

    @property
    def description(self) -> dict[str, Any]:
        made = {name: value for name, value in vars(self).items() if name != "encoder" and not name.startswith("_")}
        return {
            "kind": KIND,
            "method": type(self).__name__,
            "encoder": self.encoder.name,
            "fingerprint": self.encoder.fingerprint,
            "preprocessing": asdict(self.encoder.preprocessing),
            **{name: list(value) if isinstance(value, tuple) else value for name, value in made.items()},
        }

    def _inputs(self, pictures: Sequence[Image.Image]) -> Tensor:
        return torch.cat([self.encoder.prepare(picture) for picture in pictures])


@dataclass(frozen=True)
class _Relevance(_OfEncoder):
    composite: str

    @cached_property
    def _graph(self) -> Graph:
        size = self.encoder.preprocessing.size
        return trace(self.encoder.module, torch.zeros(1, 3, size, size, device=self.encoder.device))

    def _mapped(self, picture: Image.Image) -> RelevanceMap:
        table = resolve_composite(self.composite, self.encoder)
        return relevance_map(self._graph, self.encoder.prepare(picture), table)


@dataclass(frozen=True)
class Output(_Relevance):
    """Relevance of an output, pulled back to the pixels; see `chinspect.explain.images`."""

    targets: Targets

    def __call__(self, pictures: Sequence[Image.Image], indices: range) -> dict[str, Array]:
        """``maps`` (n, h, w) and ``values`` (n,)."""
        maps, values = [], []
        for picture, index in zip(pictures, indices, strict=True):
            mapped = self._mapped(picture)
            weights = seed(mapped.output, self.targets, range(index, index + 1))
            pixels = mapped.pull(mapped.output * weights).sum(1)[0].cpu().numpy()
            maps.append(area_sum(pixels, SIDE))
            values.append(float((mapped.output * weights).sum()))
        return {"maps": np.stack(maps), "values": np.array(values, np.float32)}


@dataclass(frozen=True)
class Bands(_Relevance):
    """What each frequency band contributes to the embedding: what a similarity by frequency is made of."""

    bands: int

    def __call__(self, pictures: Sequence[Image.Image], indices: range) -> dict[str, Array]:  # noqa: ARG002
        """``tables`` (n, B, D) and ``embeddings`` (n, D)."""
        mapped = [self._mapped(picture) for picture in pictures]
        tables = np.stack([one.push(frequency_bands(self.bands)).cpu().numpy() for one in mapped])
        return {"tables": tables, "embeddings": np.stack([one.output[0].cpu().numpy() for one in mapped])}


@dataclass(frozen=True)
class GradCAM(_OfEncoder):
    """Grad-CAM of an output, see `chinspect.cam.grad_cam`."""

    layer: str
    targets: Targets

    def __call__(self, pictures: Sequence[Image.Image], indices: range) -> dict[str, Array]:
        """``maps`` (n, h, w) at the layer's resolution, and ``values`` (n,)."""
        maps, values = [], []
        for start in range(0, len(pictures), _BATCH):
            x = self._inputs(pictures[start : start + _BATCH])
            with torch.no_grad():
                output = self.encoder.module(x)
            weights = seed(output, self.targets, indices[start : start + len(x)])
            maps.append(grad_cam(self.encoder.module, x, self.layer, weights).cpu().numpy())
            values.append((output * weights).sum(1).cpu().numpy())
        return {"maps": np.concatenate(maps), "values": np.concatenate(values)}


@dataclass(frozen=True)
class Anomaly:
    """Shares of an anomaly score by pixel, or by frequency band where there are ``bands``."""

    detector: Detector
    bands: int | None = None
    device: str = "cpu"

    @property
    def description(self) -> dict[str, Any]:
        """The detector and the bands."""
        return {
            "kind": KIND,
            "method": type(self).__name__,
            "detector": type(self.detector).__name__,
            "fingerprint": self.detector.fingerprint,
            "bands": self.bands,
        }

    def __call__(self, pictures: Sequence[Image.Image], indices: range) -> dict[str, Array]:  # noqa: ARG002
        """``maps`` (n, h, w), of bands (n, 1, B), and ``values`` (n,)."""
        maps, values = [], []
        for start in range(0, len(pictures), _BATCH):
            part = pictures[start : start + _BATCH]
            x = to_input(np.stack([resize(picture, self.detector.size, self.detector.resizer) for picture in part]))
            if self.bands is None:
                found = explain_anomaly(self.detector, x, components="pixels")
                maps.append(area_sum(np.asarray(found.pixels), SIDE))
            else:
                found = explain_anomaly(self.detector, x, components="bands", bands=self.bands)
                maps.append(np.asarray(found.bands, np.float32)[:, None])
            values.append(np.asarray(found.score, np.float32))
        return {"maps": np.concatenate(maps), "values": np.concatenate(values)}


def seed(output: Tensor, targets: Targets, indices: range) -> Tensor:
    """Weights (n, D) of the outputs of some images: the explained value is ``(output * weights).sum(1)``."""
    if targets is None:
        return output.detach()
    chosen = output.argmax(1) if isinstance(targets, str) else torch.tensor([targets[index] for index in indices])
    if int(chosen.max()) >= output.shape[1]:
        raise InputError(f"the target {int(chosen.max())} does not exist: the model has {output.shape[1]} outputs.")
    return torch.nn.functional.one_hot(chosen.to(output.device), output.shape[1]).to(output)
