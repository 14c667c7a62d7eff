"""What every detector is: the contract of scikit-learn and PyOD, checked input, a threshold from normal images."""

from __future__ import annotations

import hashlib
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from chinspect.anomaly.fingerprint import fingerprint
from chinspect.anomaly.threshold import threshold_at
from chinspect.errors import ImageWarning, InputError
from chinspect.files import shown
from chinspect.images import list_images, load_inputs, resize, to_input
from chinspect.images.resizers import check_resizer
from chinspect.subjects import Kind, Pixels

if TYPE_CHECKING:
    from chinspect.anomaly.explanation import AnomalyExplanation
    from chinspect.relevance import BandEdges

Images = Tensor | ArrayLike | str | Path | Sequence[str] | Sequence[Path]
_BATCH = 64
_TOLERANCE = 1e-4


class Detector(BaseEstimator, ABC):
    """An anomaly detector for images, fitted on normal ones; the higher its score, the more anomalous an image.

    Everywhere ``X`` is either a batch (N, C, H, W) in [-1, 1] (a tensor or an array), or images on disk: a folder, a
    path or a list of paths, which are read as ``resizer`` and ``size`` say. Files are scored in batches, so a folder of
    any length fits into memory.

    Constructors are keyword-only and only store. A subclass gives `_fit`, `_score`, `_held_out_scores`, `_explain`,
    `_state` and `_restore`.

    Attributes:
        threshold_: the score above which `predict` says anomalous, see `threshold_at`.
        held_out_scores_: (N,) the scores that the threshold comes from: of the training images, each by a detector that
            has not seen it, or of other normal images.
        threshold_source_: whose scores these are, in words.
        image_shape_: (C, H, W) of the images fitted on; others are refused.
        n_images_: how many images the detector was fitted on.
    """

    resizer: str
    size: int
    threshold_fpr: float
    threshold_: float
    kind: ClassVar[Kind] = "detector"

    def fit(self, X: Images, y: object = None) -> Self:  # noqa: ARG002 - the contract has labels, novelty has none
        """Learns what normal images ``X`` look like; ``y`` is ignored.

        Warns with `ImageWarning` of images that are the same, pixel by pixel: a held-out one still has its copy.

        Raises `InputError` for fewer than 2 images, for a whole data set with its test images, for pixels that are not
        finite numbers in [-1, 1], and for a parameter out of range.
        """
        self._check_parameters()
        check_training_folder(X)
        x = torch.cat(list(self._batches(X)))
        if len(x) < 2:
            raise InputError(f"a detector is fitted on at least 2 normal images, not on {len(x)}.")
        _warn_of_copies(x, _paths(X))
        self._fit(x)
        self.image_shape_: tuple[int, ...] = tuple(x.shape[1:])
        self.n_images_ = len(x)
        self.held_out_scores_: NDArray[np.float64] = np.asarray(self._held_out_scores(), dtype=np.float64)
        self.threshold_ = threshold_at(self.held_out_scores_, self.threshold_fpr)
        self.threshold_source_ = f"held-out scores of {len(self.held_out_scores_)} normal training images"
        return self

    def decision_function(self, X: Images) -> NDArray[np.float64]:
        """The score of each image (N,), higher is more anomalous."""
        check_is_fitted(self, "threshold_")
        batches = self._batches(X, self.image_shape_)
        return np.concatenate([np.asarray(self._score(batch), dtype=np.float64) for batch in batches])

    def predict(self, X: Images) -> NDArray[np.int64]:
        """1 for each image whose score exceeds ``threshold_``, else 0: (N,)."""
        return (self.decision_function(X) > self.threshold_).astype(np.int64)

    def explain(self, X: Images, edges: BandEdges, components: str) -> AnomalyExplanation:
        """See `chinspect.anomaly.explain_anomaly`, which chooses the edges; all images of ``X`` are read at once."""
        check_is_fitted(self, "threshold_")
        return self._explain(self.read(X), edges, components)

    def read(self, X: Images) -> Tensor:
        """``X`` as one float32 batch (N, C, H, W) in [-1, 1], checked, also against the images fitted on if any."""
        return torch.cat(list(self._batches(X, getattr(self, "image_shape_", None))))

    @property
    def device(self) -> torch.device:
        """Where scores are computed."""
        return torch.device("cpu")

    def see(self, images: Sequence[Pixels]) -> list[Pixels]:
        """Uint8 images (H, W, 3) as the detector's resizer squashes them: (size, size, 3) each."""
        check_is_fitted(self, "threshold_")
        return [resize(image, self.size, self.resizer) for image in images]

    def respond(self, images: Sequence[Pixels]) -> NDArray[np.float64]:
        """Anomaly scores (n, 1) of images that it `see`s."""
        return self.decision_function(to_input(np.stack(images)))[:, None]

    @property
    def fingerprint(self) -> str:
        """64 hexadecimal digits that change with the class, a parameter, or anything that was learned.

        Raises scikit-learn's `NotFittedError`.
        """
        check_is_fitted(self, "threshold_")
        learned = {f"learned {name}": tensor for name, tensor in self._state().items()}
        return fingerprint(type(self).__qualname__, {**self.get_params(deep=False), **learned})

    @abstractmethod
    def _fit(self, x: Tensor) -> None:
        """Learns from a checked batch (N, C, H, W) of at least 2 images."""

    @abstractmethod
    def _score(self, x: Tensor) -> ArrayLike:
        """Scores (N,) of a checked batch."""

    @abstractmethod
    def _held_out_scores(self) -> ArrayLike:
        """Scores (N,) of the training images just fitted, each by a detector that has not seen it."""

    @abstractmethod
    def _explain(self, x: Tensor, edges: BandEdges, components: str) -> AnomalyExplanation:
        """The explanation of a checked batch."""

    @abstractmethod
    def _state(self) -> dict[str, Tensor]:
        """Everything that was learned, beside what `Detector` itself keeps."""

    @abstractmethod
    def _restore(self, tensors: dict[str, Tensor]) -> None:
        """The inverse of `_state`, on a detector that has its parameters only; KeyError where a tensor lacks."""

    def _check_parameters(self) -> None:
        check_resizer(self.resizer, self.size)
        if not 0 < self.threshold_fpr < 1:
            raise InputError(
                f"threshold_fpr (--fpr) is a false positive rate between 0 and 1, not {self.threshold_fpr!r}."
            )

    def _batches(self, X: Images, shape: tuple[int, ...] | None = None) -> Iterator[Tensor]:
        """Checked batches, in order; at least one. Images have ``shape`` where it is given."""
        paths = _paths(X)
        starts = [0] if paths is None else range(0, len(paths), _BATCH)
        for start in starts:
            x = X if paths is None else load_inputs(paths[start : start + _BATCH], self.resizer, self.size)
            batch = checked_batch(x)
            if shape is not None and batch.shape[1:] != shape:
                raise InputError(f"the detector was fitted on images {shape} and these are {tuple(batch.shape[1:])}.")
            yield batch


def checked_batch(X: Any) -> Tensor:
    """``X`` as a float32 tensor (N, C, H, W).

    Raises `InputError` for another shape, no image, integers, or values that are not finite or not in [-1, 1].
    """
    try:
        x = X.detach().cpu() if isinstance(X, Tensor) else torch.as_tensor(np.asarray(X))
    except (TypeError, ValueError) as error:
        raise InputError(f"images are numbers (N, C, H, W) or paths, and {type(X).__name__} is neither.") from error
    if x.ndim != 4 or 0 in x.shape:
        raise InputError(f"images form a batch (N, C, H, W) of at least one, not one of shape {tuple(x.shape)}.")
    if not x.is_floating_point():
        raise InputError(f"images are floating point in [-1, 1], not {x.dtype}: convert 8-bit pixels with to_input.")
    x = x.float()
    low, high = (float(bound) for bound in torch.aminmax(x))
    if not np.isfinite([low, high]).all():
        raise InputError(f"images hold finite numbers, and image {_first_bad(x)} holds NaN or infinity.")
    if low < -1 - _TOLERANCE or high > 1 + _TOLERANCE:
        raise InputError(f"pixels lie in [-1, 1], and these go from {low:.4g} to {high:.4g}: see to_input.")
    return x


def check_training_folder(X: Any) -> None:
    """`InputError` for a folder that is a data set: all images below it would be taken for normal ones."""
    if not isinstance(X, str | Path):
        return
    parts = [name for name in ("train", "test", "ground_truth") if Path(X, name).is_dir()]
    if parts:
        train = next((part for part in (Path(X, "train", "good"), Path(X, "train")) if part.is_dir()), None)
        remedy = "its normal images alone" if train is None else repr(str(train))
        raise InputError(
            f"{str(X)!r} holds the folder {parts[0]!r}, so it is a data set, not its training images: give {remedy}."
        )


def _paths(X: Any) -> list[str | Path] | None:
    """Paths of the images, where ``X`` is something on disk."""
    if isinstance(X, str | Path):
        return list(list_images(X)) if Path(X).is_dir() else [X]
    if isinstance(X, Sequence) and len(X) and all(isinstance(item, str | Path) for item in X):
        return list(X)
    return None


def _warn_of_copies(x: Tensor, paths: list[str | Path] | None) -> None:
    first: dict[bytes, int] = {}
    copies = [i for i, image in enumerate(x) if first.setdefault(_digest(image), i) != i]
    if copies:
        twins = (copies[0], first[_digest(x[copies[0]])])
        copy, original = (f"image {i}" if paths is None else repr(shown(paths[i])) for i in twins)
        warnings.warn(
            f"{copy} has the same pixels as {original}, and {len(copies)} of {len(x)} training images are such copies: "
            "leave them out, or the threshold may be too low.",
            ImageWarning,
            stacklevel=3,
        )


def _digest(image: Tensor) -> bytes:
    return hashlib.sha256(image.numpy().tobytes()).digest()


def _first_bad(x: Tensor) -> int:
    return int((~torch.isfinite(x)).flatten(1).any(1).nonzero()[0])
