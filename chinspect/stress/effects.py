"""What an edit of an image does to a model: effects of classifiers, encoders and detectors, each image with itself.

One effect of each kind of model decides, the others describe:

* classifier: **log-odds** of the artefact's class, ``log p / (1 - p)``. A rank can move by dozens of places, and a
  probability by nothing, where the class is out of reach anyway (Anders et al. 2022, Table 3: 58 ranks for .0004);
* encoder: **similarity gain**, the cosine similarity of two images that both carry the artefact less that of the same
  two without it;
* detector: **score shift**, in interquartile ranges of the scores of unchanged images.

An edit is made on what the model sees: an encoder's preprocessing would cut away what lies in the corners of a
photograph. A square picture of just the encoder's input size is taken for what it sees.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from chinspect.encoders import Encoder
from chinspect.errors import InputError
from chinspect.images.resizers import resize, to_input
from chinspect.stress.artefacts import Pixels
from chinspect.stress.scoring import Scorer

Values = NDArray[np.float64]
WORDS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "classifier": {
            "log_odds": "change of the log-odds of the class",
            "probability": "change of the probability of the class",
            "rank": "places that the class gains in the ranking",
            "turned": "share of predictions that turn to the class",
        },
        "encoder": {
            "similarity_gain": "change of the cosine similarity of two images that share the edit",
            "embedding_shift": "1 - cosine similarity to the unchanged image",
            "norm_change": "relative change of the length of the embedding",
            "neighbour_overlap": "Jaccard overlap of nearest unchanged images, before and after",
        },
        "detector": {
            "score_shift": "change of the anomaly score, in interquartile ranges",
            "flipped": "share of decisions that change at the frozen threshold",
        },
    }
)
"""Effects by kind of model and name, in words; the first one of each kind decides."""

_BATCH = 32
_NEIGHBOURS = 10


class Subject(Protocol):
    """A model under test."""

    kind: str
    """classifier, encoder or detector."""
    direction: int
    """Sign of the effect that decides if an added artefact is relied on: 1, or 0 where both signs are a finding."""

    def see(self, images: Sequence[Pixels]) -> Sequence[Pixels]:
        """What the model sees of uint8 images (H, W, 3)."""

    def respond(self, images: Sequence[Pixels]) -> Values:
        """The model's outputs (n, d) for images that it `see`s."""

    def measure(self, before: Values, after: Values, reference: Values) -> dict[str, Values]:
        """Effects by name, of images (n,) or of pairs of images (n, n), from outputs before and after an edit.

        ``reference`` are outputs for unchanged images, which may be ``before`` itself.
        """


@dataclass(frozen=True, eq=False)
class Classifier:
    """A classifier, and the class that an artefact is suspected to stand for.

    Attributes:
        logits: from inputs (n, ...) to logits (n, classes).
        prepare: from uint8 images (H, W, 3) to these inputs; by default they are stacked and scaled to [0, 1],
            (n, 3, H, W), which needs images of one size.
        target: index of the class.
    """

    logits: Callable[[Tensor], Tensor]
    target: int
    prepare: Callable[[Sequence[Pixels]], Tensor] | None = None

    kind = "classifier"
    direction = 1

    def see(self, images: Sequence[Pixels]) -> Sequence[Pixels]:
        """The images: what is done to them before the network is up to ``prepare``."""
        return images

    def respond(self, images: Sequence[Pixels]) -> Values:
        """Logits (n, classes). Raises `InputError` for other shapes, one class only, or an unknown target."""
        prepare = self.prepare or _unit_range
        with torch.no_grad():
            logits = [self.logits(prepare(images[i : i + _BATCH])) for i in range(0, len(images), _BATCH)]
        values = torch.cat(logits).double().cpu().numpy()
        if values.ndim != 2 or values.shape[1] < 2 or not 0 <= self.target < values.shape[1]:
            raise InputError(
                f"A classifier gives logits (n, classes) of 2 classes or more, class {self.target} among them, and "
                f"these have the shape {values.shape}."
            )
        return values

    def measure(self, before: Values, after: Values, reference: Values) -> dict[str, Values]:  # noqa: ARG002
        """Effects of each image, (n,)."""
        (odds0, rank0), (odds1, rank1) = (self._odds_and_rank(logits) for logits in (before, after))
        return {
            "log_odds": odds1 - odds0,
            "probability": _logistic(odds1) - _logistic(odds0),
            "rank": (rank0 - rank1).astype(float),
            "turned": (rank1 == 0).astype(float) - (rank0 == 0),
        }

    def _odds_and_rank(self, logits: Values) -> tuple[Values, NDArray[np.int64]]:
        own = logits[:, self.target]
        others = np.delete(logits, self.target, axis=1)
        return own - np.logaddexp.reduce(others, axis=1), (others > own[:, None]).sum(axis=1)


@dataclass(frozen=True, eq=False)
class _Encoder:
    encoder: Encoder

    kind = "encoder"
    direction = 1

    def see(self, images: Sequence[Pixels]) -> Sequence[Pixels]:
        preprocessing = self.encoder.preprocessing
        whole = (preprocessing.size, preprocessing.size, 3)
        return [
            image if image.shape == whole else np.array(preprocessing.visible(Image.fromarray(image)))
            for image in images
        ]

    def respond(self, images: Sequence[Pixels]) -> Values:
        uncropped = replace(self.encoder.preprocessing, resize="squash", resize_size=None)
        encoder = replace(self.encoder, preprocessing=uncropped)
        values: Values = encoder.embed([Image.fromarray(image) for image in images]).double().cpu().numpy()
        return values

    def measure(self, before: Values, after: Values, reference: Values) -> dict[str, Values]:
        a, b, bank = (_unit(values) for values in (before, after, reference))
        gain = b @ b.T - a @ a.T
        np.fill_diagonal(gain, 0)
        near = [_nearest(values @ bank.T, itself=before is reference) for values in (a, b)]
        shared = (near[0] & near[1]).sum(axis=1)
        return {
            "similarity_gain": gain,
            "embedding_shift": 1 - (a * b).sum(axis=1),
            "norm_change": np.linalg.norm(after, axis=1) / np.maximum(np.linalg.norm(before, axis=1), 1e-12) - 1,
            "neighbour_overlap": shared / np.maximum((near[0] | near[1]).sum(axis=1), 1),
        }


@dataclass(frozen=True, eq=False)
class _Detector:
    scorer: Scorer

    kind = "detector"
    direction = 0

    def see(self, images: Sequence[Pixels]) -> Sequence[Pixels]:
        return images

    def respond(self, images: Sequence[Pixels]) -> Values:
        pixels = np.stack([resize(image, self.scorer.size, self.scorer.resizer) for image in images])
        return np.asarray(self.scorer.decision_function(to_input(pixels)), dtype=np.float64)[:, None]

    def measure(self, before: Values, after: Values, reference: Values) -> dict[str, Values]:
        low, high = np.percentile(reference, [25, 75])
        if not high > low:
            raise InputError("The detector gives the unchanged images one score: a shift has no unit to measure it in.")
        flagged = [values[:, 0] > self.scorer.threshold_ for values in (before, after)]
        return {
            "score_shift": (after - before)[:, 0] / (high - low),
            "flipped": (flagged[0] != flagged[1]).astype(float),
        }


def as_subject(model: Classifier | Encoder | Scorer | Any) -> Subject:
    """The model as something that effects are measured on.

    Raises `InputError` for what is no `Classifier`, no encoder and no detector that was fitted.
    """
    if isinstance(model, Classifier):
        return model
    if isinstance(model, Encoder):
        return _Encoder(model)
    if all(hasattr(model, name) for name in ("decision_function", "resizer", "size", "threshold_")):
        return _Detector(model)
    raise InputError(
        f"An artefact is tested on a Classifier, an Encoder or a fitted detector, not on {type(model).__name__}."
    )


def _unit_range(images: Sequence[Pixels]) -> Tensor:
    if len({image.shape for image in images}) > 1:
        raise InputError("Images of several sizes need a classifier with `prepare`, which makes one batch of them.")
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255


def _unit(values: Values) -> Values:
    unit: Values = values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)
    return unit


def _nearest(similarity: Values, *, itself: bool) -> NDArray[np.bool_]:
    """The most similar of the reference (n, m), up to `_NEIGHBOURS` of them and a third of all."""
    ranked = similarity.copy()
    if itself:
        np.fill_diagonal(ranked, -np.inf)
    k = max(min(_NEIGHBOURS, ranked.shape[1] // 3), 1)
    near = np.zeros(ranked.shape, dtype=bool)
    np.put_along_axis(near, np.argsort(-ranked, axis=1, kind="stable")[:, :k], True, axis=1)
    return near


def _logistic(odds: Values) -> Values:
    p: Values = np.exp(-np.logaddexp(0, -odds))
    return p
