"""Where the relevance lies, against a mask of what the score should depend on, or is known to depend on.

A map that lies on the object is right only where the network goes by the object: of a Clever Hans the right map lies on
the artefact. So the mask has to be of what the network uses, as shown by removing it.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from chinspect.errors import InputError
from chinspect.faithfulness.changed import enlarged


def pointing_game(relevance: ArrayLike | Tensor, mask: ArrayLike) -> float:
    """1 where the largest relevance lies in a mask (H, W), 0 where it does not.

    Of several pixels with the largest value the fraction inside counts, the chance that one of them drawn at random
    hits. (Where any of them counts, a map of equal values hits everything.)

    Source: Zhang et al. 2018, Top-down neural attention by excitation backprop (10.1007/s11263-017-1059-x).

    Raises `InputError` for a mask of another form, or one that marks nothing.
    """
    marked = _marked(mask)
    values = enlarged(relevance, tuple(marked.shape))
    return float(marked[values == values.max()].double().mean())


def relevance_mass(relevance: ArrayLike | Tensor, mask: ArrayLike) -> float:
    """The fraction of the positive relevance that lies in a mask (H, W); nan where nothing is positive.

    Of a map of equal values it is the area of the mask.

    Source: Arras, Osman and Samek 2022, CLEVR-XAI (10.1016/j.inffus.2021.11.008), relevance mass accuracy.

    Raises `InputError` for a mask of another form, or one that marks nothing.
    """
    marked = _marked(mask)
    values = enlarged(relevance, tuple(marked.shape)).double().relu()
    total = float(values.sum())
    return float(values[marked].sum()) / total if total > 0 else math.nan


def _marked(mask: ArrayLike) -> Tensor:
    values = np.asarray(mask)
    if values.ndim != 2 or values.dtype != bool:
        raise InputError(f"a mask is booleans (H, W), not {values.dtype} {values.shape}.")
    if not values.any():
        raise InputError("the mask marks nothing: leave the image out.")
    return torch.from_numpy(values)
