"""How much an encoder relies on an artefact when it compares images: relevance on it, and similarity owed to it.

For two images that carry the artefact, the marginal of BiLRP says where in one of them the similarity ``<y_a, y_b>``
lies; the share of its relevance inside the mask of the artefact is near the mask's area if the artefact plays no part.
The similarity shift is what the artefact adds: the cosine similarity of the two less that of the two without it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from chinspect.encoders import Encoder
from chinspect.errors import InputError
from chinspect.relevance import relevance_map, trace
from chinspect.similarity.bilrp import resolve_composite

_Images = Sequence[Image.Image]


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
    found = list(_heats(encoder, with_artefact, without, marked.roll(-1, 0), composite))
    shares = [float((heat * mask).sum() / heat.sum()) for heat, mask in found]
    shift = float((_neighbours(marked) - _neighbours(plain)).mean())
    return Reliance(_mean(shares), _mean([float(mask.float().mean()) for _, mask in found]), shift)


def output_share(
    classifier: Encoder,
    output: int,
    with_artefact: Sequence[Image.Image],
    without: Sequence[Image.Image],
    *,
    composite: str = "epsilon_plus_flat",
) -> float:
    """Relevance on the artefact for one output of a classifier, as a share of the absolute relevance of the image.

    ``mean_n sum_mask R_n / sum |R_n|`` in [-1, 1]: positive where the artefact speaks for the output, negative where it
    speaks against it. The ratio of `reliance` would not tell, as an output may itself be negative.

    Raises `InputError` for images that do not form pairs or are all the same.
    """
    seeds = torch.zeros_like(classifier.embed(with_artefact))
    seeds[:, output] = 1
    found = _heats(classifier, with_artefact, without, seeds, composite)
    return _mean([float((heat * mask).sum() / heat.abs().sum().clamp(min=1e-30)) for heat, mask in found])


def _heats(
    encoder: Encoder,
    with_artefact: Sequence[Image.Image],
    without: Sequence[Image.Image],
    seeds: Tensor,
    composite: str,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Of each image the relevance of its outputs times ``seeds`` (N, D), and where the artefact is: (H, W) each."""
    graph = trace(encoder.module, encoder.prepare(with_artefact[0]))
    table, seen = resolve_composite(composite, encoder), False
    for picture, other, seed in zip(with_artefact, without, seeds, strict=True):
        x = encoder.prepare(picture)
        mask = (x != encoder.prepare(other)).any(1)[0]
        seen |= bool(mask.any())
        mapped = relevance_map(graph, x, table)
        yield mapped.pull(mapped.output * seed).sum(1)[0], mask
    if not seen:
        raise InputError("The images with the artefact are the same as those without it.")


def _neighbours(embeddings: Tensor) -> Tensor:
    return torch.cosine_similarity(embeddings, embeddings.roll(-1, 0))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
