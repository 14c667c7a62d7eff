"""A folder of images, explained once: any pair, any neighbourhood, any marginal map is then a matrix product.

On disk an index is a folder:

    manifest.json   what it was made of and how: images, encoder, its fingerprint, composite, patches
    tables/         zarr (N, P, D) float16: each image's ``T``, divided by its largest absolute entry
    scales/         zarr (N,): those entries
    embeddings/     zarr (N, D) float32
    states/         zarr (N,): 0 to be done, 1 done, 2 not readable

Images are explained in shards of 16. A shard is written when it is complete and its state last, so that a run that was
stopped anywhere goes on where it was. Another encoder, composite or folder is refused instead of mixed in.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zarr

from chinspect.encoders import Encoder
from chinspect.errors import InputError
from chinspect.files import output_folder, replacing
from chinspect.images import Preprocessing, list_images, open_image
from chinspect.relevance import trace
from chinspect.similarity.bilrp import explain_image, patch_boxes, resolve_composite
from chinspect.similarity.explanation import Array, ExplainedImage, Metric, SimilarityExplanation

SHARD = 16
_LAYOUT = 1
_DONE, _UNREADABLE = 1, 2


class SimilarityIndex:
    """The explained images of a folder; made by `build`, read again by `open`.

    Attributes:
        path: the index's folder.
        names: of the images that could be read, relative to the folder of images, (N,).
        embeddings: (N, D).
        grid: rows and columns of patches.
    """

    def __init__(self, path: str | Path) -> None:
        """Opens a complete index; see `open`."""
        self.path = Path(path)
        self._manifest = _read_manifest(self.path)
        states = _array(self.path, "states")[:]
        if (states == 0).any():
            missing = int((states == 0).sum())
            raise InputError(f"the index {str(path)!r} is not complete ({missing} images are missing): build it again.")
        self._rows = np.flatnonzero(states == _DONE)
        self._tables, self._scales = _array(self.path, "tables"), _array(self.path, "scales")[:]
        self.names = [self._manifest["images"][row] for row in self._rows]
        self.embeddings: Array = _array(self.path, "embeddings")[:][self._rows]
        self.grid: tuple[int, int] = tuple(self._manifest["grid"])

    @classmethod
    def open(cls, path: str | Path) -> SimilarityIndex:
        """Opens an index; `InputError` where there is none or it is not complete."""
        return cls(path)

    @classmethod
    def build(
        cls,
        encoder: Encoder,
        images: str | Path,
        path: str | Path,
        *,
        patch_size: int = 16,
        composite: str = "epsilon_plus_flat",
        progress: Callable[[int, int], None] | None = None,
    ) -> SimilarityIndex:
        """Explains all images of a folder; goes on where an earlier run with the same arguments was stopped.

        Args:
            images: folder, read recursively.
            path: folder of the index, made if need be.
            progress: called with the number of images done and in all, after each shard.

        Raises:
            InputError: there are no images, or ``path`` holds an index of something else.
        """
        target, root = output_folder(path), Path(images)
        names = [found.relative_to(root).as_posix() for found in list_images(root)]
        manifest = _manifest(encoder, root, names, patch_size, composite)
        _prepare(target, manifest)
        states = _array(target, "states")
        for start in range(0, len(names), SHARD):
            if not states[start : start + SHARD].all():
                _explain_shard(target, encoder, manifest, start)
            if progress is not None:
                progress(min(start + SHARD, len(names)), len(names))
        return cls(target)

    def __len__(self) -> int:
        return len(self.names)

    def unreadable(self) -> list[str]:
        """Names of the images that could not be read and are left out."""
        states = _array(self.path, "states")[:]
        return [self._manifest["images"][row] for row in np.flatnonzero(states == _UNREADABLE)]

    def contributions(self, i: int) -> Array:
        """``T`` (P, D) of image ``i``: what each patch contributes to its embedding, to half precision."""
        row = self._rows[i]
        return self._tables[row].astype(np.float32) * self._scales[row]

    def relevance(self, i: int, j: int) -> Array:
        """(h, w, h', w') as in `SimilarityExplanation`: which patches of ``i`` and ``j`` make them similar."""
        pairs = self.contributions(i) @ self.contributions(j).T
        return pairs.reshape(*self.grid, *self.grid)

    def marginal(self, i: int, j: int | None = None) -> Array:
        """(h, w): where in ``i`` its similarity to ``j`` lies; with no ``j``, that to the average image."""
        other = self.embeddings.mean(0) if j is None else self.embeddings[j]
        return (self.contributions(i) @ other).reshape(self.grid)

    def neighbours(self, i: int, k: int = 10, *, metric: Metric = "cosine") -> list[tuple[int, float]]:
        """The ``k`` images most similar to ``i`` and their similarities, most similar first."""
        vectors = self.embeddings
        if metric == "cosine":
            vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        similarities = vectors @ vectors[i]
        similarities[i] = -np.inf
        order = np.argsort(-similarities, kind="stable")[: min(k, len(self) - 1)]
        return [(int(j), float(similarities[j])) for j in order]

    def explain(self, i: int, j: int, *, metric: Metric = "dot") -> SimilarityExplanation:
        """The explanation of one pair, from the stored tables; the encoder is not needed."""
        return SimilarityExplanation(
            self._image(i),
            self._image(j),
            metric=metric,
            encoder=self._manifest["encoder"],
            composite=self._manifest["composite"],
            patch_size=self._manifest["patch_size"],
        )

    def _image(self, i: int) -> ExplainedImage:
        preprocessing = Preprocessing(**self._manifest["preprocessing"])
        path = Path(self._manifest["folder"]) / self.names[i]
        picture = open_image(path)
        boxes = patch_boxes((preprocessing.size, preprocessing.size), self._manifest["patch_size"])
        return ExplainedImage(
            name=str(path),
            picture=preprocessing.visible(picture),
            original_size=picture.size,
            boxes=preprocessing.to_original(boxes, picture.size),
            embedding=self.embeddings[i],
            contributions=self.contributions(i),
        )


def _manifest(encoder: Encoder, root: Path, names: list[str], patch_size: int, composite: str) -> dict[str, Any]:
    size = encoder.preprocessing.size
    return {
        "layout": _LAYOUT,
        "encoder": encoder.name,
        "fingerprint": encoder.fingerprint,
        "preprocessing": asdict(encoder.preprocessing),
        "composite": composite,
        "patch_size": patch_size,
        "grid": list(patch_boxes((size, size), patch_size).shape[:2]),
        "dimension": _dimension(encoder),
        "folder": str(root.resolve()),
        "images": names,
    }


def _dimension(encoder: Encoder) -> int:
    size = encoder.preprocessing.size
    with torch.no_grad():
        return encoder.module(torch.zeros(1, 3, size, size, device=encoder.device)).shape[1]


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{str(path)!r} is not a similarity index: it has no readable manifest.json.") from error
    if not isinstance(manifest, dict) or manifest.get("layout") != _LAYOUT:
        raise InputError(f"the index {str(path)!r} has a layout that this version cannot read: build it again.")
    return manifest


def _prepare(target: Path, manifest: dict[str, Any]) -> None:
    """Makes the arrays of a new index, or checks that the one there is of the same making."""
    if (target / "manifest.json").exists():
        known = _read_manifest(target)
        given = json.loads(json.dumps(manifest))
        changed = [key for key in given if known.get(key) != given[key]]
        if changed:
            raise InputError(
                f"{str(target)!r} holds an index with another {changed[0]}: choose another folder or remove it."
            )
        return
    count, patches, dimension = len(manifest["images"]), int(np.prod(manifest["grid"])), manifest["dimension"]
    for name, shape, kind in (
        ("tables", (count, patches, dimension), "float16"),
        ("scales", (count,), "float32"),
        ("embeddings", (count, dimension), "float32"),
        ("states", (count,), "uint8"),
    ):
        whole, one = (SHARD, *shape[1:]), (1, *shape[1:])
        zarr.create_array(target / name, shape=shape, dtype=kind, shards=whole, chunks=one, overwrite=True)
    with replacing(target / "manifest.json") as temporary:
        temporary.write_text(json.dumps(manifest), encoding="utf-8")


def _array(path: Path, name: str) -> Any:
    try:
        return zarr.open_array(path / name, mode="r+")
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"the index {str(path)!r} lacks its {name}: build it again.") from error


def _explain_shard(target: Path, encoder: Encoder, manifest: dict[str, Any], start: int) -> None:
    names = manifest["images"][start : start + SHARD]
    shape = (len(names), int(np.prod(manifest["grid"])), manifest["dimension"])
    tables, embeddings = np.zeros(shape, np.float16), np.zeros((shape[0], shape[2]), np.float32)
    scales, states = np.zeros(shape[0], np.float32), np.full(shape[0], _UNREADABLE, np.uint8)
    table = resolve_composite(manifest["composite"], encoder)
    graph = None
    for row, name in enumerate(names):
        try:
            picture = open_image(Path(manifest["folder"]) / name)
        except InputError:
            continue
        graph = graph or trace(encoder.module, encoder.prepare(picture))
        image = explain_image(encoder, graph, picture, table, manifest["patch_size"], name=name)
        scales[row] = np.abs(image.contributions).max() or 1.0
        tables[row] = image.contributions / scales[row]
        embeddings[row] = image.embedding
        states[row] = _DONE
    rows = slice(start, start + len(names))
    for key, values in (("tables", tables), ("scales", scales), ("embeddings", embeddings), ("states", states)):
        _array(target, key)[rows] = values
