"""The answer to "why is this image anomalous?": an anomaly score by pixel, frequency and training image.

Relevance is one array (n, B, H, W): of n images in B frequency bands at each pixel. Everything else is a sum of it.
Where only bands or only pixels are asked for, the other axes have length 1, which saves most of the work.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from chinspect.faithfulness import Deletion, deletions_in_words
from chinspect.relevance import BandEdges, Method, inner_by_band, lower_bands
from chinspect.report import Result, records

Array = NDArray[np.floating[Any]]
FIGURE_ROWS = 16
"""Images that fit on a figure."""
AnomalyComponents = Literal["pixels", "bands", "pixel_bands", "neighbours"]
_SUMS: Mapping[str, tuple[str, ...]] = {
    "neighbours": (),
    "pixels": ("pixels",),
    "bands": ("bands",),
    "pixel_bands": ("pixels", "bands", "pixel_bands"),
}  # of the relevance, by what was asked for


@dataclass(frozen=True)
class Resolution:
    """What relevance is resolved into.

    Attributes:
        edges: of the frequency bands.
        pixels: whether each pixel has relevance of its own.
    """

    edges: BandEdges
    pixels: bool

    def zeros(self, x: Tensor) -> Tensor:
        """Relevance of images like ``x`` (n, C, H, W) before any is added: (n, B, H, W), or (n, B, 1, 1) in float64."""
        if self.pixels:
            return x.new_zeros(len(x), self.edges.count, *x.shape[2:])
        return torch.zeros(len(x), self.edges.count, 1, 1, dtype=torch.float64)

    def products(self, x: Tensor, y: Tensor, lower: Tensor | None = None) -> Tensor:
        """``[P_b x]_i y_i``, value times derivative, summed over channels and as far as it is not resolved over pixels.

        Of pixels, all bands together stand in the position of the last one, until `completed`: what is summed over
        many pairs of images is divided once.

        Args:
            x, y: (n, C, H, W).
            lower: all bands of ``x`` but the last, as `lower_bands` gives them, where they are known; overwritten.

        Returns:
            (n, B, H, W), or (n, B, 1, 1).
        """
        if not self.pixels:
            return inner_by_band(x, y, self.edges)[:, :, None, None]
        products = x.new_empty(len(x), self.edges.count, *x.shape[2:])
        torch.sum(x * y, 1, out=products[:, -1])
        for b, band in enumerate(self.lower(x) if lower is None else lower):
            torch.sum(band.mul_(y), 1, out=products[:, b])
        return products

    def completed(self, sums: Tensor) -> Tensor:
        """Sums of `products`, (n, B, H, W) or (n, B, 1, 1), with the last band as what the others leave; in place."""
        if self.pixels:
            sums[:, -1] -= sums[:, :-1].sum(1)
        return sums

    def lower(self, x: Tensor) -> Tensor:
        """All bands of ``x`` (n, C, H, W) but the last: (B - 1, n, C, H, W)."""
        return lower_bands(x, self.edges)


@dataclass(frozen=True, eq=False, repr=False)
class AnomalyExplanation(Result):
    """Scores of ``n`` images and what they are made of, in units of the score; see `explain_anomaly`.

    Attributes:
        names: (n,), paths of the images as text, or ``image 0``, ``image 1``, ...
        images: (n, H, W, 3), 8-bit pictures of the detector's inputs.
        threshold: the score above which an image is called anomalous.
        score: (n,), as the detector gives it.
        reference: (n,), what of the score the relevance is not of. Of ``shapley`` the score of the reference image; of
            ``rescale`` what the reference scores in the direction in which the oddest patch is odd; of ``lrp`` and of
            a detector's own explanation what nothing in the image can carry, as features that a prototype has and the
            image lacks.
        relevance: (n, B, H, W), of frequency bands (lowest first) and pixels, summed over channels; single values may
            be negative. B is 1 where no bands were asked for, H and W are 1 where no pixels were.
        components: what was asked for.
        edges: of the bands.
        neighbours: (n, N), the score by training image (of a memory bank: where its entries come from); N is 0 where
            that is not known.
        nearest: (n, k), the training images that carry most, the first one most of all.
        nearest_images: (n, k, H, W, 3), 8-bit pictures of them; k is 0 where they are not known.
        squares: (n, 4), the patch that gives an image its score, as x0, y0, x1, y1 in pixels; (n, 0) of detectors that
            compare no patches.
        nearest_squares: (n, 4), the patch of the nearest training image that it was compared with, likewise.
        training_names: paths of the training images, by their number; empty where they are not known.
        method: how relevance was found; None where it is what the detector knows of itself.
        deletions: of each image how its score falls without its most relevant patches; None of those that were not
            checked, empty where none was.
    """

    stem: ClassVar[str] = "anomaly"
    drawing: ClassVar[str] = "chinspect.anomaly.figure"
    composing: ClassVar[str] = "chinspect.anomaly.page"

    names: NDArray[np.str_]
    images: NDArray[np.uint8]
    threshold: float
    score: Array
    reference: Array
    relevance: Array
    components: AnomalyComponents
    edges: BandEdges
    neighbours: Array
    nearest: NDArray[np.integer[Any]]
    nearest_images: NDArray[np.uint8]
    squares: Array
    nearest_squares: Array
    training_names: tuple[str, ...] = ()
    method: Method | None = None
    deletions: tuple[Deletion | None, ...] = ()

    def __len__(self) -> int:
        return len(self.score)

    @property
    def pixel_bands(self) -> Array:
        """(n, B, H, W), the relevance itself."""
        return self.relevance

    @cached_property
    def pixels(self) -> Array:
        """(n, H, W), the relevance of each pixel in all bands together."""
        return np.asarray(self.relevance.sum(1))

    @cached_property
    def bands(self) -> Array:
        """(n, B), the relevance of each band in all pixels together, float64."""
        return np.asarray(self.relevance.sum((2, 3), dtype=np.float64))  # as there are many pixels

    @property
    def conservation(self) -> Array:
        """(n,), relevance and reference together over the score: 1 where nothing is lost."""
        total = self.bands.sum(1) + self.reference
        return np.divide(total, self.score, out=np.ones_like(total), where=self.score != 0)

    @property
    def band_edges(self) -> tuple[int, ...]:
        """At which a band begins, the first excepted."""
        return self.edges.edges

    @property
    def band_index(self) -> Literal["order", "zigzag"]:
        """What the edges count: the order ``u + v`` of DCT coefficients, or their position on the zigzag path."""
        return self.edges.index

    @property
    def band_names(self) -> list[str]:
        """What each band holds, in orders or positions: ``0-1``, ``2-18``, ``19+``."""
        return self.edges.names

    @property
    def cycles(self) -> list[str]:
        """What each band holds, in cycles down plus across the image, which are half of its orders: ``9.5+``."""
        starts = (0, *self.band_edges)
        if self.band_index == "zigzag":
            return self.band_names
        closed = [f"{a / 2:g}" if b == a + 1 else f"{a / 2:g}-{(b - 1) / 2:g}" for a, b in pairwise(starts)]
        return [*closed, f"{starts[-1] / 2:g}+"]

    def training_name(self, index: int) -> str:
        """What a training image is called: its path, or its number where that is not known."""
        return self.training_names[index] if self.training_names else f"training image {index}"

    def decision(self, i: int) -> str:
        """What the threshold makes of an image."""
        return "anomalous" if self.score[i] > self.threshold else "normal"

    def take(self, index: NDArray[np.integer[Any]]) -> AnomalyExplanation:
        """The explanation of some of the images, in this order."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        taken = {name: value[index] for name, value in values.items() if isinstance(value, np.ndarray)}
        return replace(self, deletions=tuple(self.deletions[i] for i in index) if self.deletions else (), **taken)

    def highest(self) -> NDArray[np.int64]:
        """Indices of the images of the highest scores, as many as a figure shows, in the order of the images."""
        return np.sort(np.argsort(-self.score, kind="stable")[:FIGURE_ROWS])

    def to_frame(self) -> pd.DataFrame:
        """One row an image: score, reference, conservation, relevance of each band, the nearest training image."""
        columns: dict[str, Any] = {name: getattr(self, name) for name in ("score", "reference", "conservation")}
        if "bands" in _SUMS[self.components]:
            columns |= {f"band_{name}": self.bands[:, b] for b, name in enumerate(self.band_names)}
        if self.nearest.size:
            columns["nearest"] = self.nearest[:, 0]
            columns["nearest_image"] = [self.training_name(index) for index in self.nearest[:, 0]]
        return pd.DataFrame(columns)

    @property
    def sentence(self) -> str:
        """How many images are anomalous, what may come of their scores, and whether the relevance is faithful."""
        anomalous = (
            f"{int((self.score > self.threshold).sum())} of {len(self)} images exceed the threshold "
            f"{self.threshold:.4g}. A score that rests on the highest frequencies will change with the way images are "
            "resized: see 'chinspect stress'."
        )
        return f"{anomalous} {self.faithfulness}".strip()

    @property
    def faithfulness(self) -> str:
        """What the scores of the checked images lose without their most relevant patches, in words; or empty."""
        made = [deletion for deletion in self.deletions if deletion is not None]
        if not made:
            return ""
        if len(self) == 1:
            return made[0].told("this image", "the anomaly score")
        whose = (
            f"the {len(made)} images of the highest scores" if len(made) < len(self) else f"these {len(made)} images"
        )
        return deletions_in_words(made, whose, "what they score above their references")

    def document(self) -> dict[str, Any]:
        """The threshold, the bands, the table of `to_frame` by image, and which images the figure shows."""
        anomalous = (self.score > self.threshold).tolist()
        return {
            "threshold": self.threshold,
            "bands": self.band_names,
            "band_index": self.band_index,
            "images": [
                {"image": name, "anomalous": verdict} | row
                for name, verdict, row in zip(self.names.tolist(), anomalous, records(self.to_frame()), strict=True)
            ],
            "drawn": self.names[self.highest()].tolist(),
            "explained_by": {"method": "own"} if self.method is None else self.method.document,
            "faithfulness": self.faithfulness,
            "deletions": [
                {"image": name} | deletion.document()
                for name, deletion in zip(self.names.tolist(), self.deletions, strict=False)
                if deletion is not None
            ],
        }

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """All arrays that were asked for and are known."""
        names = ("score", "reference", "conservation", "band_edges", "band_index", *_SUMS[self.components])
        always = {name: np.asarray(getattr(self, name)) for name in names}
        names = ("neighbours", "nearest", "nearest_images", "squares", "nearest_squares")
        known = {name: getattr(self, name) for name in names}
        return always | {name: array for name, array in known.items() if array.size}

    def overview(self) -> Mapping[str, pd.DataFrame]:
        """Of each image the score, the verdict, and the fraction of each band."""
        table = pd.DataFrame(
            {
                "image": ["/".join(Path(name).parts[-2:]) for name in self.names.tolist()],
                "score": [f"{score:.4g}" for score in self.score],
                "verdict": [self.decision(i) for i in range(len(self))],
            }
        )
        for b, name in enumerate(self.cycles):
            cells = zip(self.bands[:, b], self.score, strict=True)
            table[name] = [f"{band / score:.1%}" if score else "-" for band, score in cells]
        table["conserved"] = [f"{value:.3f}" for value in self.conservation]
        unit = "cycles down plus across the image" if self.band_index == "order" else "zigzag positions"
        return {f"Fractions of the score by frequency ({unit})": table}
