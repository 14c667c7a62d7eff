"""What each image of a set contributes to its embedding, plain and with each artefact, computed once.

The map that an audit analyses is ``T w`` for the table T (P, D) of an image and the weights w of its neighbours, and
the relevance of a pair ``T_a T_b^T``: both are products, and a data set with carriers is a mix of rows. So a draw costs
no network but for its proofs. Maps have 14 x 14 or 16 x 16 patches here and
16 x 16 cells in an audit; pairs half as many to a side, and 7 x 7 in an audit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from chinspect.encoders import Encoder, method_for
from chinspect.files import output_folder, replacing
from chinspect.relevance import contributions, patches

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
_FINE = 16  # pixels of a patch of maps, and half as many of images below 160: 14 or 16 patches to a side
_SIDE = 2  # patches of a map to the side of a patch of pairs


@dataclass(frozen=True, eq=False)
class Explained:
    """Images that are seen, uint8 (N, S, S, 3), their tables (N, P, D), and embeddings (N, D)."""

    pictures: Pixels
    tables: NDArray[np.float16]
    scales: Floats
    embeddings: Floats
    explained: Floats

    @property
    def grid(self) -> int:
        """Patches to a side."""
        return math.isqrt(self.tables.shape[1])


def explained(encoder: Encoder, pictures: Pixels, path: Path) -> Explained:
    """Read from a file, or computed and written there; half precision, as an index of an audit has."""
    if not path.exists():
        patch = _FINE if encoder.preprocessing.size >= 160 else _FINE // 2
        method = method_for(encoder)
        reader = method.reader(encoder.module, encoder.inputs(pictures[:1]))
        made = [contributions(reader, encoder.inputs([picture]), patches(patch), method) for picture in pictures]
        values = np.stack([table.values.cpu().numpy() for table in made])
        scales = np.abs(values).max((1, 2)).astype(np.float32)
        arrays = {
            "tables": (values / np.maximum(scales, 1e-30)[:, None, None]).astype(np.float16),
            "scales": scales,
            "embeddings": np.stack([table.output.cpu().numpy() for table in made]).astype(np.float32),
            "explained": np.stack([table.explained.cpu().numpy() for table in made]).astype(np.float32),
        }
        output_folder(path.parent)
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **arrays)
    with np.load(path, allow_pickle=False) as stored:
        return Explained(pictures, stored["tables"], stored["scales"], stored["embeddings"], stored["explained"])


class Mixed:
    """Some of the images, carriers from one source and the others from another: what `suspicious_pairs` asks an index.

    Attributes:
        names, embeddings, explained, grid: as of `chinspect.similarity.SimilarityIndex`.
    """

    def __init__(self, plain: Explained, marked: Explained, rows: NDArray[np.intp], carries: NDArray[np.bool_]) -> None:
        self._sources = [(marked if carrier else plain, int(row)) for row, carrier in zip(rows, carries, strict=True)]
        self.names = [f"{row:04}" for row in rows]
        self.embeddings = np.stack([source.embeddings[row] for source, row in self._sources])
        self.explained = np.stack([source.explained[row] for source, row in self._sources])
        self._fine = plain.grid
        self.grid = (plain.grid // _SIDE, plain.grid // _SIDE)
        unit = self.embeddings / np.maximum(np.linalg.norm(self.embeddings, axis=1, keepdims=True), 1e-12)
        self._cosines = unit @ unit.T
        np.fill_diagonal(self._cosines, -np.inf)

    def __len__(self) -> int:
        return len(self.names)

    def picture(self, i: int) -> Image.Image:
        """What the model sees."""
        source, row = self._sources[i]
        return Image.fromarray(source.pictures[row])

    def table(self, i: int) -> Floats:
        """``T`` (P, D) of an image."""
        source, row = self._sources[i]
        return source.tables[row].astype(np.float32) * source.scales[row]

    def map(self, i: int, weights: Floats) -> Floats:
        """(h, w): relevance of ``<weights, embedding>``."""
        return (self.table(i) @ weights).reshape(self._fine, self._fine)

    def neighbours(self, i: int, k: int) -> list[tuple[int, float]]:
        """The images most similar to one, and their cosines."""
        order = np.argsort(-self._cosines[i], kind="stable")[: min(k, len(self) - 1)]
        return [(int(j), float(self._cosines[i, j])) for j in order]

    def relevance(self, i: int, j: int) -> Floats:
        """(h, w, h, w) of a pair, on the coarse grid: contributions of a patch are the sum of those inside it."""
        return (self._coarse(i) @ self._coarse(j).T).reshape(*self.grid, *self.grid)

    def _coarse(self, i: int) -> Floats:
        rows, columns = self.grid
        fine = self.table(i).reshape(rows, _SIDE, columns, _SIDE, -1)
        return fine.sum((1, 3)).reshape(rows * columns, -1)
