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

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from chinspect.encoders import Encoder, MethodChoice, References, as_encoder, check_finite, method_for
from chinspect.errors import InputError
from chinspect.images import AnyImage, as_picture
from chinspect.relevance import Composite, Contributions, Graph, Method, adaptive_push, contributions, patches
from chinspect.similarity.explanation import ExplainedImage, Metric, SimilarityExplanation, check_metric

# of the adaptive grid in pixels: 7 x 7 patches at 224 pixels, and the detail of 28 x 28
_COARSE = 32
_FINE = 8


def explain_similarity(
    encoder: Encoder | str,
    a: AnyImage,
    b: AnyImage,
    *,
    method: MethodChoice | Method = "auto",
    composite: str | Composite | None = None,
    reference: References = "blur",
    evaluations: int | None = None,
    patch_size: int | Literal["auto"] = 16,
    metric: Metric = "dot",
    bands: int | Sequence[int] | None = None,
    check: bool = True,
) -> SimilarityExplanation:
    """Explains the similarity of two images by pairs of their patches.

    Args:
        encoder: an encoder, or the name of one (see `load_encoder`).
        a, b: paths, pictures, arrays or tensors of pixels; see `chinspect.images.pixels`.
        method: ``rescale`` and ``shapley`` explain what the images share beyond a reference, ``lrp`` the whole dot
            product; a `Method` holds all four options; ``auto`` is ``rescale``, or the method that a composite or
            evaluations belong to.
        composite: the rules of ``lrp``, by name or a table; ``epsilon_plus_flat`` by default.
        reference: ``blur``, ``mean`` or ``grey``, or images, of ``rescale`` and ``shapley``.
        evaluations: masked images an image, of ``shapley``.
        patch_size: side of a patch in pixels of the encoder's input; ``auto`` divides patches of 32 pixels down to 8
            where most of the similarity lies, see `adaptive_push`. Not of ``shapley``.
        metric: ``dot`` explains ``<y_a, y_b>``, ``cosine`` divides it by both norms.
        bands: explain the dot product by this many frequency bands as well (see `frequency_bands`).
        check: delete the most relevant patches of a, and random ones, and say how the similarity falls.

    Raises:
        InputError: an image cannot be read, a patch does not fit, the model, method or composite is unknown.
    """
    check_metric(metric)
    if isinstance(patch_size, str) and patch_size != "auto":
        raise InputError(f"a patch size is a number of pixels or auto, not {patch_size!r}.")
    encoder = as_encoder(encoder)
    pictures = [as_picture(image) for image in (a, b)]
    start = time.perf_counter()
    options = method_for(encoder, method, composite=composite, reference=reference, evaluations=evaluations)
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
        frequencies = None if bands is None else explanation.by_frequency(bands)
        deletion = explanation.deleted() if check else None
    for warning in caught:
        warnings.warn(warning.message, stacklevel=2)
    return replace(
        explanation,
        frequencies=frequencies,
        deletion=deletion,
        seconds=time.perf_counter() - start,
        warnings=tuple(dict.fromkeys(str(warning.message) for warning in caught)),
    )


def explain_image(
    encoder: Encoder,
    model: nn.Module | Graph,
    picture: Image.Image,
    method: Method,
    patch_size: int,
    *,
    name: str,
) -> ExplainedImage:
    """What each patch of one image contributes to its embedding; ``model`` is the encoder's (see `Method.reader`)."""
    x = encoder.prepare(picture)
    table = contributions(model, x, patches(patch_size), method)
    return _explained_image(encoder, picture, x, table, patch_size, name)


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
        images.append(_explained_image(encoder, picture, mapped.x, table, _FINE, name))
    return images[0], images[1]


def _explained_image(
    encoder: Encoder, picture: Image.Image, x: Tensor, table: Contributions, patch_size: int, name: str
) -> ExplainedImage:
    check_finite(table.output[None], f"the embedding by {encoder.name!r}", encoder.module)
    check_finite(table.values[None], f"the relevance of {name}", encoder.module)
    boxes = patch_boxes(x.shape[-2:], patch_size)
    return ExplainedImage(
        name=name,
        picture=encoder.preprocessing.visible(picture),
        original_size=picture.size,
        boxes=encoder.preprocessing.to_original(boxes.reshape(-1, 4), picture.size).reshape(boxes.shape),
        embedding=table.output.cpu().numpy(),
        contributions=table.values.cpu().numpy(),
        explained=table.explained.cpu().numpy(),
        sampling=table.sampling,
        input=x,
    )


def patch_boxes(shape: Sequence[int], patch_size: int) -> NDArray[np.float64]:
    """The patches of an input of ``shape`` (H, W) as (rows, columns, 4) boxes x0, y0, x1, y1 in its pixels."""
    height, width = shape
    top, left = np.meshgrid(np.arange(0, height, patch_size), np.arange(0, width, patch_size), indexing="ij")
    bottom = np.minimum(top + patch_size, height)
    right = np.minimum(left + patch_size, width)
    return np.stack([left, top, right, bottom], -1).astype(float)


def _name(image: AnyImage) -> str:
    return str(image) if isinstance(image, str | Path) else "image"
