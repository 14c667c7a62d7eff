"""Images that are changed by a map, and what a score says of them: what all metrics share.

A map of any method comes as an array (h, w) at the resolution of the method, and is enlarged bilinearly to the pixels
of the image (H, W). Metrics then read it in one of two ways:

* as an order of the pixels, the most relevant first. Pixels of equal relevance, as those of a map that is zero over
  half of the image, follow each other at random, by a seed: in the order of a file they would be cut off as a block;
* as a mask ``M = relu(R) / max relu(R)`` in [0, 1]. Negative relevance speaks against the score, so that hiding it is
  no loss. The smallest value is not subtracted: a mask of ones stays one.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from chinspect.errors import InputError

Score = Callable[[Tensor], Tensor]
"""Any function from images (n, C, H, W) to scores (n,)."""
# Images at a time. On a processor activations of more leave its caches: 18 images of 224 pixels in one batch take
# EfficientNet-Lite0 .70 s, in batches of 6 .47 s.
_BATCHES = {"cpu": 6}
_BATCH = 64  # elsewhere


def scores_of(score: Score, images: Tensor) -> NDArray[np.float64]:
    """Scores (n,) of images (n, C, H, W), a few at a time, without gradients.

    Raises `InputError` for scores that are not one finite number an image.
    """
    with torch.no_grad():
        batches = [(batch, score(batch)) for batch in images.split(_BATCHES.get(images.device.type, _BATCH))]
    for batch, scores in batches:
        if scores.shape != (len(batch),) or not bool(scores.isfinite().all()):
            shape = tuple(scores.shape)
            raise InputError(f"a score gives a finite number for each of {len(batch)} images, not {shape}.")
    values: NDArray[np.float64] = torch.cat([scores for _, scores in batches]).double().cpu().numpy()
    return values


def as_map(relevance: ArrayLike | Tensor) -> Tensor:
    """A map as a tensor (h, w), float32. Raises `InputError` for another shape, or numbers that are not finite."""
    values = torch.as_tensor(relevance if isinstance(relevance, Tensor) else np.asarray(relevance))
    if values.ndim != 2 or not values.numel() or not bool(values.isfinite().all()):
        raise InputError(f"a map is finite relevance (h, w), not {tuple(values.shape)}.")
    return values.detach().float().cpu()


def check_image(x: Tensor) -> None:
    """`InputError` for what is not one finite image (1, C, H, W)."""
    if x.ndim != 4 or len(x) != 1 or not bool(x.isfinite().all()):
        raise InputError(f"a map is judged on one finite image (1, C, H, W), not on {tuple(x.shape)}.")


def enlarged(relevance: ArrayLike | Tensor, size: tuple[int, ...]) -> Tensor:
    """A map (h, w) at the pixels of an image, (H, W): bilinear; where it is larger than the image, averaged."""
    values = as_map(relevance)
    if tuple(values.shape) == tuple(size):
        return values
    return F.interpolate(values[None, None], size=size, mode="bilinear", antialias=True)[0, 0]


def as_mask(relevance: Tensor) -> Tensor:
    """``relu(R) / max relu(R)`` (H, W), in [0, 1]; zeros for a map that is nowhere positive."""
    positive = relevance.relu()
    peak = float(positive.max())
    return positive / peak if peak > 0 else positive


def pixel_order(relevance: Tensor, random_state: int) -> Tensor:
    """Indices of the pixels (H * W,), the most relevant first; equal ones in random order."""
    shuffled = torch.from_numpy(np.random.default_rng(random_state).permutation(relevance.numel()))
    return shuffled[relevance.flatten()[shuffled].argsort(descending=True, stable=True)]


def first_pixels(order: Tensor, counts: Tensor, size: tuple[int, ...]) -> Tensor:
    """Of each count the first pixels of an order: booleans (F, H, W)."""
    ranks = torch.empty_like(order)
    ranks[order] = torch.arange(len(order))
    return (ranks < counts[:, None]).view(-1, *size)
