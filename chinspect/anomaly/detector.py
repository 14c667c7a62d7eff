"""What every detector is: the contract of scikit-learn and PyOD, checked input, a threshold from normal images."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal, Self, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from chinspect.anomaly._progress import counted
from chinspect.anomaly.explanation import AnomalyComponents, AnomalyExplanation, Resolution
from chinspect.anomaly.filters import Layer
from chinspect.anomaly.identity import fingerprint
from chinspect.anomaly.images import (
    Images,
    check_training_folder,
    checked_batch,
    image_items,
    image_names,
    image_paths,
    pictures,
    warn_of_copies,
)
from chinspect.anomaly.methods import (
    AnomalyMethod,
    deletions,
    method_for,
    shapley_relevance,
)
from chinspect.anomaly.threshold import threshold_at
from chinspect.encoders import check_finite
from chinspect.errors import InputError, did_you_mean
from chinspect.images import AnyImage, as_pixels, check_resizer, load_inputs, resize, to_input
from chinspect.relevance import BandEdges, Composite, Method, named_bands
from chinspect.subjects import Kind, Pixels

_BATCH = 64  # files at a time: a folder of any length fits into memory
_BANDS = 3  # those of Kauffmann et al. 2025


class Detector(BaseEstimator, ABC):
    """An anomaly detector for images, fitted on normal ones; the higher its score, the more anomalous an image.

    Everywhere ``X`` is either a batch (N, C, H, W) in [-1, 1] (a tensor or an array), or images as they are, which are
    read as ``resizer`` and ``size`` say: a folder, or one or a list of paths, pictures of Pillow, and arrays or tensors
    of 8-bit pixels. Files are scored in batches, so a folder of any length fits into memory.

    Constructors are keyword-only and only store. A subclass gives `_fit`, `_score`, `_explain`, `_state` and
    `_restore`, and sees to it that images go through its ``layer`` first (`_filtered`).

    Attributes:
        layer: a module that filters images (N, C, H, W) first, when the detector is fitted and when it is used, such as
            `Blur`; None for none.
        threshold_: the score above which `predict` says anomalous, see `threshold_at`.
        held_out_scores_: (N,) the scores that the threshold comes from: of the training images, each by a detector that
            has not seen it, or of other normal images.
        threshold_source_: whose scores these are, in words.
        image_shape_: (C, H, W) of the images fitted on; others are refused.
        n_images_: how many images the detector was fitted on.
        image_names_: their paths ``(n_images_,)``, as they were given; empty of images that were not read from files.
    """

    layer: nn.Module | None
    resizer: str
    size: int
    threshold_fpr: float
    threshold_: float
    kind: ClassVar[Kind] = "detector"
    _layer_key: ClassVar[str] = "layer"
    """What files and fingerprints call the layer."""

    def fit(self, X: Images, y: object = None) -> Self:  # noqa: ARG002 - the contract has labels, novelty has none
        """Learns what normal images ``X`` look like; ``y`` is ignored.

        There is no ``fit_predict``: a detector that was fitted on images cannot say how anomalous they are.

        Warns with `ImageWarning` of images that are the same, pixel by pixel: a held-out one still has its copy.

        Raises `InputError` for fewer than 2 images, for a whole data set with its test images, for pixels that are not
        finite numbers in [-1, 1], and for a parameter out of range.
        """
        self._check_parameters()
        check_training_folder(X)
        x = torch.cat(list(self._batches(X)))
        if len(x) < 2:
            raise InputError(f"a detector is fitted on at least 2 normal images, not on {len(x)}.")
        warn_of_copies(x, X)
        scores = self._fit(x)
        self.image_shape_: tuple[int, ...] = tuple(x.shape[1:])
        self.n_images_ = len(x)
        self.image_names_: list[str] = [] if image_paths(X) is None else image_names(X, len(x))
        return self.set_threshold(scores, "held-out scores of {} normal training images")

    def decision_function(self, X: Images) -> NDArray[np.float64]:
        """The score of each image (N,), higher is more anomalous."""
        check_is_fitted(self, "threshold_")
        batches = self._batches(X, self.image_shape_)
        scores = np.concatenate([np.asarray(self._score(batch), dtype=np.float64) for batch in batches])
        check_finite(scores, f"the score by {type(self).__name__}")
        return scores

    def score_samples(self, X: Images) -> NDArray[np.float64]:
        """The opposite of `decision_function` (N,): lower is more anomalous, as scikit-learn has it."""
        return -self.decision_function(X)

    def predict(self, X: Images) -> NDArray[np.int64]:
        """1 for each image whose score exceeds ``threshold_``, else 0: (N,)."""
        return (self.decision_function(X) > self.threshold_).astype(np.int64)

    def read(self, X: Images) -> Tensor:
        """``X`` as one float32 batch (N, C, H, W) in [-1, 1], checked, also against the images fitted on if any."""
        return torch.cat(list(self._batches(X, getattr(self, "image_shape_", None))))

    @property
    def device(self) -> torch.device:
        """Where scores are computed."""
        return torch.device("cpu")

    def see(self, images: Sequence[AnyImage]) -> list[Pixels]:
        """Images, such as uint8 pixels (H, W, 3), as the detector's resizer squashes them: (size, size, 3) each."""
        check_is_fitted(self, "threshold_")
        return [resize(as_pixels(image), self.size, self.resizer) for image in images]

    def respond(self, images: Sequence[Pixels]) -> NDArray[np.float64]:
        """Anomaly scores (n, 1) of images that it sees (`see`)."""
        return self.decision_function(to_input(np.stack(images)))[:, None]

    def explain(
        self, images: Sequence[Pixels], weights: NDArray[np.floating[Any]], *, bands: int = 0
    ) -> NDArray[np.float32]:
        """Relevance of ``weights`` (n, 1) times the score of images that it sees (`see`).

        Maps (n, H, W) of the pixels, or with ``bands`` spectra (n, 1, bands), the lowest frequencies first.
        """
        explanation = explain_anomaly(
            self, to_input(np.stack(images)), bands=bands or 1, components="bands" if bands else "pixels", check=False
        )
        relevance = explanation.bands[:, None] if bands else explanation.pixels
        return (relevance * np.asarray(weights)[:, :, None]).astype(np.float32)

    @property
    def fingerprint(self) -> str:
        """64 hexadecimal digits that change with the class, a parameter, or anything that was learned.

        Raises scikit-learn's `NotFittedError`.
        """
        check_is_fitted(self, "threshold_")
        learned = {f"learned {name}": tensor for name, tensor in self._state().items()}
        return fingerprint(type(self).__qualname__, self.stored_parameters() | learned)

    def stored_parameters(self) -> dict[str, Any]:
        """Parameters under the names that files and fingerprints have always had for them."""
        parameters: dict[str, Any] = self.get_params(deep=False)
        layer = parameters.pop("layer")
        if layer is None and self._layer_key == "layer":
            return parameters  # detectors that had no layer in earlier versions
        return {**parameters, self._layer_key: layer}

    @abstractmethod
    def _fit(self, x: Tensor) -> ArrayLike:
        """Learns from a checked batch (N, C, H, W) of at least 2 images.

        Returns their scores, or those of some of them, each by a detector that has not seen it.
        """

    @abstractmethod
    def _score(self, x: Tensor) -> ArrayLike:
        """Scores (N,) of a checked batch."""

    @abstractmethod
    def _explain(self, x: Tensor, resolution: Resolution | None) -> dict[str, ArrayLike]:
        """The fields of `AnomalyExplanation` that the detector knows of a checked batch.

        ``score`` at least. With a resolution also ``relevance`` and, unless it is zero, ``reference``; where they are
        known ``neighbours``, ``nearest`` and ``nearest_images``, ``squares`` and ``nearest_squares``.
        """

    @property
    def usual_method(self) -> Method | None:
        """How scores are explained where no method is asked for; None for what the detector knows of itself."""
        return None

    @property
    def explained_by(self) -> dict[str, Any]:
        """The usual method as JSON values."""
        return {"method": "own"} if self.usual_method is None else self.usual_method.document

    @property
    def normal_images(self) -> Tensor | None:
        """Some of the normal images (k, C, H, W) that the detector was fitted on; None where it keeps none."""
        return None

    def _explain_by(self, x: Tensor, resolution: Resolution, method: Method) -> dict[str, ArrayLike]:  # noqa: ARG002
        """``relevance`` and ``reference`` by a relevance map, of detectors with a network; `InputError` of others."""
        raise InputError(
            f"a {type(self).__name__} has no network that relevance goes through: choose the method auto or shapley, "
            f"not {method.name}."
        )

    @abstractmethod
    def _state(self) -> dict[str, Tensor]:
        """Everything that was learned, beside what `Detector` itself keeps."""

    @abstractmethod
    def _restore(self, tensors: dict[str, Tensor]) -> None:
        """The inverse of `_state`, on a detector that has its parameters only; KeyError where a tensor lacks."""

    def set_threshold(self, scores: ArrayLike, source: str) -> Self:
        """The threshold from scores of normal images; ``source`` says whose, with ``{}`` for their number."""
        self.held_out_scores_: NDArray[np.float64] = np.asarray(scores, dtype=np.float64)
        check_finite(self.held_out_scores_, f"the held-out score by {type(self).__name__}")
        self.threshold_ = threshold_at(self.held_out_scores_, self.threshold_fpr)
        self.threshold_source_ = source.format(len(self.held_out_scores_))
        return self

    def _filtered(self, x: Tensor) -> Tensor:
        """Checked images (N, C, H, W) behind the layer. Raises `InputError` for a layer that changes their shape."""
        if self.layer is None:
            return x
        filtered = Layer(self.layer, tuple(x.shape[1:]))(x)
        if filtered.shape != x.shape:
            raise InputError(f"the layer {self.layer} makes {tuple(filtered.shape)} of images {tuple(x.shape)}.")
        return filtered.clamp(-1, 1)  # an average stays in range; a cut spectrum rings beyond it

    def _before_layer(self, x: Tensor, derivative: Tensor) -> Tensor:
        """The derivative by images ``x`` (N, C, H, W), of that by what the layer makes of them: its transpose.

        Raises `InputError` for a layer that is not linear.
        """
        layer = Layer(self.layer, tuple(x.shape[1:]))
        layer.check(x)
        return derivative if self.layer is None else layer.transpose(derivative.to(x))

    def _check_parameters(self) -> None:
        check_resizer(self.resizer, self.size)
        if not 0 < self.threshold_fpr < 1:
            raise InputError(
                f"threshold_fpr (--fpr) is a false positive rate between 0 and 1, not {self.threshold_fpr!r}."
            )

    def _batches(self, X: Images, shape: tuple[int, ...] | None = None) -> Iterator[Tensor]:
        """Checked batches, in order; at least one. Images have ``shape`` where it is given."""
        items = image_items(X)
        starts = [0] if items is None else range(0, len(items), _BATCH)
        total = 1 if items is None else len(items)
        for start in counted(starts, total, lambda _: _BATCH):
            x = X if items is None else load_inputs(items[start : start + _BATCH], self.resizer, self.size)
            batch = checked_batch(x)
            if shape is not None and batch.shape[1:] != shape:
                raise InputError(f"the detector was fitted on images {shape} and these are {tuple(batch.shape[1:])}.")
            yield batch


def explain_anomaly(
    detector: Detector,
    x: Images,
    *,
    bands: int | Sequence[int] | Literal["kauffmann2025"] | None = None,
    components: AnomalyComponents = "pixel_bands",
    method: AnomalyMethod = "auto",
    composite: str | Composite | None = None,
    reference: Images | None = None,
    evaluations: int | None = None,
    check: bool = True,
) -> AnomalyExplanation:
    """Explains the anomaly score of each image by its pixels, its frequencies and the training images.

    Args:
        detector: a fitted detector.
        x: a batch (n, C, H, W) in [-1, 1], or images on disk as the detector reads them; all are read at once.
        bands: number of frequency bands (3, the default, are those of the paper, orders 0-1, 2-18, 19+; others are
            spaced geometrically), or the DCT orders ``u + v`` at which a new one begins; see
            `chinspect.relevance.frequency_bands`. ``kauffmann2025`` are the 20 bins of the paper's spectra, which
            begin at the positions ``(b / 20)^3.47 H W`` of the zigzag path; images have at least 55x55 pixels for them.
        components: ``neighbours`` alone, or beside it ``pixels``, ``bands``, or ``pixel_bands`` with its two marginals.
        method: ``lrp`` and ``rescale`` go through the network of a PatchCore; ``shapley`` masks patches of a seventh of
            the image and asks any detector, for pixels without bands. ``auto`` is ``rescale`` of a PatchCore, of others
            what they know of themselves (D2Neighbors: exactly; a function: its gradient); or the method that a
            composite or evaluations belong to.
        composite: the rules of ``lrp``; ``epsilon_plus`` by default.
        reference: of ``rescale``, ``shapley`` and the check: ``normal`` (the most similar of the normal images that
            the detector keeps), ``blur``, ``mean``, ``grey``, or images. By default ``blur`` of ``rescale``, else
            ``normal`` as far as the detector keeps some; see `chinspect.anomaly.methods`. Bands of ``rescale`` are
            those of the difference to the reference: of a blurred image low ones hold next to nothing, and of ``mean``
            nothing but the colour is left out.
        evaluations: masked images an image, of ``shapley``; by default 8 a patch.
        check: of the 4 images of the highest scores delete the most relevant patches of a fourteenth of the image, and
            random ones, and say how their scores fall.

    Raises `InputError` for components or bands that do not exist, a detector that cannot be explained so, and
    scikit-learn's `NotFittedError`.

    Source: Kauffmann et al. 2025 (D2Neighbors, virtual DCT layer); Kauffmann et al. 2020 (soft minima).
    """
    if components not in get_args(AnomalyComponents):
        raise InputError(
            f"{components!r} are no components{did_you_mean(components, get_args(AnomalyComponents))}: "
            f"use one of {', '.join(get_args(AnomalyComponents))}."
        )
    check_is_fitted(detector, "threshold_")
    batch = detector.read(x)
    options = method_for(detector, method, composite=composite, reference=reference, evaluations=evaluations)
    if options is not None and options.name == "shapley":
        components = _without_bands(components, bands)
        bands = 1
    edges = BandEdges(())
    if components in ("bands", "pixel_bands"):
        edges = named_bands(batch.shape, _BANDS if bands is None else bands)
    resolution = Resolution(edges, components != "bands") if components != "neighbours" else None
    known = {name: np.asarray(value) for name, value in _known(detector, batch, resolution, options).items()}
    for name in {"score", "relevance"}.intersection(known):
        check_finite(known[name], f"the {name} of {type(detector).__name__}")
    shown = pictures(batch)
    blank = {
        "relevance": known["score"].reshape(-1, 1, 1, 1),
        "reference": np.zeros(len(batch)),
        "neighbours": np.empty((len(batch), 0)),
        "nearest": np.empty((len(batch), 0), dtype=np.int64),
        "nearest_images": np.empty((len(batch), 0, *shown.shape[1:]), dtype=np.uint8),
        "squares": np.empty((len(batch), 0)),
        "nearest_squares": np.empty((len(batch), 0)),
    }
    explanation = AnomalyExplanation(
        names=np.array(image_names(x, len(batch))),
        images=shown,
        threshold=detector.threshold_,
        training_names=tuple(detector.image_names_),
        components=components,
        edges=edges,
        method=options,
        **(blank | known),
    )
    if not check or components not in ("pixels", "pixel_bands"):
        return explanation
    return replace(explanation, deletions=deletions(detector, batch, explanation.score, explanation.pixels, reference))


def _without_bands(components: AnomalyComponents, bands: object) -> AnomalyComponents:
    """What Shapley values are of; `InputError` for frequency bands."""
    if components == "bands" or bands not in (None, 1):
        raise InputError(
            "Shapley values show a patch or hide it, with all its frequencies: choose bands=1 (--bands 1) or another "
            "method."
        )
    return "pixels" if components == "pixel_bands" else components


def _known(detector: Detector, x: Tensor, resolution: Resolution | None, method: Method | None) -> dict[str, ArrayLike]:
    """The fields of `AnomalyExplanation` that are known of a batch."""
    if method is None or resolution is None:
        return detector._explain(x, resolution)
    if method.name == "shapley":
        return detector._explain(x, None) | shapley_relevance(detector, x, method)
    return detector._explain(x, None) | detector._explain_by(x, resolution, method)
