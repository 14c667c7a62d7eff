"""Any function from images to scores as a detector: for stress tests and parity of models that are not ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from chinspect.anomaly._detector import Detector
from chinspect.anomaly.explanation import AnomalyExplanation
from chinspect.errors import InputError
from chinspect.relevance import BandEdges

_BATCH = 32


class CallableDetector(Detector):
    """A detector that asks a function for its scores.

    `fit` only sets the threshold, from the scores of images that have to be normal and unseen by whatever is behind the
    function. It can neither be explained nor saved.

    Args:
        function: from a batch (n, C, H, W) in [-1, 1], float32, at most 32 images, to scores (n,), a tensor or an
            array; higher is more anomalous.
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
        resizer: str = "opencv-nearest",
        size: int = 224,
        threshold_fpr: float = 0.05,
    ) -> None:
        self.function = function
        self.resizer = resizer
        self.size = size
        self.threshold_fpr = threshold_fpr

    @property
    def fingerprint(self) -> NoReturn:
        """A function has none: `InputError`."""
        raise InputError("a detector that calls a function has no fingerprint: give no folder to resume from.")

    def _fit(self, x: Tensor) -> None:
        self._scores = self._score(x)

    def _held_out_scores(self) -> NDArray[np.float64]:
        return self._scores

    def _score(self, x: Tensor) -> NDArray[np.float64]:
        return np.concatenate([self._ask(batch) for batch in x.split(_BATCH)])

    def _ask(self, batch: Tensor) -> NDArray[np.float64]:
        with torch.no_grad():
            given = self.function(batch)
        scores = np.asarray(given.cpu() if isinstance(given, Tensor) else given, dtype=np.float64)
        if scores.shape != (len(batch),) or not np.isfinite(scores).all():
            what = "numbers that are not finite" if scores.shape == (len(batch),) else f"shape {scores.shape}"
            raise InputError(f"the function gives {what} for {len(batch)} images: one finite score each is needed.")
        return scores

    def _explain(self, x: Tensor, edges: BandEdges, components: str) -> AnomalyExplanation:  # noqa: ARG002
        raise InputError("a function cannot be explained: use a D2Neighbors or a PatchCore.")

    def _state(self) -> NoReturn:
        raise InputError("a detector that calls a function cannot be saved: save what is behind the function.")

    def _restore(self, tensors: dict[str, Tensor]) -> NoReturn:  # noqa: ARG002
        raise InputError("a detector that calls a function cannot be saved, and not be restored.")
