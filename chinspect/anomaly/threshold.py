"""The score above which an image is called anomalous, from scores of normal images."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def threshold_at(scores: NDArray[np.float64], fpr: float) -> float:
    """The threshold that an unseen normal image exceeds at most with probability ``fpr``, averaged over training sets.

    It is the k-th smallest held-out score, k = ceil((N + 1)(1 - fpr)): the conformal quantile, whatever the
    distribution, as far as held-out scores behave like those of unseen images. Where N is too small for the rate
    (k > N) it is the largest score, whose rate is 1 / (N + 1).
    """
    rank = min(int(np.ceil((len(scores) + 1) * (1 - fpr))), len(scores))
    return float(np.sort(scores)[rank - 1])
