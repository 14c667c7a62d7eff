"""An analysis as a project of ViRelAy, the viewer of Anders et al. (2021, arXiv:2106.13200).

    project.yaml      names the files below
    label-map.json    index, identifier and name of each label; label 0 stands for all images
    data.h5           data (N, 3, H, W) uint8, label (N,)
    attributions.h5   attribution (N, 3, H, W) float32, prediction (N, P), label (N,), index (N,)
    analysis.h5       for all images, and for each class: index (n,), embedding/NAME (n, d), cluster/NAME (n,)

The viewer paints signed relevance only where attributions have three channels; the map is repeated, as fine as the
image, since it is laid over it. A prediction is asked for and SpRAy knows none: it is the label, one-hot. A class shows
its part of the analysis of all images, in the same clusters. Layout as read by virelay 0.6.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from chinspect.errors import InputError
from chinspect.files import output_folder, replacing
from chinspect.spray import SpRAy

Pixels = NDArray[np.uint8]
EVERYTHING = "all images"
_PACKED: dict[str, Any] = {"compression": "gzip", "compression_opts": 1}


@dataclass(frozen=True, eq=False)
class VirelayParts:
    """What the viewer shows of an analysis of N maps, n of which could be compared.

    Attributes:
        image: from a place to the picture (3, H, W) uint8, all of one size, in whose frame the map lies.
        maps: (N, h, w).
        labels: (N,) or None.
        kept: (n,) places of the maps analysed.
        embedding, eigenvalues: (n, q) and (q,).
        plane: (n, 2), places to look at.
        clusterings: name -> (n,) whole numbers, -1 for noise.
        model, method: names to show.
    """

    image: Callable[[int], Pixels]
    maps: NDArray[np.float32]
    labels: NDArray[Any] | None
    kept: NDArray[np.int64]
    embedding: NDArray[np.floating]
    eigenvalues: NDArray[np.float64]
    plane: NDArray[np.float32]
    clusterings: Mapping[str, NDArray[np.int64]]
    model: str = "unknown"
    method: str = "relevance"


def parts_of(spray: SpRAy, images: ArrayLike, maps: ArrayLike, labels: ArrayLike | None = None) -> VirelayParts:
    """The parts of a fitted analysis.

    Args:
        spray: fitted on ``maps``.
        images: (N, 3, H, W) or (N, 1, H, W) uint8, in whose frame the maps lie.
        maps: (N, h, w) or (N, C, h, w), whose channels are summed.
        labels: (N,).

    Raises `InputError` where they do not belong together.
    """
    pixels, values = np.asarray(images), np.asarray(maps, dtype=np.float32)
    values = values.sum(1) if values.ndim == 4 else values
    given = None if labels is None else np.asarray(labels)
    count = len(spray.duplicates_)
    if pixels.ndim != 4 or pixels.shape[1] not in (1, 3) or pixels.dtype != np.uint8 or len(pixels) != count:
        raise InputError(f"images are uint8 ({count}, 3, H, W), one a map, not {pixels.dtype} {pixels.shape}.")
    if values.ndim != 3 or len(values) != count or (given is not None and given.shape != (count,)):
        raise InputError(f"the analysis is of {count} maps: give it those maps, and one label for each or none.")
    return VirelayParts(
        lambda i: np.broadcast_to(pixels[i], (3, *pixels.shape[2:])),
        values,
        given,
        spray.kept_,
        spray.embedding_,
        spray.eigenvalues_,
        spray.project(),
        {name: labels[spray.kept_] for name, labels in spray.clusterings_.items()} | {"candidates": _first(spray)},
    )


def _first(spray: SpRAy) -> NDArray[np.int64]:
    """For each map analysed the number of the most significant candidate that it is in, from 1; -1 for none."""
    numbers = np.full(len(spray.duplicates_), -1)
    for number, candidate in reversed(list(enumerate(spray.candidates_, 1))):
        numbers[candidate.indices] = number
    return numbers[spray.kept_]


def export_virelay(parts: VirelayParts, target: str | Path) -> Path:
    """Writes the project into a folder, whole or not at all; returns the project file, which ``virelay`` opens.

    Raises `InputError` for pictures of several sizes, a folder that cannot be written to, and without h5py or PyYAML.
    """
    yaml, _ = _library("yaml"), _library("h5py")
    folder = output_folder(target)
    names, numbers = _named(parts)
    size = parts.image(0).shape[1:]
    (folder / "project.yaml").unlink(missing_ok=True)
    with _hdf5(folder / "data.h5") as file:
        _write_rows(file, "data", (_picture(parts, i, size) for i in range(len(numbers))), np.uint8, size, len(numbers))
        file["label"] = numbers
    with _hdf5(folder / "attributions.h5") as file:
        rows = (_attribution(map_, size) for map_ in parts.maps)
        _write_rows(file, "attribution", rows, np.float32, size, len(numbers))
        file["prediction"] = np.eye(len(names), dtype=np.float32)[numbers]
        file["label"], file["index"] = numbers, np.arange(len(numbers), dtype=np.uint32)
    with _hdf5(folder / "analysis.h5") as file:
        own = numbers[parts.kept]
        for number in range(len(names)):
            chosen = np.flatnonzero(own == number) if number else np.arange(len(own))
            if len(chosen):
                _write_category(file.create_group(_identifier(number)), parts, chosen)
    labels = [{"index": i, "word_net_id": _identifier(i), "name": name} for i, name in enumerate(names)]
    with replacing(folder / "label-map.json") as path:
        path.write_text(json.dumps(labels, indent=2) + "\n", encoding="utf-8")
    with replacing(folder / "project.yaml") as path:
        path.write_text(yaml.safe_dump({"project": _project(parts, size)}, sort_keys=False), encoding="utf-8")
    return folder / "project.yaml"


def _named(parts: VirelayParts) -> tuple[list[str], NDArray[np.uint16]]:
    """The labels' names, and the label (N,) of each image; the first is that of all."""
    if parts.labels is None:
        return [EVERYTHING], np.zeros(len(parts.maps), dtype=np.uint16)
    values, inverse = np.unique(parts.labels, return_inverse=True)
    return [EVERYTHING, *map(str, values)], (inverse + 1).astype(np.uint16)


def _identifier(number: int) -> str:
    return f"{number:08d}"


def _picture(parts: VirelayParts, i: int, size: tuple[int, ...]) -> Pixels:
    pixels = parts.image(i)
    if pixels.shape != (3, *size):
        raise InputError(
            f"image {i} is {pixels.shape}, the first one (3, {size[0]}, {size[1]}): bring them to one size."
        )
    return pixels


def _attribution(map_: NDArray[np.float32], size: tuple[int, ...]) -> NDArray[np.float32]:
    """The map at the picture's size (3, H, W), cells as squares; NaN and infinity, which no viewer paints, as 0."""
    finite = np.where(np.isfinite(map_), map_, 0).astype(np.float32)
    fine = Image.fromarray(finite).resize((size[1], size[0]), Image.Resampling.NEAREST)
    return np.broadcast_to(np.asarray(fine), (3, *size))


def _write_rows(file: Any, name: str, rows: Iterator[Any], dtype: Any, size: tuple[int, ...], count: int) -> None:
    shape = (3, *size)
    stored = file.create_dataset(name, (count, *shape), dtype, chunks=(1, *shape), **_PACKED)
    for i, row in enumerate(rows):
        stored[i] = row


def _write_category(group: Any, parts: VirelayParts, chosen: NDArray[np.int64]) -> None:
    group["index"] = parts.kept[chosen].astype(np.uint32)
    group["embedding/spectral"] = parts.embedding[chosen].astype(np.float32)
    group["embedding/spectral"].attrs["eigenvalue"] = parts.eigenvalues
    group["embedding/tsne"] = parts.plane[chosen].astype(np.float32)
    group["embedding/tsne"].attrs.update(embedding="spectral", index=np.array([0, 1]))
    for name, labels in parts.clusterings.items():
        group[f"cluster/{name}"] = labels[chosen].astype(np.int32)
        axes = np.arange(parts.embedding.shape[1])
        group[f"cluster/{name}"].attrs.update(embedding="spectral", k=len(np.unique(labels)), index=axes)


def _project(parts: VirelayParts, size: tuple[int, ...]) -> dict[str, Any]:
    return {
        "name": "SpRAy",
        "model": parts.model,
        "label_map": "label-map.json",
        "dataset": {
            "name": "images",
            "type": "hdf5",
            "path": "data.h5",
            "input_width": size[1],
            "input_height": size[0],
            "down_sampling_method": "none",
            "up_sampling_method": "none",
        },
        "attributions": {
            "attribution_method": parts.method,
            "attribution_strategy": "true_label",
            "sources": ["attributions.h5"],
        },
        "analyses": [{"analysis_method": "SpRAy", "sources": ["analysis.h5"]}],
    }


@contextmanager
def _hdf5(path: Path) -> Iterator[Any]:
    """A file that takes its place when all is written."""
    h5py = _library("h5py")
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        yield file


def _library(name: str) -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise InputError(
            f"projects of ViRelAy need h5py and PyYAML: pip install 'chinspect[virelay]' ({error})."
        ) from error
