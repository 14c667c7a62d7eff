"""Why are these two images similar? The dot product of two embeddings, distributed over pairs of patches.

With ``T_a`` (P, D) what each patch of image a contributes to each of the D outputs, the contribution of patch i of a
together with patch j of b is

    R[i, j] = sum_k T_a[i, k] * T_b[j, k].

For tables by LRP this is BiLRP, and sums to ``<y_a, y_b>`` as far as relevance is conserved. For tables against a
reference it sums to ``<y_a - y_a0, y_b - y_b0>``: what the images have in common beyond what their references have,
without which the dot product of two embeddings is mostly what all images have in common.

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
from typing import Literal

import torch
from PIL import Image
from torch import nn

from chinspect.encoders import Encoder, MethodChoice, References, as_encoder
from chinspect.errors import InputError
from chinspect.execute import Source
from chinspect.images import AnyImage, Fit, as_picture
from chinspect.relevance import (
    Composite,
    Contributions,
    Graph,
    Method,
    Partition,
    adaptive_push,
    patches,
)
from chinspect.similarity.choice import settled_method
from chinspect.similarity.explained import explain_image, explained_image
from chinspect.similarity.explanation import Metric, SimilarityExplanation, check_metric
from chinspect.similarity.image import IN_MEMORY, Array, ExplainedImage
from chinspect.similarity.standing import sampled_embeddings, standing_among

# of the adaptive grid in pixels: 7 x 7 patches at 224 pixels, and the detail of 28 x 28
_COARSE = 32
_FINE = 8


def explain_similarity(
    encoder: Encoder | str,
    a: AnyImage,
    b: AnyImage,
    *,
    method: MethodChoice | Method | None = None,
    composite: str | Composite | None = None,
    reference: References = "blur",
    evaluations: int | None = None,
    patch_size: int | Literal["auto"] = 16,
    metric: Metric = "dot",
    bands: int | Sequence[int] | None = None,
    check: bool = True,
    fit: Fit | None = None,
    among: Source | None = None,
) -> SimilarityExplanation:
    """Explains the similarity of two images by pairs of their patches.

    Args:
        encoder: an encoder, or the name of one (see `load_encoder`).
        a, b: paths, pictures, arrays or tensors of pixels; see `chinspect.images.pixels`.
        method: ``rescale`` and ``shapley`` explain what the images share beyond a reference, ``lrp`` the whole dot
            product; a `Method` holds all four options; by default what the encoder's card records, else
            ``rescale``, or the method that a composite or evaluations belong to (see `method_for`). ``auto`` is the
            most faithful one on pairs of images of ``among``, without it on this pair (see `choose_method`).
        composite: the rules of ``lrp``, by name or a table; ``epsilon_plus_flat`` by default.
        reference: ``blur``, ``mean`` or ``grey``, or images, of ``rescale`` and ``shapley``.
        evaluations: masked images an image, of ``shapley``.
        patch_size: side of a patch in pixels of the encoder's input; ``auto`` divides patches of 32 pixels down to 8
            where most of the similarity lies, see `adaptive_push`. Not of ``shapley``.
        metric: ``dot`` explains ``<y_a, y_b>``, ``cosine`` divides it by both norms.
        bands: explain the dot product by this many frequency bands as well (see `frequency_bands`).
        check: delete the most relevant patches of a, and random ones, and say how the similarity falls.
        fit: ``crop``, ``pad`` or ``squash``: how an image that is no square becomes one; by default as is usual for the
            encoder. A crop that cuts away more than a tenth of an image is warned about.
        among: a data set (see `load_samples`): where the cosine lies among those of its pairs.

    Raises:
        InputError: an image cannot be read, a patch does not fit, the model, method or composite is unknown.
    """
    check_metric(metric)
    if isinstance(patch_size, str) and patch_size != "auto":
        raise InputError(f"a patch size is a number of pixels or auto, not {patch_size!r}.")
    encoder = as_encoder(encoder).fitted(fit)
    pictures = [as_picture(image) for image in (a, b)]
    start = time.perf_counter()
    options, choice = settled_method(
        encoder,
        method,
        pictures if among is None else among,
        composite=composite,
        reference=reference,
        evaluations=evaluations,
    )
    x = encoder.prepare(pictures[0])
    side = _FINE if patch_size == "auto" else patch_size
    patches(side).on(x.shape)  # refuses what does not fit before the long work
    model = options.reader(encoder.module, x)
    names = [_name(image) for image in (a, b)]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if patch_size == "auto":
            first, second = _adaptively(encoder, model, pictures, options, names)
        else:
            first, second = (
                explain_image(encoder, model, picture, options, side, name=name)
                for name, picture in zip(names, pictures, strict=True)
            )
        explanation = SimilarityExplanation(first, second, metric, encoder, options, side)
        explanation = replace(explanation, one_colour=_one_colour(model, explanation))
        frequencies = None if bands is None else explanation.by_frequency(bands)
        deletion = explanation.deleted() if check and not explanation.blank else None
        if among is not None and explanation.cosine is not None:
            where = standing_among(sampled_embeddings(encoder, among), explanation.cosine)
            explanation = replace(explanation, standing=where)
    for warning in caught:
        warnings.warn(warning.message, stacklevel=2)
    return replace(
        explanation,
        choice=choice,
        frequencies=frequencies,
        deletion=deletion,
        seconds=time.perf_counter() - start,
        warnings=tuple(dict.fromkeys(str(warning.message) for warning in caught)),
    )


def _adaptively(
    encoder: Encoder, model: nn.Module | Graph, pictures: Sequence[Image.Image], method: Method, names: Sequence[str]
) -> tuple[ExplainedImage, ExplainedImage]:
    """Both images on the finest grid, each divided where it is similar to the other; larger patches are even."""
    maps = [method.map(model, encoder.prepare(picture)) for picture in pictures]
    images = []
    for mapped, other, picture, name in zip(maps, maps[::-1], pictures, names, strict=True):
        pushed = adaptive_push(mapped, other.explained[0], coarse=_COARSE, fine=_FINE)
        cells = pushed.labels[::_FINE, ::_FINE].reshape(-1)
        values = (pushed.table / cells.bincount().to(pushed.table)[:, None])[cells]
        table = Contributions(values, mapped.output[0], mapped.explained[0])
        images.append(explained_image(encoder, picture, mapped.x, table, _FINE, name))
    return images[0], images[1]


def _one_colour(model: nn.Module | Graph, explanation: SimilarityExplanation) -> tuple[Array, Array] | None:
    """What images of the mean colours of a and b would get in their stead; None where that is nothing or costs much.

    References by blur and by mean colour are what such an image is itself, so that nothing is left of it.
    """
    method = explanation.method
    named = isinstance(method.reference, str) and method.reference in ("blur", "mean")
    if method.name == "shapley" or (method.name == "rescale" and named):
        return None
    assert isinstance(model, Graph)  # of all methods but shapley
    first, second = (
        _marginal_of_one_colour(model, explanation, image, other)
        for image, other in ((explanation.a, explanation.b), (explanation.b, explanation.a))
    )
    return first, second


def _marginal_of_one_colour(
    graph: Graph, explanation: SimilarityExplanation, image: ExplainedImage, other: ExplainedImage
) -> Array:
    """(h, w): where in an image of the mean colour of one lies its similarity to the other; one backward pass."""
    assert image.input is not None
    x = image.input
    mapped = explanation.method.map(graph, x.mean((2, 3), keepdim=True).expand_as(x).contiguous())
    seed = mapped.explained * torch.from_numpy(other.explained / explanation.norm).to(mapped.explained)
    partition = patches(explanation.patch_size).on(x.shape)
    assert isinstance(partition, Partition)
    marginal: Array = partition.sums(mapped.pull(seed)).reshape(image.grid).float().cpu().numpy()
    return marginal


def _name(image: AnyImage) -> str:
    return str(image) if isinstance(image, str | Path) else IN_MEMORY
