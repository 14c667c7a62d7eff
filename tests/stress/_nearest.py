"""A detector of a few lines."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


class Nearest:
    """The least squared distance to a few images: any object with these four members can be stressed."""

    def __init__(self, bank: Any, *, resizer: str = "opencv-nearest", size: int = 32) -> None:
        self.bank = np.asarray(bank).reshape(len(bank), -1).astype(float)
        self.resizer, self.size = resizer, size
        self.threshold_ = float(max(self._distances(self.bank, leave_out=True).min(1)))

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        return self._distances(np.asarray(X).reshape(len(X), -1).astype(float)).min(1)

    def _distances(self, x: NDArray[np.float64], leave_out: bool = False) -> NDArray[np.float64]:
        distances: NDArray[np.float64] = ((x[:, None] - self.bank) ** 2).sum(2)
        if leave_out:
            np.fill_diagonal(distances, np.inf)
        return distances
