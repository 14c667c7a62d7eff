"""Maps of relevance of photographs, plain and with an artefact, made once: a data set with carriers is a mix of rows.

A map of one image depends on no other image, so that maps of images with an artefact can take the place of those of the
same images without it. Artefacts lie on what the network sees, after resize and crop.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from timm.data import ImageNetInfo

from chinspect.artefacts import ARTEFACTS
from chinspect.encoders import load_classifier, load_encoder
from chinspect.explain import area_sum
from chinspect.files import output_folder, replacing
from chinspect.images import open_image

Maps = NDArray[np.float32]
PLAIN = "plain"
PLANTED = ("imagenet-w", "logo", "border")
SIZE = 224
CELLS = 56
_BATCH = 16
_NETWORKS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {"embedding": load_encoder, "predicted": load_classifier, "label": load_classifier}
)
QUESTIONS = tuple(_NETWORKS)
"""The squared norm of the embedding, the logit of the predicted class, the logit of the class that the image is of."""


def photographs(root: Path) -> tuple[list[Path], NDArray[np.int64]]:
    """The files of ``imagenet_sample``, and their classes (N,)."""
    table = pd.read_csv(root / "imagenet_sample" / "labels.csv")
    return [root / "imagenet_sample" / file for file in table.file], table.class_index.to_numpy()


def one_class(root: Path, count: int, wordnet_id: str = "n02099601") -> tuple[list[Path], NDArray[np.int64]]:
    """The first files of a class of ``tiny_imagenet20``, by default golden retrievers, and its index for each."""
    files = sorted((root / "tiny_imagenet20" / "train" / wordnet_id).rglob("*.JPEG"))[:count]
    index = ImageNetInfo("imagenet-1k").label_names().index(wordnet_id)
    return files, np.full(len(files), index)


def maps_of(
    files: list[Path], classes: NDArray[np.int64], question: str, artefact: str, path: Path, *, model: str
) -> Maps:
    """Maps (N, 56, 56) by ``rescale`` of images with an artefact, ``plain`` for none; stored at ``path``."""
    if path.exists():
        return np.load(path, allow_pickle=False)
    network = _NETWORKS[question](model)
    blocks = []
    for start in range(0, len(files), _BATCH):
        seen = network.see([np.asarray(open_image(file)) for file in files[start : start + _BATCH]])
        if artefact != PLAIN:
            seen = [ARTEFACTS[artefact]().add(picture) for picture in seen]
        responses = network.respond(seen)
        weights = _weights(question, responses, classes[start : start + _BATCH])
        blocks.append(area_sum(network.explain(seen, weights, bands=0), CELLS))
    maps = np.concatenate(blocks)
    output_folder(path.parent)
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.save(file, maps)
    return maps


def _weights(question: str, responses: Maps, classes: NDArray[np.int64]) -> Maps:
    if question == "embedding":
        return responses
    selected = responses.argmax(1) if question == "predicted" else classes
    return np.eye(responses.shape[1], dtype=np.float32)[selected]
