"""Maps without gradients: how what is explained answers to masked images, and to other activations.

With A (K, h, w) the activations of a layer for an image x, s the score that is explained, and U what enlarges a map to
the image and scales it to [0, 1],

    Score-CAM      L = relu( sum_k a_k A_k ),   a = softmax_k( s(x * U(A_k)) )
    Ablation-CAM   L = relu( sum_k a_k A_k ),   a_k = s(A) - s(A without channel k)
    Shap-CAM       L = relu( phi ),             phi[u, v] the Shapley value of the position u, v of the layer
    RISE           L = sum_m s(x * M_m) M_m / (n p),   M_m random masks whose mean is p
    Eigen-CAM      L = relu( A' v ),            v the first principal component of the positions' activations

Score-CAM subtracts the score of an empty image, which the softmax does not see. The published weights of Ablation-CAM
are divided by s(A), which scales a map where that is positive and turns it around where it is negative: it is left out.
Eigen-CAM explains no output; the sign of its component is that for which what is active lies above 0, and the
positions are centred, as is usual (``centred=False`` as published).

Shap-CAM gives each position its Shapley value: of all sets S of positions, whose activations stand while others are 0,
it is what a position adds to s in the mean over all orders. It is estimated from sets and their complements (see
`chinspect.relevance.shapley_map`), and sums to s(A) - s(0) before the negative part is cut off. The channels are
weighted only through it, where the publication weights them one by one.

Sources: Wang et al. 2020, Score-CAM (arXiv:1910.01279); Desai and Ramaswamy 2020, Ablation-CAM (WACV, doi
10.1109/WACV45572.2020.9093360); Zheng et al. 2022, Shap-CAM (arXiv:2208.03608); Petsiuk et al. 2018, RISE
(arXiv:1806.07421); Muhammad and Yeasin 2020, Eigen-CAM (arXiv:2008.00299).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from chinspect.cam.layer import open_layer
from chinspect.cam.question import Respond, Target, ask
from chinspect.errors import InputError
from chinspect.relevance import patches, shapley_map

_CHUNK = 64  # channels, positions or masks at a time, which bounds the memory


def score_cam(module: nn.Module, x: Tensor, layer: str = "auto", target: Target = None) -> Tensor:
    """Channels weighted by the score of the image masked by them, in K passes an image; see the module.

    Args and errors as of `chinspect.cam.grad_cam`. Returns (N, h, w), at least 0.
    """
    opened = open_layer(module, x, layer, target)
    maps = []
    for i, activations in enumerate(opened.activations):
        scores = torch.cat([opened.question.masked(i, masks) for masks in opened.masks(i)])
        maps.append((scores.softmax(0)[:, None, None] * activations).sum(0).relu())
    return torch.stack(maps)


def ablation_cam(module: nn.Module, x: Tensor, layer: str = "auto", target: Target = None) -> Tensor:
    """Channels weighted by what the score loses without them, in K passes of what follows the layer; see the module.

    Args and errors as of `chinspect.cam.grad_cam`. Returns (N, h, w), at least 0.
    """
    opened = open_layer(module, x, layer, target)
    maps = []
    for i, activations in enumerate(opened.activations):
        channels = torch.arange(len(activations), device=activations.device)
        scores = [
            opened.resumed(i, activations * (channels != chunk[:, None])[:, :, None, None])
            for chunk in channels.split(_CHUNK)
        ]
        weights = opened.scores[i] - torch.cat(scores)
        maps.append((weights[:, None, None] * activations).sum(0).relu())
    return torch.stack(maps)


def shap_cam(
    module: nn.Module,
    x: Tensor,
    layer: str = "auto",
    target: Target = None,
    *,
    evaluations: int | None = None,
    random_state: int = 0,
) -> Tensor:
    """Shapley values of the positions of a layer, estimated; see the module.

    Args and errors as of `chinspect.cam.grad_cam`, and:
        evaluations: passes of what follows the layer, an image; 8 a position by default, at least 4.
        random_state: decides which sets of positions are asked for.

    Returns (N, h, w), at least 0.
    """
    opened = open_layer(module, x, layer, target)
    maps = []
    for i, activations in enumerate(opened.activations):
        values = shapley_map(
            lambda other, i=i: opened.resumed(i, other)[:, None],  # type: ignore[misc]
            activations[None],
            patches(1),
            torch.zeros_like(activations)[None],
            evaluations=evaluations,
            random_state=random_state,
            batch=_CHUNK,
        ).values
        maps.append(values.reshape(activations.shape[1:]).relu())
    return torch.stack(maps)


def rise(
    respond: Respond,
    x: Tensor,
    target: Target = None,
    *,
    masks: int = 4000,
    cells: int = 7,
    probability: float = 0.5,
    random_state: int = 0,
) -> Tensor:
    """The mean of random masks, weighted by the score of the image behind them; see the module.

    Args:
        respond: any function from images (n, C, H, W) to outputs; no layer is read, so a black box will do.
        x: images (N, C, H, W), preprocessed.
        target: what is explained, see `chinspect.cam.question.Target`.
        masks: how many, each one pass; the publication takes 4,000 to 8,000.
        cells: rows and columns of a mask before it is enlarged.
        probability: p, with which a cell is shown.
        random_state: decides the masks, which are the same for all images.

    Returns:
        (N, H, W), at the resolution of the images.

    Raises `InputError` for parameters out of range, and as `chinspect.cam.question.ask` does.
    """
    if masks < 1 or cells < 2 or not 0 < probability < 1:
        raise InputError(
            f"RISE needs at least 1 mask, 2 cells and a probability in (0, 1), not {masks}, {cells} and {probability}."
        )
    question = ask(respond, x, target)
    generator = torch.Generator().manual_seed(random_state)
    maps = x.new_zeros(len(x), *x.shape[2:])
    for start in range(0, masks, _CHUNK):
        count = min(_CHUNK, masks - start)
        drawn = _random_masks(count, cells, probability, (x.shape[2], x.shape[3]), generator).to(x)
        for i in range(len(x)):
            maps[i] += torch.tensordot(question.masked(i, drawn), drawn, dims=1)
    return maps / (masks * probability)


def eigen_cam(module: nn.Module, x: Tensor, layer: str = "auto", *, centred: bool = True) -> Tensor:
    """The first principal component of a layer's activations; see the module.

    Args and errors as of `chinspect.cam.grad_cam`, and:
        centred: whether the mean over positions is taken away first.

    Returns (N, h, w), at least 0.
    """
    activations = open_layer(module, x, layer).activations
    positions = activations.flatten(2).mT  # (N, h * w, K)
    shifted = positions - positions.mean(1, keepdim=True) if centred else positions
    components = torch.linalg.svd(shifted, full_matrices=False).Vh[:, :1]  # (N, 1, K)
    projections = (shifted * components).sum(2)
    active = positions.sum(2)
    signs = (projections * (active - active.mean(1, keepdim=True) if centred else active)).sum(1, keepdim=True).sign()
    return (projections * signs).relu().reshape(len(x), *activations.shape[2:])


def _random_masks(
    count: int, cells: int, probability: float, size: tuple[int, int], generator: torch.Generator
) -> Tensor:
    """Masks (count, H, W) in [0, 1]: grids of cells that are shown or not, enlarged, and moved by less than a cell."""
    shown = (torch.rand(count, 1, cells, cells, generator=generator) < probability).float()
    sides = [-(-length // cells) for length in size]
    large = nn.functional.interpolate(
        shown, size=[(cells + 1) * side for side in sides], mode="bilinear", align_corners=False
    )
    tops, lefts = (torch.randint(side, (count,), generator=generator).tolist() for side in sides)
    return torch.stack(
        [
            mask[0, top : top + size[0], left : left + size[1]]
            for mask, top, left in zip(large, tops, lefts, strict=True)
        ]
    )
