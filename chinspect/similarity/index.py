"""A data set of images, explained once: any pair, any neighbourhood, any marginal map is then a matrix product.

On disk an index is a `Store` whose shards hold 16 images each:

    tables      (16, P, D) float16: each image's ``T``, divided by its largest absolute entry
    scales      (16,) float32: those entries
    embeddings  (16, D) float32
    explained   (16, D) float32: what the tables are of, where it is the embeddings' difference to those of references
    readable    (16,) bool: False for a file that is no image; its rows are zero

The store's description says what it was made of and how: images and their contents, encoder, its fingerprint,
method, patches. A run that was stopped anywhere goes on where it was; another encoder, method or folder, or an
image that was edited, is refused instead of mixed in. To explain a pair, two rows are read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from chinspect.encoders import Encoder, MethodChoice, References, as_encoder
from chinspect.errors import InputError
from chinspect.execute import Source, Store, load_samples, map_images
from chinspect.images import Preprocessing, open_image
from chinspect.relevance import Graph, Method, evaluation_mode
from chinspect.similarity.choice import settled_method
from chinspect.similarity.explained import explain_image
from chinspect.similarity.explanation import Metric, SimilarityExplanation, check_metric
from chinspect.similarity.image import Array, ExplainedImage, patch_boxes
from chinspect.similarity.standing import standing_among

SHARD = 16
_KIND = "similarity index"


class SimilarityIndex:
    """The explained images of a folder; made by `build`, read again by `open`.

    Attributes:
        path: the index's folder.
        names: of the images that could be read, relative to the folder of images, (N,).
        embeddings: (N, D).
        explained: what the tables are of (N, D): the embeddings, or their difference to those of references.
        method: how the images were explained.
        grid: rows and columns of patches.
    """

    def __init__(self, path: str | Path) -> None:
        """Opens a complete index; see `open`."""
        self.path = Path(path)
        try:
            self._store = Store.open(self.path)
        except InputError as error:
            raise InputError(f"{str(path)!r} is no similarity index: {error}") from error
        self._made: dict[str, Any] = self._store.description
        if self._made.get("kind") != _KIND:
            raise InputError(f"{str(path)!r} is no similarity index, but a store of something else.")
        missing = len(self._store.missing())
        if missing:
            raise InputError(
                f"the index {str(path)!r} is not complete ({missing} of {self._store.n_shards} shards are missing): "
                "build it again."
            )
        self._rows = np.flatnonzero(self._store.arrays("readable"))
        self._scales = self._store.arrays("scales")
        self.names = [self._made["images"][row] for row in self._rows]
        self.embeddings: Array = self._store.arrays("embeddings")[self._rows]
        self.method = Method.of(self._made)
        lrp = self.method.name == "lrp"
        self.explained: Array = self.embeddings if lrp else self._store.arrays("explained")[self._rows]
        self.grid: tuple[int, int] = tuple(self._made["grid"])

    @classmethod
    def open(cls, path: str | Path) -> SimilarityIndex:
        """Opens an index; `InputError` where there is none or it is not complete."""
        return cls(path)

    @classmethod
    def build(
        cls,
        encoder: Encoder | str,
        images: Source,
        path: str | Path,
        *,
        method: MethodChoice | Method | None = None,
        composite: str | None = None,
        reference: References = "blur",
        evaluations: int | None = None,
        patch_size: int = 16,
        workers: int = 0,
        progress: Callable[[int, int], None] | None = None,
    ) -> SimilarityIndex:
        """Explains all images of a data set; goes on where an earlier run with the same arguments was stopped.

        Args:
            encoder: an encoder, or the name of one (see `load_encoder`).
            images: folder, read recursively, a list or table of paths, or a list of images (see `load_samples`).
            path: folder of the index, made if need be.
            method, composite, reference, evaluations, patch_size: as in `explain_similarity`; the reference ``dataset``
                is the mean over some images of the data set, and the method ``auto`` is the most faithful one on it,
                which the index's folder then records (see `choose_method`).
            workers: 0 to work in this process, else how many workers on Ray (see `chinspect.execute.mapping`).
            progress: called with the number of images done and in all, after each shard.

        Raises:
            InputError: there are no images, or ``path`` holds an index of something else.
        """
        encoder = as_encoder(encoder)
        samples = load_samples(images)
        options, _ = settled_method(
            encoder,
            method,
            samples,
            composite=composite,
            reference=reference,
            evaluations=evaluations,
            folder=Path(path),
        )
        function = _Explain(encoder, patch_size, options)
        map_images(function, samples, path, shard_size=SHARD, workers=workers, progress=progress)
        return cls(path)

    def __len__(self) -> int:
        return len(self.names)

    def unreadable(self) -> list[str]:
        """Names of the images that could not be read and are left out."""
        names: list[str] = np.delete(np.array(self._made["images"], dtype=object), self._rows).tolist()
        return names

    def contributions(self, i: int) -> Array:
        """``T`` (P, D) of image ``i``: what each patch contributes to its embedding, to half precision."""
        row = int(self._rows[i])
        table = self._store.row(row // SHARD, "tables", row % SHARD)
        return table.astype(np.float32) * self._scales[row]

    def relevance(self, i: int, j: int) -> Array:
        """(h, w, h', w') as in `SimilarityExplanation`: which patches of ``i`` and ``j`` make them similar."""
        pairs = self.contributions(i) @ self.contributions(j).T
        return pairs.reshape(*self.grid, *self.grid)

    def marginal(self, i: int, j: int | None = None) -> Array:
        """(h, w): where in ``i`` its similarity to ``j`` lies; with no ``j``, that to the average image."""
        other = self.explained.mean(0) if j is None else self.explained[j]
        return (self.contributions(i) @ other).reshape(self.grid)

    def neighbours(self, i: int, k: int = 10, *, metric: Metric = "cosine") -> list[tuple[int, float]]:
        """The ``k`` images most similar to ``i`` and their similarities, most similar first."""
        check_metric(metric)
        vectors = self.embeddings
        if metric == "cosine":
            vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        similarities = vectors @ vectors[i]
        similarities[i] = -np.inf
        order = np.argsort(-similarities, kind="stable")[: min(k, len(self) - 1)]
        return [(int(j), float(similarities[j])) for j in order]

    def explain(self, i: int, j: int, *, metric: Metric = "dot") -> SimilarityExplanation:
        """The explanation of one pair, from the stored tables; the encoder is not needed.

        Where its cosine lies among those of all pairs of the index stands beside it.
        """
        explanation = SimilarityExplanation(
            self._image(i),
            self._image(j),
            metric=metric,
            encoder=self._made["encoder"],
            method=self.method,
            patch_size=self._made["patch_size"],
        )
        if explanation.cosine is None or len(self) < 3:
            return explanation
        return replace(explanation, standing=standing_among(self.embeddings, explanation.cosine))

    def _image(self, i: int) -> ExplainedImage:
        preprocessing = Preprocessing(**self._made["preprocessing"])
        path = Path(self._made["folder"]) / self.names[i]
        return ExplainedImage.of(
            str(path),
            open_image(path),
            preprocessing,
            self._made["patch_size"],
            embedding=self.embeddings[i],
            contributions=self.contributions(i),
            explained=self.explained[i],
        )


@dataclass(frozen=True)
class _Explain:
    """Tables of pictures, see `chinspect.execute.map_images`."""

    encoder: Encoder
    patch_size: int
    method: Method

    @property
    def description(self) -> dict[str, Any]:
        """What the index is made of and how."""
        size = self.encoder.preprocessing.size
        return {
            "kind": _KIND,
            "encoder": self.encoder.name,
            "fingerprint": self.encoder.fingerprint,
            "preprocessing": asdict(self.encoder.preprocessing),
            **_described(self.method),
            "patch_size": self.patch_size,
            "grid": list(patch_boxes((size, size), self.patch_size).shape[:2]),
            "dimension": _dimension(self.encoder),
        }

    @property
    def device(self) -> str:
        return self.encoder.device.type

    @cached_property
    def _model(self) -> nn.Module | Graph:
        size = self.encoder.preprocessing.size
        return self.method.reader(self.encoder.module, torch.zeros(1, 3, size, size, device=self.encoder.device))

    def __call__(self, pictures: Sequence[Image.Image], indices: range) -> dict[str, Array]:
        """The arrays of one shard; see the module."""
        tables, scales, embeddings, explained = [], [], [], []
        for picture, index in zip(pictures, indices, strict=True):
            image = explain_image(
                self.encoder, self._model, picture, self.method, self.patch_size, name=f"image {index}"
            )
            scale = np.abs(image.contributions).max() or 1.0
            tables.append((image.contributions / scale).astype(np.float16))
            scales.append(scale)
            embeddings.append(image.embedding)
            explained.append(image.explained)
        arrays: dict[str, Array] = {
            "tables": np.stack(tables),
            "scales": np.array(scales, np.float32),
            "embeddings": np.stack(embeddings).astype(np.float32),
        }
        if self.method.name != "lrp":  # which explains the embeddings themselves
            arrays["explained"] = np.stack(explained).astype(np.float32)
        return arrays


def _described(method: Method) -> dict[str, Any]:
    """The method as the store's description; that of LRP is as old as the index, which goes on."""
    document = method.document
    return {"composite": document["composite"]} if method.name == "lrp" else document


def _dimension(encoder: Encoder) -> int:
    size = encoder.preprocessing.size
    with evaluation_mode(encoder.module), torch.no_grad():
        return encoder.module(torch.zeros(1, 3, size, size, device=encoder.device)).shape[1]
