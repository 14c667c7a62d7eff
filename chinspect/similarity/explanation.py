"""The answer to "why are these two images similar?"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from torch import Tensor

from chinspect.encoders import Encoder
from chinspect.errors import InputError
from chinspect.faithfulness import Agreement, Deletion
from chinspect.relevance import Method, ShapleyMap, pair_errors
from chinspect.report import Result
from chinspect.similarity.faithfulness import Pair
from chinspect.similarity.frequency import FrequencySimilarity, similarity_by_frequency
from chinspect.similarity.words import constant_in_words, describe

Metric = Literal["dot", "cosine"]
Array = NDArray[np.floating[Any]]
_CANCELLED = 0.1  # of the absolute values: shares of a smaller sum would be many times the sum, and say nothing


@dataclass(frozen=True, eq=False)
class ExplainedImage:
    """One image, and what its patches contribute to its embedding.

    Attributes:
        name: its path, for a picture in memory ``image``.
        picture: what the encoder sees of it, RGB.
        original_size: (width, height) of the image before resize and crop.
        boxes: (h, w, 4) patches as x0, y0, x1, y1 in pixels of the original image, resize and crop undone.
        embedding: (D,).
        contributions: ``T`` (h * w, D), row-major patches; the sum over patches is what is explained if relevance is
            conserved.
        explained: the embedding, or its difference to that of the reference, (D,).
        sampling: the Shapley map that the contributions are, with their standard errors.
        input: what the encoder reads, (1, C, H, W); None where it was not stored.
    """

    name: str
    picture: Image.Image
    original_size: tuple[int, int]
    boxes: Array
    embedding: Array
    contributions: Array
    explained: Array
    sampling: ShapleyMap | None = field(default=None, repr=False)
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
        share: relevance over `SimilarityExplanation.scale`.
        box_a, box_b: x0, y0, x1, y1 in pixels of the original images.
    """

    relevance: float
    share: float
    box_a: tuple[float, ...]
    box_b: tuple[float, ...]


@dataclass(frozen=True)
class Verification:
    """Agreement with Zennit; see `chinspect.similarity.verification.verify`.

    Attributes:
        neurons: the outputs that were recomputed, those that contribute most to the similarity.
        max_relative_difference: the largest ``||T[:, k] - Z_k|| / ||Z_k||`` over these neurons and both images, with
            ``Z_k`` Zennit's relevance of neuron k, summed over each patch.
    """

    neurons: tuple[int, ...]
    max_relative_difference: float


@dataclass(frozen=True, eq=False, repr=False)
class SimilarityExplanation(Result):
    """A similarity, distributed over pairs of patches; see `explain_similarity`.

    Attributes:
        a, b: the images.
        metric: what is explained, the ``dot`` product or the ``cosine`` of the embeddings.
        encoder, method, patch_size: how; the encoder is its name where only that is known.
        seconds: what it took, loading not counted.
        warnings: what to know before trusting the result.
        deletion: how the similarity falls without the most relevant patches of a, unless that was not to be checked.
        agreement: with Shapley values, where it was asked for.
        frequencies: the dot product by frequency bands, where it was asked for.
        verification: by Zennit, where it was asked for.
        listed: how many of the strongest pairs are printed, and stand in the document.
    """

    a: ExplainedImage
    b: ExplainedImage
    metric: Metric
    encoder: Encoder | str
    method: Method
    patch_size: int
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()
    deletion: Deletion | None = None
    agreement: Agreement | None = None
    frequencies: FrequencySimilarity | None = None
    verification: Verification | None = None
    listed: int = 20

    stem = "similarity"
    drawing = "chinspect.similarity.figure"

    def __post_init__(self) -> None:
        check_metric(self.metric)

    @property
    def model(self) -> str:
        """The encoder's name."""
        return self.encoder if isinstance(self.encoder, str) else self.encoder.name

    @cached_property
    def norm(self) -> float:
        """What dot products are divided by: 1, or for the cosine the product of both norms."""
        if self.metric == "dot":
            return 1.0
        norm = float(np.linalg.norm(self.a.embedding) * np.linalg.norm(self.b.embedding))
        if norm == 0:
            raise InputError("the cosine of an embedding of zeros does not exist: use the dot product.")
        return norm

    @cached_property
    def similarity(self) -> float:
        """The dot product or cosine of the embeddings, as the encoder gives it."""
        return float(self.a.embedding.astype(float) @ self.b.embedding.astype(float)) / self.norm

    @cached_property
    def relevance(self) -> Array:
        """(h, w, h', w'): what each patch of a contributes together with each patch of b."""
        pairs = self.a.contributions @ self.b.contributions.T / self.norm
        return pairs.reshape(*self.a.grid, *self.b.grid)

    @cached_property
    def standard_errors(self) -> Array | None:
        """(h, w, h', w'): of the relevance, where it is estimated by Shapley values."""
        if self.a.sampling is None or self.b.sampling is None:
            return None
        errors = pair_errors(self.a.sampling, self.b.sampling).cpu().numpy() / self.norm
        return errors.reshape(*self.a.grid, *self.b.grid)

    @property
    def certain(self) -> Array:
        """The relevance where it lies two standard errors from zero, and else 0; all of it where it is not estimated.

        Two standard errors are exceeded by one cell in 20 in which nothing is.
        """
        if self.standard_errors is None:
            return self.relevance
        return np.where(np.abs(self.relevance) > 2 * self.standard_errors, self.relevance, 0)

    @cached_property
    def explained(self) -> float:
        """What the relevance is of: the similarity, or what of it lies beyond the references."""
        return float(self.a.explained.astype(float) @ self.b.explained.astype(float)) / self.norm

    @property
    def conservation(self) -> float:
        """Sum of all relevance over what is explained: 1 where none is lost."""
        return float(self.relevance.sum(dtype=float)) / self.explained if self.explained else float("nan")

    @property
    def constant(self) -> float:
        """What of the similarity no pair of patches holds, but the network's constants or the references."""
        return self.similarity - float(self.relevance.sum(dtype=float))

    @cached_property
    def scale(self) -> float:
        """What shares are of: the sum of all relevance, or that of all absolute values where much cancels in it."""
        total = abs(float(self.relevance.sum(dtype=float)))
        absolute = float(np.abs(self.relevance).sum(dtype=float))
        return (total if total >= _CANCELLED * absolute else absolute) or 1.0

    def marginals(self) -> tuple[Array, Array]:
        """What each patch contributes with all patches of the other image: (h, w) for a, (h', w') for b."""
        return self.relevance.sum((2, 3)), self.relevance.sum((0, 1))

    def matches(self, region: ArrayLike) -> Array:
        """What in a matches a region of b.

        Args:
            region: patches of b as booleans (h', w'), or a box x0, y0, x1, y1 in pixels of the original image b; a
                patch that the box cuts counts by the fraction inside.

        Returns:
            (h, w): relevance of the patches of a together with the region. It sums to what the region contributes.
        """
        return np.tensordot(self.relevance, _weights(region, self.b), axes=2)

    def by_frequency(self, bands: int | Sequence[int], *, composite: str = "epsilon_plus") -> FrequencySimilarity:
        """What is explained by pairs of frequency bands (see `frequency_bands`) instead of patches.

        Bands overlap in the pixels. LRP needs another composite than that of the patches where the first layer's rule
        is flat or z-box; Shapley values cannot show a band and hide another of the same pixels, and a reference map of
        the same reference takes their place.
        """
        if isinstance(self.encoder, str) or self.a.input is None or self.b.input is None:
            raise InputError("frequencies need the encoder and its inputs: explain this pair with explain_similarity.")
        lrp = self.method.name == "lrp"
        method = Method("lrp", composite) if lrp else Method("rescale", reference=self.method.reference)
        return similarity_by_frequency(self.encoder.module, (self.a.input, self.b.input), bands, method)

    def faithfulness(self, evaluations: int) -> Agreement:
        """Correlation of the relevance with Shapley values of pairs of patches, from so many masked images an image.

        Raises `InputError` where these are too few; see `shapley_agreement`.
        """
        return self.pair().agreement(
            torch.from_numpy(self.relevance.reshape(len(self.a.contributions), -1)), evaluations
        )

    def deleted(self) -> Deletion:
        """What the similarity loses without the most relevant patches of a; see `chinspect.faithfulness.deletion`."""
        return self.pair().deletion(self.relevance_of_a)

    @property
    def relevance_of_a(self) -> torch.Tensor:
        """What each patch of a contributes together with all of b, (h * w,)."""
        return torch.from_numpy(self.marginals()[0].reshape(-1))

    def pair(self) -> Pair:
        """What faithfulness is asked of."""
        if isinstance(self.encoder, str) or self.a.input is None or self.b.input is None:
            raise InputError(
                "faithfulness needs the encoder and its inputs: explain this pair with explain_similarity."
            )
        return Pair(self.encoder.module, self.a.input, self.b.input, self.method, self.patch_size, self.norm)

    def top_pairs(self, n: int = 20) -> list[PatchPair]:
        """The ``n`` pairs of patches of the largest absolute relevance, largest first."""
        flat = self.relevance.reshape(-1)
        boxes_a = self.a.boxes.reshape(-1, 4)
        boxes_b = self.b.boxes.reshape(-1, 4)
        pairs = []
        for index in strongest(flat, n):
            i, j = divmod(int(index), len(boxes_b))
            value = float(flat[index])
            pairs.append(PatchPair(value, value / self.scale, _box(boxes_a[i]), _box(boxes_b[j])))
        return pairs

    def to_frame(self) -> pd.DataFrame:
        """All pairs of patches, one a row: rows and columns of both patches, relevance, ``share`` of `scale`."""
        indices = np.indices(self.relevance.shape).reshape(4, -1)
        columns = dict(zip(("row_a", "column_a", "row_b", "column_b"), indices, strict=True))
        values = self.relevance.reshape(-1)
        return pd.DataFrame({**columns, "relevance": values, "share": values / self.scale})

    @property
    def sentence(self) -> str:
        """How much is explained, how concentrated it is and where it lies, how faithful that is; what Zennit says."""
        lines = [
            constant_in_words(self.similarity, self.constant, self.method),
            describe(self.relevance, self.a.name, self.b.name),
        ]
        if self.deletion is not None:
            lines.append(self.deletion.told(Path(self.a.name).name, "this similarity"))
        if self.agreement is not None:
            lines.append(self.agreement.sentence)
        if self.verification is not None:
            lines.append(
                f"Zennit agrees on {len(self.verification.neurons)} neurons up to a relative difference of "
                f"{self.verification.max_relative_difference:.1e}."
            )
        return "\n".join([*filter(None, lines), *(f"warning: {warning}" for warning in self.warnings)])

    def document(self) -> dict[str, Any]:
        """What there is to say, as JSON values."""
        document: dict[str, Any] = {
            "similarity": self.similarity,
            "metric": self.metric,
            "relevance_sum": float(self.relevance.sum(dtype=float)),
            "explained": self.explained,
            "constant": self.constant,
            "conservation": self.conservation,
            "images": [self.a.name, self.b.name],
            "model": self.model,
            **self.method.document,
            "patch_size": self.patch_size,
            "patch_grid": [*self.a.grid, *self.b.grid],
            "top_pairs": [asdict(pair) for pair in self.top_pairs(self.listed)],
            "seconds": self.seconds,
            "warnings": list(self.warnings),
        }
        if self.frequencies is not None:
            document["bands"] = asdict(self.frequencies)
        if self.deletion is not None:
            document["faithfulness"] = self.deletion.document()
        if self.agreement is not None:
            document["agreement"] = self.agreement.document()
        if self.verification is not None:
            document["verify"] = asdict(self.verification)
        return document

    def arrays(self) -> Mapping[str, Array]:
        """The relevance of all pairs, and of both images boxes, embeddings and contributions."""
        arrays = {"relevance": self.relevance}
        for side, image in (("a", self.a), ("b", self.b)):
            arrays[f"contributions_{side}"] = image.contributions
            arrays[f"embedding_{side}"] = image.embedding
            arrays[f"explained_{side}"] = image.explained
            arrays[f"boxes_{side}"] = image.boxes
        if self.standard_errors is not None:
            arrays["standard_errors"] = self.standard_errors
        return arrays

    def overview(self) -> Mapping[str, pd.DataFrame]:
        """The strongest pairs, and the similarity by frequency bands where it was asked for."""
        headline = (
            f"{self.model}  {self.metric} similarity {self.similarity:.4g}, explained {self.explained:.4g}: "
            f"{self.conservation:.1%} of it arrives at the patches ({self.method.label}, {self.seconds:.1f} s)"
        )
        rows = [
            {
                "share": f"{pair.share:+.2%}",
                "in IMG1 (x0, y0, x1, y1)": _corners(pair.box_a),
                "in IMG2": _corners(pair.box_b),
            }
            for pair in self.top_pairs(self.listed)
        ]
        tables = {headline: pd.DataFrame(rows)}
        if self.frequencies is not None:
            tables["frequency (DCT order)"] = self.frequencies.overview()
        return tables


def check_metric(metric: str) -> None:
    """`InputError` for another metric than those of `Metric`."""
    if metric not in get_args(Metric):
        raise InputError(f"unknown metric {metric!r}: choose dot or cosine.")


def strongest(values: Array, n: int) -> NDArray[np.intp]:
    """Indices of the ``n`` largest absolute values, largest first."""
    n = min(n, values.size)
    # a partition first: sorting all of the 600,000 pairs of a fine grid would take longer than explaining them
    candidates = np.argpartition(-np.abs(values), n - 1)[:n] if n else np.empty(0, np.intp)
    return candidates[np.argsort(-np.abs(values[candidates]), kind="stable")]


def _weights(region: ArrayLike, image: ExplainedImage) -> Array:
    """How much of each patch lies in the region, (h, w) in [0, 1]."""
    values = np.asarray(region)
    if values.shape == image.grid:
        return values.astype(float)
    if values.shape != (4,):
        raise InputError(f"a region is a mask of {image.grid} patches or a box of 4 numbers, not {values.shape}.")
    x0, y0, x1, y1 = values.astype(float)
    if x1 <= x0 or y1 <= y0:
        raise InputError(f"the box {values.tolist()} is empty: give x0 < x1 and y0 < y1.")
    left, top, right, bottom = np.moveaxis(image.boxes, -1, 0)
    width = np.clip(np.minimum(right, x1) - np.maximum(left, x0), 0, None)
    height = np.clip(np.minimum(bottom, y1) - np.maximum(top, y0), 0, None)
    return width * height / ((right - left) * (bottom - top))


def _box(values: Array) -> tuple[float, ...]:
    return tuple(round(float(value), 1) for value in values)


def _corners(box: tuple[float, ...]) -> str:
    return ", ".join(f"{value:.0f}" for value in box)
