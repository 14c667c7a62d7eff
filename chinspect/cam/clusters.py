"""ClusCAM: the channels of a layer are clustered, and each cluster is weighted by what it shows of the image.

With A (K, h, w) the activations of a layer for an image x, s the score that is explained, and U what enlarges a map to
the image,

    M_j = U(c_j),   c_1 ... c_k the centres of the channels (k-means++)
    d_j = s(x * M_j) - s(x)
    w   = softmax over j of d_j / temperature, without the fraction ``drop`` of the smallest d_j
    L   = sum_j w_j M_j

The published program (``protocol="code"``) scales each enlarged channel to [0, 1] before it clusters, and leaves the
centres as they are. As the publication is summarised (``"paper"``), channels are clustered as they are, and each
enlarged centre is scaled to [0, 1].

**Clustering at low resolution.** U is linear, and the program's distances are ``|U(a) - U(b)|`` between maps of H * W
pixels. With ``U(a) = R a C'`` (bilinear: R (H, h), C (W, w)) and the Cholesky factors ``R'R = P P'``, ``C'C = Q Q'``,

    |R a C'| = |P' a Q|,

so that clustering ``P' a Q`` (h * w numbers: 49 for 50,176) gives the same clusters by the same random numbers, and
``U(c)`` the same masks. The tolerance at which k-means stops is relative to the mean variance of a column, and is
scaled by the number of columns.

Source: Nguyen et al. 2025, ClusCAM: clustered visual explanations for vision models in image classification.
"""

from __future__ import annotations

import warnings
from typing import Literal, get_args

import numpy as np
import torch
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor, nn

from chinspect.cam.layer import Layer, enlarged, open_layer, ranges
from chinspect.cam.question import Target
from chinspect.errors import InputError, did_you_mean

Protocol = Literal["code", "paper"]
_TOLERANCE = 1e-4  # scikit-learn's default, relative to the mean variance of a column
_CHUNK = 64  # channels that are enlarged at a time


def clus_cam(
    module: nn.Module,
    x: Tensor,
    layer: str = "auto",
    target: Target = None,
    *,
    n_clusters: int = 10,
    drop: float = 0.5,
    temperature: float = 0.5,
    random_state: int = 0,
    protocol: Protocol = "code",
) -> Tensor:
    """Where the clusters of channels lie that show what raises an output; see the module.

    Args and errors as of `chinspect.cam.grad_cam`, and:
        n_clusters: k, each of which takes one pass an image; at most the number of channels.
        drop: the fraction of clusters without weight, in [0, 1).
        temperature: above 0; low ones give one cluster all the weight, high ones all clusters the same.
        random_state: decides where k-means begins.
        protocol: ``code`` or ``paper``, where they differ.

    Returns:
        (N, h, w), at the resolution of the layer; enlarged it lies in [0, 1], as a mean of masks. The published map is
        scaled once more, to the range of 0 to 1.
    """
    if protocol not in get_args(Protocol):
        raise InputError(f"unknown protocol {protocol!r}{did_you_mean(protocol, get_args(Protocol))}: code or paper.")
    if not 0 <= drop < 1 or not temperature > 0 or n_clusters < 1:
        raise InputError(
            f"ClusCAM needs a drop in [0, 1), a temperature above 0 and at least 1 cluster, not {drop}, {temperature} "
            f"and {n_clusters}."
        )
    opened = open_layer(module, x, layer, target)
    count = opened.activations.shape[1]
    if n_clusters > count:
        raise InputError(f"the {count} channels of {opened.name!r} make at most {count} clusters, not {n_clusters}.")
    return torch.stack(
        [
            weighted_by_scores(opened, i, _masks(activations, x, n_clusters, random_state, protocol), drop, temperature)
            for i, activations in enumerate(opened.activations)
        ]
    )


def _masks(activations: Tensor, x: Tensor, count: int, random_state: int, protocol: Protocol) -> Tensor:
    """Masks (count, h, w) of one image's activations, to be enlarged."""
    if protocol == "paper":
        return scaled_where_enlarged(cluster_centres(activations, x, count, random_state), x)
    return cluster_centres(scaled_where_enlarged(activations, x), x, count, random_state)


def weighted_by_scores(opened: Layer, i: int, masks: Tensor, drop: float, temperature: float) -> Tensor:
    """The map (h, w) of image i from masks (k, h, w)."""
    question = opened.question
    # the score of the image itself is the same in all, and the softmax does not see it
    differences = question.masked(i, enlarged(masks, question.x))
    dropped = differences.argsort()[: int(drop * len(differences))]
    weights = differences.index_fill(0, dropped, -torch.inf).div(temperature).softmax(0)
    return (weights[:, None, None] * masks).sum(0)


def scaled_where_enlarged(maps: Tensor, x: Tensor) -> Tensor:
    """Maps (n, h, w), scaled so that each lies in [0, 1] where it is enlarged; constant maps are left as they are.

    Enlarged maps do not reach the extremes of the small ones, whose centres of cells lie between pixels.
    """
    extremes = [ranges(enlarged(chunk, x)) for chunk in maps.split(_CHUNK)]
    low, span = (torch.cat(values) for values in zip(*extremes, strict=True))
    return torch.where(span > 0, (maps - low) / torch.where(span > 0, span, 1), maps)


def cluster_centres(maps: Tensor, x: Tensor, count: int, random_state: int) -> Tensor:
    """Centres (count, h, w) of maps (n, h, w), clustered by their distances where they are enlarged; see the module."""
    values = maps.double().cpu().numpy()
    rows, columns = (_metric(*sides) for sides in zip(maps.shape[1:], x.shape[2:], strict=True))
    points = np.einsum("ij,nik,kl->njl", rows, values, columns, optimize=True).reshape(len(values), -1)
    pixels = x.shape[2] * x.shape[3]
    tolerance = _TOLERANCE * points.shape[1] / pixels
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different channels than clusters: some are empty
        clusters = KMeans(count, init="k-means++", n_init=1, tol=tolerance, random_state=random_state).fit(points)
    centres = clusters.cluster_centers_.reshape(count, *values.shape[1:])
    small = np.linalg.inv(rows.T) @ centres @ np.linalg.inv(columns)
    return torch.from_numpy(small).to(maps)


def _metric(cells: int, pixels: int) -> np.ndarray:
    """The Cholesky factor P (cells, cells) of ``R'R`` for R, which enlarges rows or columns of ``cells`` to pixels."""
    enlarging = nn.functional.interpolate(
        torch.eye(cells, dtype=torch.float64)[None], size=pixels, mode="linear", align_corners=False
    )[0].numpy()  # (cells, pixels), R transposed
    return np.linalg.cholesky(enlarging @ enlarging.T)
