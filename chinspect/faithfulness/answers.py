"""Scores of models under test: of an encoder, a classifier or a detector, whatever they are made of."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from chinspect.errors import InputError
from chinspect.faithfulness.changed import Score
from chinspect.subjects import Subject, check_subject


def subject_score(subject: Subject, weights: ArrayLike | None = None) -> Score:
    """``<weights, response>`` as a score of images (n, 3, H, W) in [0, 1] that the model sees.

    The model reads bytes, so that changed images are rounded to 256 levels; ROAD's noise of .01 is 2.5 of them.

    Args:
        subject: a model under test.
        weights: of its responses (d,): 1 for one logit, the embedding of another image, and by default, for the score
            of a detector, 1.

    Raises `InputError` for what is no model, for weights of another length, and where a model of several outputs has
    none.
    """
    check_subject(subject)
    factors = np.ones(1) if weights is None else np.asarray(weights, dtype=float)

    def score(images: Tensor) -> Tensor:
        seen = (images.cpu() * 255).round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()
        responses = subject.respond(list(seen))
        if factors.shape != responses.shape[1:]:
            raise InputError(f"the responses {responses.shape} need as many weights, not {factors.shape}.")
        return torch.from_numpy(responses @ factors)

    return score
