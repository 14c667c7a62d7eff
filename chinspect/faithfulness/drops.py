"""Drop, increase and gain: what a score becomes where only what a map marks is shown.

With Y the score of an image x and O that of ``x0 + M (x - x0)``, shown through the mask M of a map (see
`chinspect.faithfulness.changed`), of each image

    drop      max(0, Y - O) / Y    relative,    max(0, Y - O)    absolute        low is good
    increase  1 where O > Y, else 0                                              high is good
    gain      max(0, O - Y) / (1 - Y)    relative,    max(0, O - Y)    absolute  high is good

and a published average is the mean over images. Both definitions of drop are in use under one name: torch-cam divides
by the score, pytorch-grad-cam does not. Relative ones are of probabilities: a drop is not defined where Y is not
positive, a gain where it is not below 1.

A mask of ones changes nothing and has the best drop there is, 0: these metrics reward maps that show much.

Source: Chattopadhay et al. 2018, Grad-CAM++ (10.1109/WACV.2018.00097) for drop and increase; Zhang et al. 2023,
Opti-CAM (arXiv:2301.07002) for the gain.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from chinspect.errors import InputError
from chinspect.faithfulness.changed import Score, as_mask, check_image, enlarged, scores_of
from chinspect.relevance import Reference, reference_images

Definition = Literal["relative", "absolute"]
Values = NDArray[np.float64]


def masked_score(
    score: Score, x: Tensor, relevance: ArrayLike | Tensor, reference: Reference | str = "grey"
) -> tuple[float, float]:
    """The score of an image, and of what a map shows of it.

    Args:
        score: from images (n, C, H, W) to numbers (n,).
        x: one image (1, C, H, W), preprocessed.
        relevance: a map (h, w) of any resolution.
        reference: what shows where the mask is 0. ``grey``, zero after preprocessing, is what multiplying the input by
            the mask gives, as published; over several references scores are averaged.

    Raises `InputError` for other shapes, and numbers that are not finite.
    """
    check_image(x)
    mask = as_mask(enlarged(relevance, tuple(x.shape[2:]))).to(x)
    masked = [scores_of(score, x0 + mask * (x - x0)) for x0 in reference_images(reference, x)]
    return float(scores_of(score, x)[0]), float(np.mean(masked))


def drop(plain: ArrayLike, masked: ArrayLike, definition: Definition = "relative") -> Values:
    """Falls of scores (N,) behind masks; nan where a relative one is not defined."""
    before, after = _pair(plain, masked, definition)
    fall = np.maximum(before - after, 0)
    return fall if definition == "absolute" else _ratio(fall, before)


def increase(plain: ArrayLike, masked: ArrayLike) -> Values:
    """1 for each image (N,) whose score is higher behind its mask, else 0."""
    before, after = _pair(plain, masked, "absolute")
    return (after > before).astype(float)


def gain(plain: ArrayLike, masked: ArrayLike, definition: Definition = "relative") -> Values:
    """Rises of scores (N,) behind masks; nan where a relative one is not defined."""
    before, after = _pair(plain, masked, definition)
    rise = np.maximum(after - before, 0)
    return rise if definition == "absolute" else _ratio(rise, 1 - before)


def _pair(plain: ArrayLike, masked: ArrayLike, definition: str) -> tuple[Values, Values]:
    before = np.atleast_1d(np.asarray(plain, dtype=float))
    after = np.atleast_1d(np.asarray(masked, dtype=float))
    if definition not in ("relative", "absolute"):
        raise InputError(f"a drop or gain is 'relative' or 'absolute', not {definition!r}.")
    if before.ndim != 1 or before.shape != after.shape:
        raise InputError(
            f"scores before and behind masks are two lists of one length, not {before.shape}, {after.shape}."
        )
    return before, after


def _ratio(change: Values, unit: Values) -> Values:
    return np.divide(change, unit, out=np.full_like(change, np.nan), where=unit > 0)
