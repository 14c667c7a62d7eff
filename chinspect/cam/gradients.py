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

from chinspect.encoders import check_finite, observing
from chinspect.errors import InputError


def grad_cam(module: nn.Module, x: Tensor, layer: str, target: Tensor | None = None) -> Tensor:
    """Where the activations lie that raise an output.

    Args:
        module: any module from (N, C, H, W) to (N, D), in the mode that it is in; batch normalisation that trains mixes
            the images of a batch. It is left as it was.
        x: images (N, C, H, W), preprocessed.
        layer: name of a submodule as in ``module.named_modules()``, whose output is (N, K, h, w), or (N, h, w, K) as in
            Swin: the axes of the map are those whose sides are as the image's.
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
        if not isinstance(output, Tensor) or output.ndim != 4:
            shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise InputError(f"Grad-CAM needs a layer of feature maps (N, K, h, w), and {layer!r} returns {shape}.")
        leaves.append(output.detach().requires_grad_())
        return leaves[-1].clone()  # a copy, because the next layer may overwrite its input

    with torch.enable_grad():
        with submodule.register_forward_hook(cut):
            output = module(x)
        if len(leaves) != 1:
            raise InputError(f"Grad-CAM needs a layer that runs once a pass, and {layer!r} ran {len(leaves)} times.")
        (gradient,) = torch.autograd.grad(_score(output, target), leaves)
    check_finite(output.detach(), "the output of the network", module)
    activations = leaves[0].detach()
    if _channels_last(activations, x, module, layer):
        gradient = gradient.movedim(3, 1)
        activations = activations.movedim(3, 1)
    return (gradient.mean((2, 3), keepdim=True) * activations).sum(1).relu()


def _channels_last(activations: Tensor, x: Tensor, module: nn.Module, layer: str) -> bool:
    """Whether activations are (N, h, w, K) and not (N, K, h, w), for images ``x`` (N, C, H, W)."""
    first = _distortion(activations.shape[2:], x)
    last = _distortion(activations.shape[1:3], x)
    if first == last and first == 0 and activations.shape[1] == activations.shape[3] > 1:
        _refuse_mixture(module, x, layer, tuple(activations.shape))
    return last < first


def _distortion(sides: torch.Size, x: Tensor) -> int:
    """How far a map of these sides is from the aspect of the images; 0 where it has that aspect."""
    return abs(sides[0] * x.shape[3] - sides[1] * x.shape[2])


def _refuse_mixture(module: nn.Module, x: Tensor, layer: str, shape: tuple[int, ...]) -> None:
    """`InputError` for a map with as many channels as rows, in a network where other maps have their channels last."""
    distortions: list[tuple[int, int]] = []

    def note(_path: str, _module: nn.Module, _args: object, _kwargs: object, output: object) -> None:
        if isinstance(output, Tensor) and output.ndim == 4:
            distortions.append((_distortion(output.shape[1:3], x), _distortion(output.shape[2:], x)))

    with observing(module, note), torch.no_grad():
        module(x)
    if any(last < first for last, first in distortions):
        raise InputError(
            f"which axis of {layer!r}, {shape}, holds the channels cannot be told, as other maps of this network have "
            "them last: choose the layer before or behind it."
        )


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
