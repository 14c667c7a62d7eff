"""Maps by gradients: the activations of one layer, weighted by how what is explained depends on them.

With A (K, h, w) the activations of a layer for one image, s the score that is explained and G = ds / dA,

    Grad-CAM      L = relu( sum_k a_k A_k ),   a_k = 1 / (h w) sum_uv G_k[u, v]
    Grad-CAM++    L = relu( sum_k a_k A_k ),   a_k = sum_uv relu(G_k[u, v]) / (2 + G_k[u, v] sum_pq A_k[p, q])
    HiResCAM      L = relu( sum_k G_k A_k )
    LayerCAM      L = relu( sum_k relu(G_k) A_k )

Negative evidence is cut off, and L does not sum to the score: unlike relevance it is not conserved.

Grad-CAM++ is derived for exp(s), whose derivatives of all orders follow from G in a network of ReLUs; a factor exp(s)
of all weights is left out. Its denominator 2 G^2 + G^3 sum A is divided by G^2 here, which is exact: a small number
added to it instead, as is usual, decides the weights wherever gradients are smaller than its root.

Sources: Selvaraju et al. 2017, Grad-CAM, equations 1 and 2 (arXiv:1610.02391); Chattopadhay et al. 2018, Grad-CAM++,
equations 10 and 19 (arXiv:1710.11063); Draelos and Carin 2020, HiResCAM (arXiv:2011.08891); Jiang et al. 2021, LayerCAM
(doi 10.1109/TIP.2021.3089943).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from chinspect.cam.layer import open_layer
from chinspect.cam.question import Target


def grad_cam(module: nn.Module, x: Tensor, layer: str = "auto", target: Target = None) -> Tensor:
    """Where the activations lie that raise an output; see the module.

    Args:
        module: any module from (N, C, H, W) to (N, D), which answers in evaluation mode and is left as it was.
        x: images (N, C, H, W), preprocessed.
        layer: name of a submodule as in ``module.named_modules()``, see `chinspect.cam.layer.open_layer`.
        target: what is explained, see `chinspect.cam.question.Target`; the largest output of each image by default.

    Returns:
        (N, h, w), at least 0, at the resolution of the layer.

    Raises `InputError` as `open_layer` does.
    """
    opened = open_layer(module, x, layer, target)
    return (opened.gradients.mean((2, 3), keepdim=True) * opened.activations).sum(1).relu()


def grad_cam_plus_plus(module: nn.Module, x: Tensor, layer: str = "auto", target: Target = None) -> Tensor:
    """The same with weights for which several objects of a kind count alike; see the module and `grad_cam`."""
    opened = open_layer(module, x, layer, target)
    gradients = opened.gradients
    denominators = 2 + gradients * opened.activations.sum((2, 3), keepdim=True)
    # of activations that are negative somewhere the denominator may be 0, where the weight has no limit: none counts
    alphas = torch.where(denominators > 0, 1 / denominators, 0)
    weights = (alphas * gradients.relu()).sum((2, 3), keepdim=True)
    return (weights * opened.activations).sum(1).relu()


def hires_cam(module: nn.Module, x: Tensor, layer: str = "auto", target: Target = None) -> Tensor:
    """Each activation times its own gradient; see the module and `grad_cam`."""
    opened = open_layer(module, x, layer, target)
    return (opened.gradients * opened.activations).sum(1).relu()


def layer_cam(module: nn.Module, x: Tensor, layer: str = "auto", target: Target = None) -> Tensor:
    """Each activation times its own gradient where that is positive; see the module and `grad_cam`."""
    opened = open_layer(module, x, layer, target)
    return (opened.gradients.relu() * opened.activations).sum(1).relu()
