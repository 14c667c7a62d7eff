"""Any function from images to scores as a detector: for stress tests, parity and proofs of models that are not ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from chinspect.anomaly.detector import Detector
from chinspect.anomaly.explanation import Resolution
from chinspect.anomaly.images import few_images, from_few_images
from chinspect.errors import InputError
from chinspect.relevance import evaluation_mode

_BATCH = 32  # images that a function is asked about at once, as its documentation promises


class CallableDetector(Detector):
    """A detector that asks a function for its scores.

    `fit` only sets the threshold, from the scores of images that have to be normal and unseen by whatever is behind the
    function. It cannot be saved. Without a gradient it is explained by Shapley values, the method ``shapley``.

    Args:
        function: from a batch (n, C, H, W) in [-1, 1], float32, at most 32 images, to scores (n,), a tensor or an
            array; higher is more anomalous. A module answers in evaluation mode and is left as it was.
        gradient: from such a batch to the gradient of each image's score by its pixels, (n, C, H, W), a tensor or an
            array. Then scores are explained by gradient times input, which need not be conserved: see
            `AnomalyExplanation.conservation`.
        layer: a shape-preserving module that filters images first, see `Detector`; to be explained it has to be linear.
        resizer, size: how images on disk are read, see `chinspect.images.RESIZERS`.
        threshold_fpr: false positive rate at which ``threshold_`` is set.

    Example:
        >>> import torch
        >>> from chinspect.anomaly import CallableDetector
        >>> detector = CallableDetector(lambda images: images.mean((1, 2, 3))).fit(torch.rand(20, 3, 8, 8) - 1)
        >>> detector.predict(torch.ones(2, 3, 8, 8)).tolist()
        [1, 1]
    """

    def __init__(
        self,
        function: Callable[[Tensor], ArrayLike],
        *,
        gradient: Callable[[Tensor], ArrayLike] | None = None,
        layer: nn.Module | None = None,
        resizer: str = "opencv-nearest",
        size: int = 224,
        threshold_fpr: float = 0.05,
    ) -> None:
        self.function = function
        self.gradient = gradient
        self.layer = layer
        self.resizer = resizer
        self.size = size
        self.threshold_fpr = threshold_fpr

    @property
    def fingerprint(self) -> NoReturn:
        """A function has none: `InputError`."""
        raise InputError("a detector that calls a function has no fingerprint: give no folder to resume from.")

    @property
    def normal_images(self) -> Tensor | None:
        return from_few_images(self._normal)

    def _fit(self, x: Tensor) -> NDArray[np.float64]:
        self._normal = few_images(x)
        return self._score(x)

    def _score(self, x: Tensor) -> NDArray[np.float64]:
        with torch.no_grad():
            return self._ask(self.function, x, 1, "one finite score each")

    def _explain(self, x: Tensor, resolution: Resolution | None) -> dict[str, ArrayLike]:
        known: dict[str, ArrayLike] = {"score": self._score(x)}
        if resolution is not None:
            if self.gradient is None:
                raise InputError(
                    "a function without a gradient cannot be explained by it: give one, or choose the method shapley."
                )
            gradient = torch.from_numpy(self._ask(self.gradient, x, 4, "a finite gradient like the images"))
            products = resolution.products(x, self._before_layer(x, gradient.float()))
            known["relevance"] = resolution.completed(products)
        return known

    def _ask(self, function: Callable[[Tensor], ArrayLike], x: Tensor, ndim: int, needed: str) -> NDArray[np.float64]:
        """What a function gives for images behind the layer: finite, in the first ``ndim`` axes of the images."""
        answers = []
        for batch in self._filtered(x).split(_BATCH):
            with evaluation_mode(function):
                answer: Any = function(batch)
            values = np.asarray(answer.detach().cpu() if isinstance(answer, Tensor) else answer, dtype=np.float64)
            fits = values.shape == tuple(batch.shape[:ndim])
            if not fits or not np.isfinite(values).all():
                what = "numbers that are not finite" if fits else f"shape {values.shape}"
                raise InputError(f"the function gives {what} for {len(batch)} images: {needed} is needed.")
            answers.append(values)
        return np.concatenate(answers)

    def _state(self) -> NoReturn:
        raise InputError("a detector that calls a function cannot be saved: save what is behind the function.")

    def _restore(self, tensors: dict[str, Tensor]) -> NoReturn:  # noqa: ARG002
        raise InputError("a detector that calls a function cannot be saved, and not be restored.")
