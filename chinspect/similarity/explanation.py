"""The answer to "why are these two images similar?"."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from torch import Tensor

from chinspect.encoders import Encoder
from chinspect.errors import InputError
from chinspect.files import output_folder, replacing
from chinspect.similarity.frequency import FrequencySimilarity, share_by_frequency

Metric = Literal["dot", "cosine"]
Array = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class ExplainedImage:
    """One image, and what its patches contribute to its embedding.

    Attributes:
        name: its path, for a picture in memory ``image``.
        picture: what the encoder sees of it, RGB.
        original_size: (width, height) of the whole image.
        boxes: (h, w, 4) patches as x0, y0, x1, y1 in pixels of the whole image, resize and crop undone.
        embedding: (D,).
        contributions: ``T`` (h * w, D), row-major patches; the sum over patches is the embedding if relevance is
            conserved.
        input: what the encoder reads, (1, C, H, W); None where it was not kept.
    """

    name: str
    picture: Image.Image
    original_size: tuple[int, int]
    boxes: Array
    embedding: Array
    contributions: Array
    input: Tensor | None = field(default=None, repr=False)

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        return self.boxes.shape[0], self.boxes.shape[1]


@dataclass(frozen=True)
class PatchPair:
    """A patch of image a, one of image b, and what they contribute together.

    Attributes:
        relevance: in units of the similarity; negative where the pair makes the images less similar.
        share: of the similarity.
        box_a, box_b: x0, y0, x1, y1 in pixels of the original images.
    """

    relevance: float
    share: float
    box_a: tuple[float, ...]
    box_b: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class SimilarityExplanation:
    """A similarity, shared among pairs of patches; see `explain_similarity`.

    Attributes:
        a, b: the images.
        metric: what is explained, the ``dot`` product or the ``cosine`` of the embeddings.
        encoder, composite, patch_size: how; the encoder is its name where only that is known.
        seconds: what it took, loading not counted.
        warnings: what to know before trusting the result.
    """

    a: ExplainedImage
    b: ExplainedImage
    metric: Metric
    encoder: Encoder | str
    composite: str
    patch_size: int
    seconds: float = 0.0
    warnings: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        check_metric(self.metric)

    @property
    def model(self) -> str:
        """The encoder's name."""
        return self.encoder if isinstance(self.encoder, str) else self.encoder.name

    @cached_property
    def _norm(self) -> float:
        if self.metric == "dot":
            return 1.0
        norm = float(np.linalg.norm(self.a.embedding) * np.linalg.norm(self.b.embedding))
        if norm == 0:
            raise InputError("the cosine of an embedding of zeros does not exist: use the dot product.")
        return norm

    @cached_property
    def similarity(self) -> float:
        """The dot product or cosine of the embeddings, as the encoder gives it."""
        return float(self.a.embedding.astype(float) @ self.b.embedding.astype(float)) / self._norm

    @cached_property
    def relevance(self) -> Array:
        """(h, w, h', w'): what each patch of a contributes together with each patch of b."""
        pairs = self.a.contributions @ self.b.contributions.T / self._norm
        return pairs.reshape(*self.a.grid, *self.b.grid)

    @property
    def conservation(self) -> float:
        """Sum of all relevance over the similarity: 1 where none is lost."""
        return float(self.relevance.sum(dtype=float)) / self.similarity if self.similarity else float("nan")

    def marginals(self) -> tuple[Array, Array]:
        """What each patch contributes with all patches of the other image: (h, w) for a, (h', w') for b."""
        return self.relevance.sum((2, 3)), self.relevance.sum((0, 1))

    def matches(self, region: ArrayLike) -> Array:
        """What in a matches a region of b.

        Args:
            region: patches of b as booleans (h', w'), or a box x0, y0, x1, y1 in pixels of the original image b; a
                patch that the box cuts counts by the part inside.

        Returns:
            (h, w): relevance of the patches of a together with the region. It sums to what the region contributes.
        """
        return np.tensordot(self.relevance, _weights(region, self.b), axes=2)

    def by_frequency(self, bands: int | Sequence[int], *, composite: str = "epsilon_plus") -> FrequencySimilarity:
        """The dot product by pairs of frequency bands (see `frequency_bands`) instead of patches.

        Bands overlap in the pixels, so the first layer's rule must read values: the composite is another than the
        explanation's, where that is flat or z-box.
        """
        if isinstance(self.encoder, str) or self.a.input is None or self.b.input is None:
            raise InputError("frequencies need the encoder and its inputs: explain this pair with explain_similarity.")
        return share_by_frequency(self.encoder.module, (self.a.input, self.b.input), bands, composite)

    def top_pairs(self, n: int = 20) -> list[PatchPair]:
        """The ``n`` pairs of patches of the largest absolute relevance, largest first."""
        flat = self.relevance.reshape(-1)
        boxes_a, boxes_b = self.a.boxes.reshape(-1, 4), self.b.boxes.reshape(-1, 4)
        pairs = []
        for index in strongest(flat, n):
            i, j = divmod(int(index), len(boxes_b))
            value = float(flat[index])
            pairs.append(PatchPair(value, value / self.similarity, _box(boxes_a[i]), _box(boxes_b[j])))
        return pairs

    def to_frame(self) -> pd.DataFrame:
        """All pairs of patches, one a row: rows and columns of both patches, relevance, share of the similarity."""
        row_a, column_a, row_b, column_b = (index.reshape(-1) for index in np.indices(self.relevance.shape))
        values = self.relevance.reshape(-1)
        columns = {"row_a": row_a, "column_a": column_a, "row_b": row_b, "column_b": column_b}
        return pd.DataFrame({**columns, "relevance": values, "share": values / self.similarity})

    def document(self, top: int = 20) -> dict[str, Any]:
        """What there is to say, as JSON-ready values."""
        return {
            "similarity": self.similarity,
            "metric": self.metric,
            "relevance_sum": float(self.relevance.sum(dtype=float)),
            "conservation": self.conservation,
            "images": [self.a.name, self.b.name],
            "model": self.model,
            "composite": self.composite,
            "patch_size": self.patch_size,
            "patch_grid": [*self.a.grid, *self.b.grid],
            "top_pairs": [asdict(pair) for pair in self.top_pairs(top)],
            "seconds": self.seconds,
            "warnings": list(self.warnings),
        }

    def save(self, folder: str | Path, *, top: int = 20, extras: dict[str, Any] | None = None) -> list[Path]:
        """Writes ``similarity.json`` (see `document`, with ``extras``) and ``similarity.npz`` (all arrays)."""
        target = output_folder(folder)
        arrays = {"relevance": self.relevance}
        for side, image in (("a", self.a), ("b", self.b)):
            arrays |= {f"contributions_{side}": image.contributions, f"embedding_{side}": image.embedding}
            arrays[f"boxes_{side}"] = image.boxes
        paths = [target / "similarity.json", target / "similarity.npz"]
        with replacing(paths[0]) as path:
            path.write_text(json.dumps(self.document(top) | (extras or {}), indent=2) + "\n", encoding="utf-8")
        with replacing(paths[1]) as path, path.open("wb") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
        return paths

    def plot(self, path: str | Path) -> Path:
        """Draws the strongest pairs as curves between the images, and both marginals, to a PNG, SVG or PDF file."""
        from chinspect.similarity._figure import draw  # matplotlib is slow to import

        return draw(self, Path(path))


def check_metric(metric: str) -> None:
    """`InputError` for another metric than those of `Metric`."""
    if metric not in get_args(Metric):
        raise InputError(f"unknown metric {metric!r}: choose dot or cosine.")


def strongest(values: Array, n: int) -> NDArray[np.intp]:
    """Indices of the ``n`` largest absolute values, largest first."""
    n = min(n, values.size)
    candidates = np.argpartition(-np.abs(values), n - 1)[:n] if n else np.empty(0, np.intp)
    return candidates[np.argsort(-np.abs(values[candidates]), kind="stable")]


def _weights(region: ArrayLike, image: ExplainedImage) -> Array:
    given = np.asarray(region)
    if given.shape == image.grid:
        return given.astype(float)
    if given.shape != (4,):
        raise InputError(f"a region is a mask of {image.grid} patches or a box of 4 numbers, not {given.shape}.")
    x0, y0, x1, y1 = given.astype(float)
    if x1 <= x0 or y1 <= y0:
        raise InputError(f"the box {given.tolist()} is empty: give x0 < x1 and y0 < y1.")
    left, top, right, bottom = np.moveaxis(image.boxes, -1, 0)
    width = np.clip(np.minimum(right, x1) - np.maximum(left, x0), 0, None)
    height = np.clip(np.minimum(bottom, y1) - np.maximum(top, y0), 0, None)
    return width * height / ((right - left) * (bottom - top))


def _box(values: Array) -> tuple[float, ...]:
    return tuple(round(float(value), 1) for value in values)
