"""The answer to "why are these two images similar?"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray

from chinspect.encoders import Encoder
from chinspect.errors import InputError
from chinspect.faithfulness import Agreement, Deletion
from chinspect.images import CROPPED
from chinspect.relevance import Method, pair_errors
from chinspect.report import Result
from chinspect.similarity.faithfulness import Pair
from chinspect.similarity.frequency import FrequencySimilarity, similarity_by_frequency
from chinspect.similarity.image import IN_MEMORY, Array, ExplainedImage, labels
from chinspect.similarity.standing import Standing
from chinspect.similarity.words import Tendency, blank_in_words, border_in_words, constant_in_words, describe

Metric = Literal["dot", "cosine"]
_ARRIVED = 0.05  # of what is explained: so much may be lost before shares are said to be of what is left
_CANCELLED = 0.1  # of the absolute values: shares of a smaller sum would be many times the sum, and say nothing


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
        one_colour: what an image of one colour, the mean of a or of b, would get in their stead, patch by patch, (h, w)
            and (h', w'); None where the reference takes that away, or where it was not asked.
        standing: the cosine among those of a data set, where there is one.
        choice: how the method was chosen, where that was left to `choose_method`: its document.
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
    one_colour: tuple[Array, Array] | None = None
    standing: Standing | None = None
    listed: int = 20
    choice: Mapping[str, Any] = field(default_factory=dict)

    stem = "similarity"
    drawing = "chinspect.similarity.figure"
    composing = "chinspect.similarity.page"

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
    def cosine(self) -> float | None:
        """The cosine of the embeddings; None where one of them is zero."""
        a, b = (image.embedding.astype(float) for image in (self.a, self.b))
        norm = float(np.linalg.norm(a) * np.linalg.norm(b))
        return float(a @ b) / norm if norm else None

    @cached_property
    def names(self) -> tuple[str, str]:
        """What the images are called in sentences and figures: short, and never the same."""
        return labels(self.a.name, self.b.name)

    @cached_property
    def identical(self) -> bool:
        """Whether the encoder sees the same pixels twice."""
        return np.array_equal(np.asarray(self.a.picture), np.asarray(self.b.picture))

    @property
    def blank(self) -> list[str]:
        """Names of the images that are nothing beyond their references, so that nothing is to be explained."""
        return [name for name, image in zip(self.names, (self.a, self.b), strict=True) if image.blank]

    @cached_property
    def tendency(self) -> Tendency:
        """What is explained: similarity, dissimilarity, or a number that is next to nothing of what cancels in it."""
        absolute = float(np.abs(self.relevance).sum(dtype=float))
        if self.blank or abs(self.explained) < _CANCELLED * absolute or self.explained == 0:
            return "neither similar nor dissimilar"
        return "similar" if self.explained > 0 else "dissimilar"

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
        """Sum of all relevance over what is explained: 1 where none is lost, and where there is nothing to explain."""
        if self.blank or self.explained == 0:
            return 1.0
        return float(self.relevance.sum(dtype=float)) / self.explained

    @property
    def constant(self) -> float:
        """What of the similarity no pair of patches holds, but the network's constants or the references."""
        return self.similarity - float(self.relevance.sum(dtype=float))

    @cached_property
    def scale(self) -> float:
        """What shares are of, above 0: the size of the sum of all relevance, or the sum of its sizes if it cancels."""
        total = abs(float(self.relevance.sum(dtype=float)))
        return (float(np.abs(self.relevance).sum(dtype=float)) if self.cancels else total) or 1.0

    @cached_property
    def cancels(self) -> bool:
        """Whether positive and negative relevance leave less than a tenth of both together."""
        absolute = float(np.abs(self.relevance).sum(dtype=float))
        return abs(float(self.relevance.sum(dtype=float))) < _CANCELLED * absolute

    @property
    def share_of(self) -> str:
        """What shares are of, in words."""
        if self.cancels:
            return "all relevance, signs aside"
        arrived = abs(self.conservation - 1) < _ARRIVED
        return "what is explained" if arrived else "what arrives at the patches"

    def marginals(self) -> tuple[Array, Array]:
        """What each patch contributes with all patches of the other image: (h, w) for a, (h', w') for b."""
        return self.relevance.sum((2, 3)), self.relevance.sum((0, 1))

    def marginal_shares(self) -> tuple[Array, Array]:
        """The same as shares, positive where a patch adds to the similarity, whatever its sign is.

        Where positive and negative relevance cancel, the absolute values of each image add to 1.
        """
        first, second = self.marginals()
        if not self.cancels:
            return first / self.scale, second / self.scale
        return first / (float(np.abs(first).sum()) or 1.0), second / (float(np.abs(second).sum()) or 1.0)

    def matches(self, region: ArrayLike) -> Array:
        """What in a matches a region of b.

        Args:
            region: patches of b as booleans (h', w'), or a box x0, y0, x1, y1 in pixels of the original image b; a
                patch that the box cuts counts by the fraction inside.

        Returns:
            (h, w): relevance of the patches of a together with the region. It sums to what the region contributes.
        """
        return np.tensordot(self.relevance, self.b.weights(region), axes=2)

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
        inputs = (self.a.input, self.b.input)
        return similarity_by_frequency(self.encoder.module, inputs, bands, method, self.patch_size)

    def faithfulness(self, evaluations: int) -> Agreement:
        """Correlation of the relevance with Shapley values of pairs of patches, from so many masked images an image.

        Raises `InputError` where these are too few; see `shapley_agreement`.
        """
        return self.pair().agreement(
            torch.from_numpy(self.relevance.reshape(len(self.a.contributions), -1)), evaluations
        )

    def deleted(self) -> Deletion:
        """What the similarity loses without the most relevant patches of a; see `chinspect.faithfulness.deletion`.

        Of a dissimilarity, what that loses without the patches that make the images dissimilar.
        """
        return self.pair().deletion(self.relevance_of_a, opposite=self.tendency == "dissimilar")

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
        lines = [self._lead, self.identical_in_words]
        if self.blank:
            lines.append(blank_in_words(self.blank, self.method.reference_name))
        else:
            lines.append(constant_in_words(self.similarity, self.constant, self.method))
            lines.append(describe(self.relevance, self.names, self.tendency))
            lines += self._border_in_words()
        if self.deletion is not None:
            lines.append(self.deletion_in_words)
        if self.agreement is not None:
            lines.append(self.agreement.sentence)
        if self.verification is not None:
            lines.append(
                f"Zennit agrees on {len(self.verification.neurons)} neurons up to a relative difference of "
                f"{self.verification.max_relative_difference:.1e}."
            )
        return "\n".join([*filter(None, lines), *(f"warning: {warning}" for warning in self.cautions)])

    @property
    def identical_in_words(self) -> str:
        """That the pictures are one; empty where they are not."""
        if not self.identical:
            return ""
        if self.a.name == self.b.name and self.a.name != IN_MEMORY:
            return "Both images are one file: of course they match."
        return f"{self.names[0]} and {self.names[1]} show the encoder the same pixels: of course they match."

    @property
    def deletion_in_words(self) -> str:
        """What deletion says; empty where it was not asked."""
        if self.deletion is None:
            return ""
        noun = "this dissimilarity" if self.tendency == "dissimilar" else "this similarity"
        return self.deletion.told(self.names[0], noun)

    @property
    def cautions(self) -> list[str]:
        """The warnings, and what of the images is not seen where that is more than a tenth."""
        cut = [
            f"of {name} the encoder sees {image.seen:.0%}"
            for name, image in zip(self.names, (self.a, self.b), strict=True)
            if image.seen < 1 - CROPPED
        ]
        if not cut:
            return list(self.warnings)
        crop = f"{' and '.join(cut)}: the rest is cut away. Choose fit pad (--fit pad) to see all."
        return [*self.warnings, crop]

    @property
    def beyond(self) -> str:
        """What a tendency is relative to, in words: references, where these are taken away."""
        return "" if self.method.name == "lrp" or self.tendency == "similar" else " beyond their references"

    @property
    def _lead(self) -> str:
        first, second = self.names
        size = f"dot {self.similarity:.4g}" if self.metric == "dot" else ""
        cosine = "" if self.cosine is None else f"cosine {self.cosine:.2f}"
        where = "" if self.standing is None else self.standing.sentence
        numbers = ", ".join(filter(None, [size, cosine, where]))
        return f"To {self.model} {first} and {second} are {self.tendency}{self.beyond}: {numbers}."

    def _border_in_words(self) -> list[str]:
        if self.one_colour is None:
            return []
        rows = zip(self.names, self.marginals(), self.one_colour, strict=True)
        return [border_in_words(name, marginal, one_colour) for name, marginal, one_colour in rows]

    def document(self) -> dict[str, Any]:
        """What there is to say, as JSON values."""
        document: dict[str, Any] = {
            "similarity": self.similarity,
            "metric": self.metric,
            "cosine": self.cosine,
            "among": None if self.standing is None else asdict(self.standing),
            "tendency": self.tendency,
            "same_pixels": self.identical,
            "relevance_sum": float(self.relevance.sum(dtype=float)),
            "explained": self.explained,
            "constant": self.constant,
            "conservation": self.conservation,
            "images": [self.a.name, self.b.name],
            "seen": [
                {"fraction": image.seen, "box": image.frame, "of": image.original_size} for image in (self.a, self.b)
            ],
            "model": self.model,
            **self.method.document,
            "patch_size": self.patch_size,
            "patch_grid": [*self.a.grid, *self.b.grid],
            "shares_of": self.share_of,
            "top_pairs": [asdict(pair) for pair in self.top_pairs(self.listed)],
            "seconds": self.seconds,
            "warnings": self.cautions,
        }
        if self.choice:
            document["choice"] = dict(self.choice)
        if self.frequencies is not None:
            document["bands"] = self.frequencies.document()
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
        if self.one_colour is not None:
            arrays["one_colour_a"], arrays["one_colour_b"] = self.one_colour
        if self.frequencies is not None:
            arrays["bands"] = self.frequencies.relevance
            arrays["band_pairs"] = self.frequencies.pairs
            arrays["band_orders"] = np.array(self.frequencies.orders)
        if self.standard_errors is not None:
            arrays["standard_errors"] = self.standard_errors
        return arrays

    def overview(self) -> Mapping[str, pd.DataFrame]:
        """The strongest pairs, and the similarity by frequency bands where it was asked for."""
        headline = (
            f"{self.model}  {self.metric} similarity {self.similarity:.4g}, explained {self.explained:.4g}: "
            f"{self.conservation:.1%} of it arrives at the patches ({self.method.label}, {self.seconds:.1f} s); "
            f"shares are of {self.share_of}"
        )
        if self.blank:
            return {headline: pd.DataFrame({"": ["nothing to explain"]})}
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
            tables[self.frequencies.title] = self.frequencies.overview()
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


def _box(values: Array) -> tuple[float, ...]:
    return tuple(round(float(value), 1) for value in values)


def _corners(box: tuple[float, ...]) -> str:
    return ", ".join(f"{value:.0f}" for value in box)
