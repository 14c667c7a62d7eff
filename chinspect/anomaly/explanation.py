"""The answer to "why is this image anomalous?": shares of an anomaly score by pixel, frequency and training image."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import fields as dataclass_fields
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from chinspect.anomaly._detector import Detector, Images
from chinspect.errors import InputError
from chinspect.files import output_folder, replacing
from chinspect.relevance import band_edges

Array = NDArray[np.floating[Any]]
AnomalyComponents = Literal["pixels", "bands", "pixel_bands", "neighbours"]
PAPER_EDGES = (2, 19)
"""The three bands of Kauffmann et al. 2025: DCT orders 0-1, 2-18 and from 19 on."""


@dataclass(frozen=True, eq=False)
class AnomalyExplanation:
    """Scores of ``n`` images, shared among what they are made of; see `explain_anomaly`.

    Everything is in units of the score, and fields that were not asked for are None. With ``reference`` the shares of
    each kind sum to the score.

    Attributes:
        score: (n,), as the detector gives it.
        reference: (n,), the part of the score that nothing in the image can carry.
        conservation: (n,), the sum of all shares (of the finest kind asked for) over the score: 1 where none is lost.
        band_edges: the DCT orders ``u + v`` at which a band begins, the first excepted.
        pixels: (n, H, W), summed over channels.
        bands: (n, B), frequency bands, lowest first.
        pixel_bands: (n, B, H, W), the bands of each pixel; single values may be negative.
        neighbours: (n, N), training images (of a memory bank: where its entries come from).
        nearest: (n, k), the training images of the largest share, largest first.
        nearest_images: (n, k, H, W, 3), 8-bit pictures of them.
    """

    score: Array
    reference: Array
    conservation: Array
    band_edges: tuple[int, ...]
    pixels: Array | None = None
    bands: Array | None = None
    pixel_bands: Array | None = None
    neighbours: Array | None = None
    nearest: NDArray[np.integer[Any]] | None = None
    nearest_images: NDArray[np.uint8] | None = None

    def __len__(self) -> int:
        return len(self.score)

    @property
    def band_names(self) -> list[str]:
        """The DCT orders of each band: ``0-1``, ``2-18``, ``19+``."""
        starts = (0, *self.band_edges)
        closed = [str(a) if b == a + 1 else f"{a}-{b - 1}" for a, b in pairwise(starts)]
        return [*closed, f"{starts[-1]}+"]

    def to_frame(self) -> pd.DataFrame:
        """One row an image: score, reference, conservation, the share of each band and the nearest training image."""
        columns: dict[str, Any] = {name: getattr(self, name) for name in ("score", "reference", "conservation")}
        if self.bands is not None:
            columns |= {f"band_{name}": self.bands[:, b] for b, name in enumerate(self.band_names)}
        if self.nearest is not None:
            columns["nearest"] = self.nearest[:, 0]
        return pd.DataFrame(columns)

    def save(self, folder: str | Path) -> list[Path]:
        """Writes ``anomaly.json`` (the table of `to_frame` and the bands) and ``anomaly.npz`` (all arrays)."""
        target = output_folder(folder)
        document = {"bands": self.band_names, "images": self.to_frame().to_dict("records")}
        given = {field.name: getattr(self, field.name) for field in dataclass_fields(self)}
        arrays = {name: np.asarray(value) for name, value in given.items() if value is not None}
        paths = [target / "anomaly.json", target / "anomaly.npz"]
        with replacing(paths[0]) as path:
            path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        with replacing(paths[1]) as path, path.open("wb") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
        return paths

    def plot(self, path: str | Path, images: ArrayLike) -> Path:
        """Draws one row an image: the picture, where its score lies, in which bands, and what it was compared with.

        Args:
            path: a PNG, SVG or PDF file.
            images: what the detector saw, as 8-bit pixels (n, H, W, 3) or as inputs (n, C, H, W) in [-1, 1].
        """
        from chinspect.anomaly._figure import draw  # matplotlib is slow to import

        return draw(self, Path(path), np.asarray(images))


def explain_anomaly(
    detector: Detector,
    x: Images,
    *,
    bands: int | Sequence[int] = 3,
    components: AnomalyComponents = "pixel_bands",
) -> AnomalyExplanation:
    """Shares the anomaly score of each image among its pixels, its frequencies and the training images.

    Args:
        detector: a fitted detector.
        x: a batch (n, C, H, W) in [-1, 1], or images on disk as the detector reads them.
        bands: number of frequency bands (3 are those of the paper, orders 0-1, 2-18, 19+; others are spaced
            geometrically), or the DCT orders ``u + v`` at which a new one begins; see
            `chinspect.relevance.frequency_bands`.
        components: ``neighbours`` alone, or beside it ``pixels``, ``bands``, or ``pixel_bands`` with its two marginals.

    Raises `InputError` for components or bands that do not exist, and scikit-learn's `NotFittedError`.

    Source: Kauffmann et al. 2025 (D2Neighbors, virtual DCT layer); Kauffmann et al. 2020 (soft minima).
    """
    if components not in get_args(AnomalyComponents):
        raise InputError(f"{components!r} are no components: use one of {', '.join(get_args(AnomalyComponents))}.")
    batch = detector.read(x)
    shape = batch.shape[-2:]
    if bands == 3 and sum(shape) - 1 > PAPER_EDGES[-1]:
        bands = PAPER_EDGES
    return detector.explain(batch, band_edges(shape, bands), components)
