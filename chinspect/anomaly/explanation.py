"""The answer to "why is this image anomalous?": shares of an anomaly score by pixel, frequency and training image."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from dataclasses import fields as dataclass_fields
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from chinspect.anomaly._detector import Detector, Images
from chinspect.errors import InputError
from chinspect.files import output_folder, replacing
from chinspect.relevance import BandEdges, named_bands

Array = NDArray[np.floating[Any]]
FIGURE_ROWS = 16
"""Images that fit on a figure."""
AnomalyComponents = Literal["pixels", "bands", "pixel_bands", "neighbours"]


@dataclass(frozen=True, eq=False)
class AnomalyExplanation:
    """Scores of ``n`` images, shared among what they are made of; see `explain_anomaly`.

    Everything is in units of the score, and fields that were not asked for are None. With ``reference`` the shares of
    each kind sum to the score.

    Attributes:
        score: (n,), as the detector gives it.
        reference: (n,), the part of the score that nothing in the image can carry.
        conservation: (n,), the sum of all shares (of the finest kind asked for) over the score: 1 where none is lost.
        band_edges: at which a band begins, the first excepted.
        band_index: what the edges count: the ``order`` ``u + v`` of DCT coefficients, or their place on the ``zigzag``
            path.
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
    band_index: Literal["order", "zigzag"] = "order"
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
        """What each band holds, in orders or places: ``0-1``, ``2-18``, ``19+``."""
        return BandEdges(self.band_edges, self.band_index).names

    def take(self, index: NDArray[np.integer[Any]]) -> AnomalyExplanation:
        """The explanation of some of the images, in this order."""
        given = {field.name: getattr(self, field.name) for field in dataclass_fields(self)}
        return replace(self, **{name: value[index] for name, value in given.items() if isinstance(value, np.ndarray)})

    def highest(self) -> NDArray[np.int64]:
        """Indices of the images of the highest scores, as many as a figure shows, in the order of the images."""
        return np.sort(np.argsort(-self.score, kind="stable")[:FIGURE_ROWS])

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
        rows = self.to_frame().to_dict("records")
        document = {"bands": self.band_names, "band_index": self.band_index, "images": rows}
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

        Raises `InputError` for more than `FIGURE_ROWS` images, and for a file of another kind.

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
    bands: int | Sequence[int] | Literal["kauffmann2025"] = 3,
    components: AnomalyComponents = "pixel_bands",
) -> AnomalyExplanation:
    """Shares the anomaly score of each image among its pixels, its frequencies and the training images.

    Args:
        detector: a fitted detector.
        x: a batch (n, C, H, W) in [-1, 1], or images on disk as the detector reads them.
        bands: number of frequency bands (3 are those of the paper, orders 0-1, 2-18, 19+; others are spaced
            geometrically), or the DCT orders ``u + v`` at which a new one begins; see
            `chinspect.relevance.frequency_bands`. ``kauffmann2025`` are the 20 bins of the paper's spectra, which
            begin at the places ``(b / 20)^3.47 H W`` of the zigzag path; images have at least 55x55 pixels for them.
        components: ``neighbours`` alone, or beside it ``pixels``, ``bands``, or ``pixel_bands`` with its two marginals.

    Raises `InputError` for components or bands that do not exist, and scikit-learn's `NotFittedError`.

    Source: Kauffmann et al. 2025 (D2Neighbors, virtual DCT layer); Kauffmann et al. 2020 (soft minima).
    """
    if components not in get_args(AnomalyComponents):
        raise InputError(f"{components!r} are no components: use one of {', '.join(get_args(AnomalyComponents))}.")
    batch = detector.read(x)
    return detector.explain(batch, named_bands(batch.shape, bands), components)
