"""The direction of a concept at a layer, from images with it and without it, as an edit that projects it out.

With ``a_n`` (C,) the activations of image n, averaged over positions, and ``t_n`` 1 with the artefact and 0 without:

    pattern:  v ~ cov(a, t) / var(t), the difference of the means: where the concept moves activations to;
    filter:   v ~ the weights of a linear classifier of t from a: what tells the two apart best.

A filter also points away from what disturbs its decision, so that it may hardly lie along the concept's own signal
(Haufe et al. 2014; Pahde et al. 2022). The projection ``a - v (<v, a> - level)`` keeps the level of plain images, as
P-ClArC does (Anders et al. 2022, section 3.3).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from sklearn.linear_model import LogisticRegression

from chinspect.encoders import Encoder
from chinspect.encoders.edits import Project
from chinspect.errors import InputError
from chinspect.mitigate.responsive import activations

Method = Literal["pattern", "filter"]


def concept_direction(
    encoder: Encoder,
    layer: str,
    with_artefact: Sequence[Image.Image],
    without: Sequence[Image.Image],
    *,
    method: Method = "pattern",
) -> Project:
    """The edit that projects the concept out at a layer; see the module.

    Args:
        layer: path as in `named_modules`; not an attention module, whose channels are heads.
        with_artefact, without: images, at least two of each; they need not form pairs.

    Raises `InputError` for an unknown method or layer, too few images, or activations that do not differ.
    """
    if method not in ("pattern", "filter"):
        raise InputError(f"The method of a concept direction is pattern or filter, not {method!r}.")
    if min(len(with_artefact), len(without)) < 2:
        raise InputError("A concept direction takes two images with the artefact and two without at least.")
    values = [activations(encoder, pictures, {layer: None})[layer] for pictures in (with_artefact, without)]
    if values[0].shape[2] != 1:
        raise InputError(f"The layer {layer!r} is an attention module: choose the block around it.")
    after, before = (found[:, :, 0] for found in values)
    vector = after.mean(0) - before.mean(0) if method == "pattern" else _filter(after, before)
    if not np.linalg.norm(vector) > 0:
        raise InputError(f"The layer {layer!r} does not respond to the artefact: there is no direction to project out.")
    vector = vector / np.linalg.norm(vector)
    return Project(layer, torch.from_numpy(vector), float(before.mean(0) @ vector))


def _filter(after: NDArray[np.float64], before: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights of a logistic regression, fitted to standardised activations and taken back to their scale."""
    values = np.concatenate([after, before])
    spread = np.where(values.std(0) > 0, values.std(0), 1)
    labels = np.repeat([1, 0], [len(after), len(before)])
    weights: NDArray[np.float64] = LogisticRegression(max_iter=1000).fit(values / spread, labels).coef_[0] / spread
    return weights
