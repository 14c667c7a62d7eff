"""An analysis as a project of ViRelAy, the viewer of Anders et al. (2021, arXiv:2106.13200).

    project.yaml      names the files below
    label-map.json    index, identifier and name of each label; label 0 stands for all images
    data.h5           data (N, 3, H, W) uint8, label (N,)
    attributions.h5   attribution (N, 3, H, W) float32, prediction (N, P), label (N,), index (N,)
    analysis.h5       for all images, and for each class: index (n,), embedding/NAME (n, d), cluster/NAME (n,)

The viewer paints signed relevance only where attributions have three channels; the map is repeated, as fine as the
image, since it is laid over it. A prediction is asked for and SpRAy knows none: it is the label, one-hot. A class shows
its images in the analysis of all images, in the same clusters. Layout as read by virelay 0.6.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
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
class VirelayProject:
    """What the viewer shows of an analysis of N maps, n of which could be compared.

    Attributes:
        image: from an index to the picture (3, H, W) uint8, all of one size, in whose frame the map lies.
        maps: (N, h, w).
        labels: (N,) or None.
        analysed: (n,) indices of the maps that were compared.
        embedding, eigenvalues: (n, q) and (q,).
        plane: (n, 2), coordinates to look at.
        clusterings: name -> (n,) whole numbers, -1 for noise.
        model, method: names to show.
    """

    image: Callable[[int], Pixels]
    maps: NDArray[np.float32]
    labels: NDArray[Any] | None
    analysed: NDArray[np.int64]
    embedding: NDArray[np.floating]
    eigenvalues: NDArray[np.float64]
    plane: NDArray[np.float32]
    clusterings: Mapping[str, NDArray[np.int64]]
    model: str = "unknown"
    method: str = "relevance"


def project_of(spray: SpRAy, images: ArrayLike, maps: ArrayLike, labels: ArrayLike | None = None) -> VirelayProject:
    """A fitted analysis as a project.

    Args:
        spray: fitted on ``maps``.
        images: (N, 3, H, W) or (N, 1, H, W) uint8, in whose frame the maps lie.
        maps: (N, h, w) or (N, C, h, w), whose channels are summed.
        labels: (N,).

    Raises `InputError` where they do not belong together.
    """
    pixels = np.asarray(images)
    values = np.asarray(maps, dtype=np.float32)
    values = values.sum(1) if values.ndim == 4 else values
    classes = None if labels is None else np.asarray(labels)
    count = len(spray.duplicates_)
    if pixels.ndim != 4 or pixels.shape[1] not in (1, 3) or pixels.dtype != np.uint8 or len(pixels) != count:
        raise InputError(f"images are uint8 ({count}, 3, H, W), one a map, not {pixels.dtype} {pixels.shape}.")
    if values.ndim != 3 or len(values) != count or (classes is not None and classes.shape != (count,)):
        raise InputError(f"the analysis is of {count} maps: give it those maps, and one label for each or none.")
    return VirelayProject(
        lambda i: np.broadcast_to(pixels[i], (3, *pixels.shape[2:])),
        values,
        classes,
        spray.kept_,
        spray.embedding_,
        spray.eigenvalues_,
        spray.project(),
        {name: labels[spray.kept_] for name, labels in spray.clusterings_.items()} | {"candidates": _first(spray)},
    )


def _first(spray: SpRAy) -> NDArray[np.int64]:
    """For each map analysed the number of the most significant listed candidate with it, from 1; -1 for none."""
    numbers = np.full(len(spray.duplicates_), -1)
    for number, candidate in reversed(list(enumerate(spray.listed_, 1))):
        numbers[candidate.indices] = number
    return numbers[spray.kept_]


def export_virelay(project: VirelayProject, target: str | Path) -> Path:
    """Writes the project into a folder, whole or not at all; returns the project file, which ``virelay`` opens.

    Raises `InputError` for pictures of several sizes, a folder that cannot be written to, and without h5py or PyYAML.
    """
    yaml = _library("yaml")
    _library("h5py")
    folder = output_folder(target)
    names, numbers = _named(project)
    size = project.image(0).shape[1:]
    (folder / "project.yaml").unlink(missing_ok=True)
    with _hdf5(folder / "data.h5") as file:
        _write_rows(
            file, "data", (_picture(project, i, size) for i in range(len(numbers))), np.uint8, size, len(numbers)
        )
        file["label"] = numbers
    with _hdf5(folder / "attributions.h5") as file:
        rows = (_attribution(heatmap, size) for heatmap in project.maps)
        _write_rows(file, "attribution", rows, np.float32, size, len(numbers))
        file["prediction"] = np.eye(len(names), dtype=np.float32)[numbers]
        file["label"] = numbers
        file["index"] = np.arange(len(numbers), dtype=np.uint32)
    with _hdf5(folder / "analysis.h5") as file:
        own = numbers[project.analysed]
        for number in range(len(names)):
            selected = np.flatnonzero(own == number) if number else np.arange(len(own))
            if len(selected):
                _write_category(file.create_group(_identifier(number)), project, selected)
    labels = [{"index": i, "word_net_id": _identifier(i), "name": name} for i, name in enumerate(names)]
    with replacing(folder / "label-map.json") as path:
        path.write_text(json.dumps(labels, indent=2) + "\n", encoding="utf-8")
    with replacing(folder / "project.yaml") as path:
        path.write_text(yaml.safe_dump({"project": _project(project, size)}, sort_keys=False), encoding="utf-8")
    return folder / "project.yaml"


def _named(project: VirelayProject) -> tuple[list[str], NDArray[np.uint16]]:
    """The labels' names, and the label (N,) of each image; the first is that of all."""
    if project.labels is None:
        return [EVERYTHING], np.zeros(len(project.maps), dtype=np.uint16)
    values, inverse = np.unique(project.labels, return_inverse=True)
    return [EVERYTHING, *map(str, values)], (inverse + 1).astype(np.uint16)


def _identifier(number: int) -> str:
    return f"{number:08d}"


def _picture(project: VirelayProject, i: int, size: tuple[int, ...]) -> Pixels:
    pixels = project.image(i)
    if pixels.shape != (3, *size):
        raise InputError(
            f"image {i} is {pixels.shape}, the first one (3, {size[0]}, {size[1]}): bring them to one size."
        )
    return pixels


def _attribution(heatmap: NDArray[np.float32], size: tuple[int, ...]) -> NDArray[np.float32]:
    """The map at the picture's size (3, H, W), cells as squares; NaN and infinity, which no viewer paints, as 0."""
    finite = np.where(np.isfinite(heatmap), heatmap, 0).astype(np.float32)
    fine = Image.fromarray(finite).resize((size[1], size[0]), Image.Resampling.NEAREST)
    return np.broadcast_to(np.asarray(fine), (3, *size))


def _write_rows(file: Any, name: str, rows: Iterator[Any], dtype: Any, size: tuple[int, ...], count: int) -> None:
    shape = (3, *size)
    stored = file.create_dataset(name, (count, *shape), dtype, chunks=(1, *shape), **_PACKED)
    for i, row in enumerate(rows):
        stored[i] = row


def _write_category(group: Any, project: VirelayProject, selected: NDArray[np.int64]) -> None:
    group["index"] = project.analysed[selected].astype(np.uint32)
    group["embedding/spectral"] = project.embedding[selected].astype(np.float32)
    group["embedding/spectral"].attrs["eigenvalue"] = project.eigenvalues
    group["embedding/tsne"] = project.plane[selected].astype(np.float32)
    group["embedding/tsne"].attrs.update(embedding="spectral", index=np.array([0, 1]))
    for name, labels in project.clusterings.items():
        group[f"cluster/{name}"] = labels[selected].astype(np.int32)
        axes = np.arange(project.embedding.shape[1])
        group[f"cluster/{name}"].attrs.update(embedding="spectral", k=len(np.unique(labels)), index=axes)


def _project(project: VirelayProject, size: tuple[int, ...]) -> dict[str, Any]:
    return {
        "name": "SpRAy",
        "model": project.model,
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
            "attribution_method": project.method,
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
    try:
        return import_module(name)
    except ImportError as error:
        raise InputError(
            f"projects of ViRelAy need h5py and PyYAML: pip install 'chinspect[virelay]' ({error})."
        ) from error
