"""ROAD: remove and debias. What a score becomes without the most, and without the least relevant pixels, imputed.

Pixels are removed by noisy linear imputation (see `chinspect.faithfulness.imputing`), which does not draw the outline
of the mask into the image. At the percentile p, of n pixels the ``ceil(p (n - 1) / 100)`` least relevant ones stay and
all others are removed (MoRF, most relevant first), or the other way round (LeRF):

    ROAD = (mean_p score(LeRF_p) - mean_p score(MoRF_p)) / 2,

in [-1/2, 1/2] for probabilities; 0 is what a map in random order has. The noise is drawn by a seed, one field for all
percentiles and maps; in pytorch-grad-cam and Quantus it has none, so that no number there comes twice.

Source: Rong et al. 2022 (arXiv:2202.00449), with the percentiles and the combination of pytorch-grad-cam.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from chinspect.errors import InputError
from chinspect.faithfulness.changed import Score, check_image, enlarged, first_pixels, pixel_order, scores_of
from chinspect.faithfulness.imputing import imputed

PERCENTILES = (10, 20, 30, 40, 50, 60, 70, 80, 90)


@dataclass(frozen=True, eq=False)
class Road:
    """Scores of an image without its most and its least relevant pixels.

    Attributes:
        percentiles: of the relevance (F,).
        morf: scores without what lies above them (F,): without the most relevant pixels.
        lerf: scores without as many of the least relevant pixels (F,).
    """

    percentiles: NDArray[np.float64]
    morf: NDArray[np.float64]
    lerf: NDArray[np.float64]

    @property
    def combined(self) -> float:
        """``(mean LeRF - mean MoRF) / 2``; high is good."""
        return float(self.lerf.mean() - self.morf.mean()) / 2


def road(
    score: Score,
    x: Tensor,
    relevance: ArrayLike | Tensor,
    *,
    percentiles: Sequence[float] = PERCENTILES,
    noise: float = 0.01,
    random_state: int = 0,
) -> Road:
    """ROAD of a map; the score is asked of two images a percentile.

    Args:
        score: from images (n, C, H, W) to numbers (n,).
        x: one image (1, C, H, W), preprocessed.
        relevance: a map (h, w) of any resolution.
        percentiles: in (0, 100).
        noise: standard deviation of what is added to removed pixels.
        random_state: decides the noise, and the order of pixels of equal relevance.

    Raises `InputError` for other shapes, percentiles out of range, and numbers that are not finite.
    """
    check_image(x)
    if not len(percentiles) or not all(0 < value < 100 for value in percentiles):
        raise InputError(f"percentiles of relevance lie in (0, 100), not {tuple(percentiles)}.")
    size = tuple(x.shape[2:])
    order = pixel_order(enlarged(relevance, size), random_state)
    count = len(order)
    stay = torch.tensor([int(np.ceil(value / 100 * (count - 1))) for value in percentiles])
    sets = [first_pixels(pixels, count - stay, size) for pixels in (order, order.flip(0))]
    scores = scores_of(score, imputed(x, torch.cat(sets), noise, random_state=random_state))
    morf, lerf = scores.reshape(2, -1)
    return Road(np.array(percentiles, dtype=float), morf, lerf)
