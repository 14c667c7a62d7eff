"""Grad-CAM: the activations of one layer, weighted by the mean gradient of each channel.

With A (K, h, w) the activations of a layer for one image and s the score that is explained,

    L = relu( sum_k a_k A_k ),        a_k = 1 / (h w) sum_uv ds / dA_k[u, v].

Negative evidence is cut off, and L does not sum to the score: unlike relevance it is not conserved. Below the layer
nothing is computed backward, so operations of any kind may lie there.

Source: Selvaraju et al. 2017, Grad-CAM: visual explanations from deep networks via gradient-based localization,
equations 1 and 2 (arXiv:1610.02391).
"""

from __future__ import annotations

import difflib

import torch
from torch import Tensor, nn

from chinspect.encoders import as_map, check_finite, check_layout
from chinspect.errors import InputError
from chinspect.relevance import evaluation_mode


def grad_cam(module: nn.Module, x: Tensor, layer: str, target: Tensor | None = None) -> Tensor:
    """Where the activations lie that raise an output.

    Args:
        module: any module from (N, C, H, W) to (N, D), which answers in evaluation mode and is left as it was.
        x: images (N, C, H, W), preprocessed.
        layer: name of a submodule as in ``module.named_modules()``, whose output is (N, K, h, w), (N, h, w, K) as in
            Swin, or the tokens of a vision transformer (N, T, K); see `chinspect.encoders.maps`.
        target: (N,) integers, the output that is explained of each image; or (N, D), weights of all outputs, so that
            the embedding of another image explains the similarity to it. None is the largest output of each image.

    Returns:
        (N, h, w), at least 0, at the resolution of the layer.

    Raises `InputError` for a layer that does not exist, does not run once, returns no feature maps or maps whose axes
    cannot be told, for targets that do not fit, and for outputs that are not finite.
    """
    submodule = _submodule(module, layer)
    leaves: list[Tensor] = []

    def cut(_module: nn.Module, _inputs: object, output: object) -> Tensor:
        if not isinstance(output, Tensor) or as_map(output, x) is None:
            shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise InputError(
                f"Grad-CAM needs a layer of maps (N, K, h, w) or tokens (N, T, K), and {layer!r} returns {shape}."
            )
        leaves.append(output.detach().requires_grad_())
        return leaves[-1].clone()  # a copy, because the next layer may overwrite its input

    with evaluation_mode(module), torch.enable_grad():
        with submodule.register_forward_hook(cut):
            output = module(x)
        if len(leaves) != 1:
            raise InputError(f"Grad-CAM needs a layer that runs once a pass, and {layer!r} ran {len(leaves)} times.")
        (gradient,) = torch.autograd.grad(_score(output, target), leaves)
    check_finite(output.detach(), "the output of the network", module)
    activations = as_map(leaves[0].detach(), x)
    derivative = as_map(gradient, x)
    assert activations is not None  # `cut` has seen to it
    assert derivative is not None
    check_layout(leaves[0], x, module, layer)
    return (derivative.mean((2, 3), keepdim=True) * activations).sum(1).relu()


def _submodule(module: nn.Module, name: str) -> nn.Module:
    named = dict(module.named_modules())
    named.pop("")  # the module itself
    if name in named:
        return named[name]
    # cutoff: near enough for a misspelled index or a missing prefix of a long path
    close = difflib.get_close_matches(name, named, n=3, cutoff=0.4)
    hint = f" (close: {', '.join(close)})" if close else ""
    raise InputError(f"there is no layer {name!r} in {type(module).__name__}{hint}: see named_modules().")


def _score(output: Tensor, target: Tensor | None) -> Tensor:
    """The sum over images of what is explained of each: no image's activations touch another's score."""
    if output.ndim != 2:
        raise InputError(f"Grad-CAM explains outputs (N, D), not {tuple(output.shape)}: pool them.")
    if target is None:
        return output.amax(1).sum()
    if target.is_floating_point() and target.shape == output.shape:
        return (output * target.to(output)).sum()
    indices = not target.is_floating_point() and target.shape == output.shape[:1]
    if not indices or bool(((target < 0) | (target >= output.shape[1])).any()):
        raise InputError(
            f"a target is one index of {output.shape[1]} outputs for each of {len(output)} images, or weights "
            f"{tuple(output.shape)}, not {target.dtype} {tuple(target.shape)}."
        )
    return output.gather(1, target.to(output.device).long()[:, None]).sum()
