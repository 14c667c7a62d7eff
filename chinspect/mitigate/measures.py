"""How much an encoder relies on an artefact when it compares images: relevance on it, and similarity owed to it.

For two images that carry the artefact, the marginal of BiLRP says where in one of them the similarity ``<y_a, y_b>``
lies; the fraction of its relevance inside the mask of the artefact is near the mask's area if the artefact is ignored.
The similarity shift is what the artefact adds: the cosine similarity of the two less that of the two without it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from chinspect.encoders import Encoder
from chinspect.readouts import Pairs
from chinspect.relevance import relevance_map, trace
from chinspect.similarity.bilrp import resolve_composite


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


def reliance(encoder: Encoder, pairs: Pairs, *, composite: str = "epsilon_plus_flat") -> Reliance:
    """Measure reliance on neighbours (image i, image i + 1), the last one with the first.

    Raises `InputError` if no image shows the artefact.
    """
    marked = encoder.embed(pairs.with_artefact)
    plain = encoder.embed(pairs.without)
    heats = list(_heats(encoder, pairs, marked.roll(-1, 0), composite))
    inside = [float((heat * mask).sum() / heat.sum()) for heat, mask in heats]
    area = [float(mask.float().mean()) for _, mask in heats]
    shift = _neighbours(marked) - _neighbours(plain)
    return Reliance(float(np.mean(inside)), float(np.mean(area)), float(shift.mean()))


def output_relevance(classifier: Encoder, output: int, pairs: Pairs, *, composite: str = "epsilon_plus_flat") -> float:
    """Relevance on the artefact for one output of a classifier, as a fraction of the image's absolute relevance.

    ``mean_n sum_mask R_n / sum |R_n|`` in [-1, 1]: positive where the artefact speaks for the output, negative where it
    speaks against it. The ratio of `reliance` would not tell, as an output may itself be negative.

    Raises `InputError` if no image shows the artefact.
    """
    seeds = torch.zeros_like(classifier.embed(pairs.with_artefact))
    seeds[:, output] = 1
    heats = _heats(classifier, pairs, seeds, composite)
    # the smallest normal float32 is near 1e-38: an image without any relevance counts as 0, not as nan
    return float(np.mean([float((heat * mask).sum() / heat.abs().sum().clamp(min=1e-30)) for heat, mask in heats]))


def _heats(encoder: Encoder, pairs: Pairs, seeds: Tensor, composite: str) -> Iterator[tuple[Tensor, Tensor]]:
    """Of each image the relevance of its outputs times ``seeds`` (N, D), and where the artefact is: (H, W) each."""
    graph = trace(encoder.module, encoder.prepare(pairs.with_artefact[0]))
    rules = resolve_composite(composite, encoder)
    for (x, mask), seed in zip(pairs.inputs(encoder), seeds, strict=True):
        mapped = relevance_map(graph, x, rules)
        yield mapped.pull(mapped.output * seed).sum(1)[0], mask


def _neighbours(embeddings: Tensor) -> Tensor:
    return torch.cosine_similarity(embeddings, embeddings.roll(-1, 0))
