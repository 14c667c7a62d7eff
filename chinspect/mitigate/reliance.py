"""How much an encoder relies on an artefact when it compares images: relevance on it, and similarity owed to it.

For two images that carry the artefact, the marginal of BiLRP says where in one of them the similarity ``<y_a, y_b>``
lies; the share of its relevance inside the mask of the artefact is near the mask's area if the artefact plays no part.
The similarity shift is what the artefact adds: the cosine similarity of the two less that of the two without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from chinspect.encoders import Encoder
from chinspect.errors import InputError
from chinspect.relevance import relevance_map, trace
from chinspect.similarity.bilrp import resolve_composite


@dataclass(frozen=True)
class Reliance:
    """Means over neighbouring pairs of images.

    Attributes:
        relevance_share: of the relevance inside the artefact.
        area: of the artefact, as a share of the input: what the share would be if relevance were spread evenly.
        similarity_shift: of the cosine similarity.
    """

    relevance_share: float
    area: float
    similarity_shift: float


def reliance(
    encoder: Encoder,
    with_artefact: Sequence[Image.Image],
    without: Sequence[Image.Image],
    *,
    composite: str = "epsilon_plus_flat",
) -> Reliance:
    """Measure reliance on pairs (image i, image i + 1), the last one with the first.

    Args:
        with_artefact, without: the same images, in the same order, at least two.

    Raises `InputError` for other numbers of images, or if no image shows the artefact.
    """
    if len(with_artefact) != len(without) or len(without) < 2:
        raise InputError(f"Pairs of images are needed, two at least, not {len(with_artefact)} and {len(without)}.")
    marked, plain = encoder.embed(with_artefact), encoder.embed(without)
    graph = trace(encoder.module, encoder.prepare(with_artefact[0]))
    table = resolve_composite(composite, encoder)
    shares, areas = [], []
    for i, (picture, other) in enumerate(zip(with_artefact, without, strict=True)):
        x = encoder.prepare(picture)
        mask = (x != encoder.prepare(other)).any(1)[0]
        mapped = relevance_map(graph, x, table)
        heat = mapped.pull(mapped.output * marked[(i + 1) % len(marked)]).sum(1)[0]
        shares.append(float((heat * mask).sum() / heat.sum()))
        areas.append(float(mask.float().mean()))
    if not any(areas):
        raise InputError("The images with the artefact are the same as those without it.")
    shift = float((_neighbours(marked) - _neighbours(plain)).mean())
    return Reliance(sum(shares) / len(shares), sum(areas) / len(areas), shift)


def _neighbours(embeddings: Tensor) -> Tensor:
    return torch.cosine_similarity(embeddings, embeddings.roll(-1, 0))
