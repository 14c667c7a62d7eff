"""How much an encoder relies on an artefact when it compares images: relevance on it, and similarity owed to it.

For two images that carry the artefact, the marginal of BiLRP says where in one of them the similarity ``<y_a, y_b>``
lies; the fraction of its relevance inside the mask of the artefact is near the mask's area if the artefact is ignored.
The similarity shift is what the artefact adds: the cosine similarity of the two less that of the two without it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from chinspect.encoders import Encoder
from chinspect.encoders.explaining import explain_outputs
from chinspect.readouts import Pairs
from chinspect.relevance import Method

Maps = NDArray[np.float64]


@dataclass(frozen=True)
class Reliance:
    """Means over neighbouring pairs of images.

    Attributes:
        relevance_share: the fraction of the relevance that lies inside the artefact.
        area: of the artefact, as a fraction of the input: what the former would be if relevance were spread evenly.
        similarity_shift: of the cosine similarity.
    """

    relevance_share: float
    area: float
    similarity_shift: float


def reliance(encoder: Encoder, pairs: Pairs) -> Reliance:
    """Measure reliance on neighbours (image i, image i + 1), the last one with the first.

    Raises `InputError` if no image shows the artefact.
    """
    marked = encoder.embed(pairs.with_artefact)
    plain = encoder.embed(pairs.without)
    maps, masks = _maps(encoder, pairs, marked.roll(-1, 0))
    inside = (maps * masks).sum((1, 2)) / maps.sum((1, 2))
    shift = _neighbours(marked) - _neighbours(plain)
    return Reliance(float(inside.mean()), float(masks.mean()), float(shift.mean()))


def output_relevance(classifier: Encoder, output: int, pairs: Pairs) -> float:
    """Relevance on the artefact for one output of a classifier, as a fraction of the image's absolute relevance.

    ``mean_n sum_mask R_n / sum |R_n|`` in [-1, 1]: positive where the artefact speaks for the output, negative where it
    speaks against it. The ratio of `reliance` would not tell, as an output may itself be negative.

    Raises `InputError` if no image shows the artefact.
    """
    seeds = torch.zeros_like(classifier.embed(pairs.with_artefact))
    seeds[:, output] = 1
    maps, masks = _maps(classifier, pairs, seeds)
    # the smallest normal float32 is near 1e-38: an image without any relevance counts as 0, not as nan
    total = np.abs(maps).sum((1, 2)).clip(min=1e-30)
    return float(((maps * masks).sum((1, 2)) / total).mean())


def _maps(encoder: Encoder, pairs: Pairs, seeds: Tensor) -> tuple[Maps, Maps]:
    """Of each image the relevance of its outputs times ``seeds`` (N, D), and 1 where the artefact is: (N, H, W)."""
    inputs, masks = pairs.inputs(encoder)
    method = Method("lrp")  # as reliance has always been measured, so that numbers stay comparable
    relevance = explain_outputs(encoder.module, inputs, seeds.cpu().numpy(), encoder.fingerprint, method=method)
    # in double precision, as relevance of both signs is summed over many pixels
    return relevance.astype(np.float64), masks.cpu().numpy().astype(np.float64)


def _neighbours(embeddings: Tensor) -> Tensor:
    return torch.cosine_similarity(embeddings, embeddings.roll(-1, 0))
