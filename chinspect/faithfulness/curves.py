"""Insertion and deletion: the score while an image is built up, or taken apart, in the order of a map.

With x_f the image in which the fraction f of the pixels, the most relevant ones, show the image x and all others a
reference x0, and conversely for deletion,

    insertion = int_0^1 score(x0 with x on the first f) df,      deletion = int_0^1 score(x with x0 on the first f) df,

by the trapezoidal rule. A map that says what a score depends on has a high insertion and a low deletion.

Both depend on what pixels are replaced with: what is cut out of an image with sharp edges is like nothing that the
network has seen. Published protocols insert into a blurred image and delete to a single colour.

Source: Petsiuk, Das and Saenko 2018, RISE: randomized input sampling for explanation of black-box models
(arXiv:1806.07421); deletion is pixel flipping (Bach et al. 2015, 10.1371/journal.pone.0130140).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from chinspect.errors import InputError
from chinspect.faithfulness.changed import Score, check_image, enlarged, first_pixels, pixel_order, scores_of
from chinspect.relevance import Reference, reference_images

STEPS = 30
"""After which the score is asked: as many as published studies ask."""


@dataclass(frozen=True, eq=False)
class Curve:
    """Scores of an image while its pixels change.

    Attributes:
        fractions: of the pixels that are changed, from 0 to 1 (F,).
        scores: of the image then (F,).
    """

    fractions: NDArray[np.float64]
    scores: NDArray[np.float64]

    @property
    def area(self) -> float:
        """Under the curve, in units of the score."""
        return float(np.trapezoid(self.scores, self.fractions))


def insertion_curve(
    score: Score,
    x: Tensor,
    relevance: ArrayLike | Tensor,
    reference: Reference | str = "blur",
    *,
    steps: int = STEPS,
    random_state: int = 0,
) -> Curve:
    """Scores while the image comes into its reference, the most relevant pixels first; see `deletion_curve`."""
    return _curve(score, x, relevance, reference, steps, random_state, inserts=True)


def deletion_curve(
    score: Score,
    x: Tensor,
    relevance: ArrayLike | Tensor,
    reference: Reference | str = "blur",
    *,
    steps: int = STEPS,
    random_state: int = 0,
) -> Curve:
    """Scores while the image gives way to its reference, the most relevant pixels first.

    Args:
        score: from images (n, C, H, W) to numbers (n,).
        x: one image (1, C, H, W), preprocessed.
        relevance: a map (h, w) of any resolution.
        reference: what comes in the place of pixels; over several references scores are averaged.
        steps: between the first and the last image.
        random_state: decides the order of pixels of equal relevance.

    Raises `InputError` for other shapes, numbers that are not finite, and fewer than one step.
    """
    return _curve(score, x, relevance, reference, steps, random_state, inserts=False)


def _curve(
    score: Score,
    x: Tensor,
    relevance: ArrayLike | Tensor,
    reference: Reference | str,
    steps: int,
    random_state: int,
    *,
    inserts: bool,
) -> Curve:
    check_image(x)
    if steps < 1:
        raise InputError(f"a curve takes at least 1 step, not {steps}.")
    size = tuple(x.shape[2:])
    order = pixel_order(enlarged(relevance, size), random_state)
    fractions = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
    first = first_pixels(order, (fractions * len(order)).round().long(), size)[:, None].to(x.device)
    shows = first if inserts else ~first
    scores = [scores_of(score, torch.where(shows, x, x0)) for x0 in reference_images(reference, x)]
    return Curve(fractions.numpy(), np.mean(scores, axis=0))
