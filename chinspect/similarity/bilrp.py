"""Why are these two images similar? BiLRP: the dot product of two embeddings, distributed over pairs of patches.

With ``T_a`` (P, D) what each patch of image a contributes to each of the D outputs, the contribution of patch i of a
together with patch j of b is

    R[i, j] = sum_k T_a[i, k] * T_b[j, k],        sum_ij R[i, j] = <y_a, y_b>  as far as relevance is conserved.

Source: Eberle et al. 2020, Building and interpreting deep similarity models (arXiv:2003.05431); used on foundation
models in Kauffmann et al. 2025 (10.1038/s42256-025-01000-2). There it takes one LRP pass an output; here ``T`` comes
from one push of the patches, and the rest is a matrix product.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from chinspect.encoders import Encoder, check_finite, load_encoder
from chinspect.images import as_picture
from chinspect.relevance import Composite, Graph, composite, patches, relevance_map, trace
from chinspect.similarity.explanation import ExplainedImage, Metric, SimilarityExplanation, check_metric

Source = str | Path | Image.Image


def explain_similarity(
    encoder: Encoder | str,
    a: Source,
    b: Source,
    *,
    patch_size: int = 16,
    composite: str | Composite = "epsilon_plus_flat",
    metric: Metric = "dot",
    bands: int | Sequence[int] | None = None,
) -> SimilarityExplanation:
    """Explains the similarity of two images by pairs of their patches.

    Args:
        encoder: an encoder, or the name of one (see `load_encoder`).
        a, b: paths or pictures.
        patch_size: side of a patch in pixels of the encoder's input.
        composite: the rules of LRP; frequency and z-box bounds follow the encoder's preprocessing.
        metric: ``dot`` explains ``<y_a, y_b>``, ``cosine`` divides it by both norms.
        bands: explain the dot product by this many frequency bands as well (see `frequency_bands`).

    Raises:
        InputError: an image cannot be read, a patch does not fit, the model or the composite is unknown.
    """
    check_metric(metric)
    encoder = load_encoder(encoder) if isinstance(encoder, str) else encoder
    pictures = [as_picture(image) for image in (a, b)]
    start = time.perf_counter()
    table = resolve_composite(composite, encoder)
    x = encoder.prepare(pictures[0])
    patches(patch_size).on(x.shape)  # refuses what does not fit before the long work
    graph = trace(encoder.module, x)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        first, second = (
            explain_image(encoder, graph, picture, table, patch_size, name=_name(image))
            for image, picture in zip((a, b), pictures, strict=True)
        )
        explanation = SimilarityExplanation(first, second, metric, encoder, table.name, patch_size)
        frequencies = None if bands is None else explanation.by_frequency(bands)
    for warning in caught:
        warnings.warn(warning.message, stacklevel=2)
    return replace(
        explanation,
        frequencies=frequencies,
        seconds=time.perf_counter() - start,
        warnings=tuple(dict.fromkeys(str(warning.message) for warning in caught)),
    )


def resolve_composite(table: str | Composite, encoder: Encoder) -> Composite:
    """A composite by name, with the bounds of the encoder's input for z-box rules."""
    if isinstance(table, Composite):
        return table
    low, high = encoder.input_range
    return composite(table, low=tuple(low.tolist()), high=tuple(high.tolist()))


def explain_image(
    encoder: Encoder, graph: Graph, picture: Image.Image, table: Composite, patch_size: int, *, name: str
) -> ExplainedImage:
    """What each patch of one image contributes to its embedding; ``graph`` is the encoder's (see `trace`)."""
    x = encoder.prepare(picture)
    mapped = relevance_map(graph, x, table)
    check_finite(mapped.output, f"the embedding by {encoder.name!r}", encoder.module)
    contributions = mapped.push(patches(patch_size))
    check_finite(contributions[None], f"the relevance of {name}", encoder.module)
    boxes = patch_boxes(x.shape[-2:], patch_size)
    return ExplainedImage(
        name=name,
        picture=encoder.preprocessing.visible(picture),
        original_size=picture.size,
        boxes=encoder.preprocessing.to_original(boxes.reshape(-1, 4), picture.size).reshape(boxes.shape),
        embedding=mapped.output[0].cpu().numpy(),
        contributions=contributions.cpu().numpy(),
        input=x,
    )


def patch_boxes(shape: Sequence[int], patch_size: int) -> NDArray[np.float64]:
    """The patches of an input of ``shape`` (H, W) as (rows, columns, 4) boxes x0, y0, x1, y1 in its pixels."""
    height, width = shape
    top, left = np.meshgrid(np.arange(0, height, patch_size), np.arange(0, width, patch_size), indexing="ij")
    bottom = np.minimum(top + patch_size, height)
    right = np.minimum(left + patch_size, width)
    return np.stack([left, top, right, bottom], -1).astype(float)


def _name(image: Source) -> str:
    return "image" if isinstance(image, Image.Image) else str(image)
