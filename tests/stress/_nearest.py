"""A detector of a few lines."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from chinspect.anomaly import CallableDetector


class Nearest(CallableDetector):
    """The least squared distance to a few images; its threshold is the largest of each of them to the others."""

    def __init__(self, bank: Any, *, resizer: str = "opencv-nearest", size: int = 32) -> None:
        super().__init__(lambda x: self._distances(x.numpy()).min(1), resizer=resizer, size=size)
        self.bank = np.asarray(bank, dtype=np.float32)
        self.fit(torch.from_numpy(self.bank))
        among = self._distances(self.bank)
        np.fill_diagonal(among, np.inf)
        self.threshold_ = float(among.min(1).max())

    def _distances(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        rows, bank = (values.reshape(len(values), -1).astype(float) for values in (x, self.bank))
        distances: NDArray[np.float64] = ((rows[:, None] - bank) ** 2).sum(2)
        return distances
