"""A detector behind a filter."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import clone
from torch import Tensor, nn

from chinspect.anomaly import Detector, check_training_folder
from chinspect.anomaly.fingerprint import fingerprint
from chinspect.mitigate._inputs import as_batch


class Filtered:
    """Any detector with a filter in front, in training and in use.

    For `D2Neighbors` prefer its own ``blur``, behind which it can still be explained.

    Args:
        detector: what to fit behind the filter; it is copied, and stays as it is.
        layer: a shape-preserving module such as `Blur` or `SpectralWeights`.

    Attributes:
        resizer, size, threshold_: those of the fitted detector.
    """

    def __init__(self, detector: Detector, layer: nn.Module) -> None:
        self.detector, self.layer = clone(detector), layer
        self.resizer, self.size = detector.resizer, detector.size

    def fit(self, X: Any) -> Self:
        """Learn what filtered normal images look like; ``X`` is a batch or images on disk, as the detector reads."""
        check_training_folder(X)
        self.detector.fit(self._filtered(X))
        self.threshold_ = self.detector.threshold_
        return self

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """The detector's scores (N,) of the filtered images."""
        return self.detector.decision_function(self._filtered(X))

    def predict(self, X: Any) -> NDArray[np.int64]:
        """1 for each image whose score exceeds ``threshold_``, else 0: (N,)."""
        return (self.decision_function(X) > self.threshold_).astype(np.int64)

    @property
    def fingerprint(self) -> str:
        """64 hexadecimal digits that change with the detector or the layer."""
        return fingerprint(type(self).__qualname__, {"detector": self.detector.fingerprint, "layer": self.layer})

    @torch.no_grad()
    def _filtered(self, X: Any) -> Tensor:
        filtered: Tensor = self.layer(as_batch(X, self.resizer, self.size))
        return filtered.clamp_(-1, 1)  # an average stays in range; a cut spectrum rings beyond it
