"""The features of some layers of any network, read where the network gives them, in one layout."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import Tensor, nn

from chinspect.encoders import as_map, check_layout, observing
from chinspect.errors import InputError, did_you_mean, one_line

_COARSEST = torch.float32  # distances of halves are too coarse


class _AllSeen(Exception):
    """Every layer has run: what follows need not be computed."""


class LayerFeatures(nn.Module):
    """The outputs of some layers of a network in evaluation, whatever mode the network itself is in.

    The network runs as it is, up to the last of the layers; the outputs are taken as each layer gives them. So networks
    of any kind can be read, by `torch.export` too. The network is left as it was; parameters and buffers are its own,
    not copies.
    """

    def __init__(self, module: nn.Module, layers: Sequence[str]) -> None:
        super().__init__()
        names = dict(module.named_modules())
        missing = [layer for layer in layers if layer not in names]
        if missing:
            known = ", ".join(name for name in names if name and name.count(".") < 2)
            kind = type(module).__name__
            raise InputError(
                f"the backbone {kind} has no layer {missing[0]!r}{did_you_mean(missing[0], names)}: "
                f"its layers are {known}."
            )
        tensors = {id(tensor): tensor for tensor in (*module.parameters(), *module.buffers())}  # not to be copied
        try:
            self.network = copy.deepcopy(module, tensors).eval()
        except Exception as error:  # what a module of the user holds beside its tensors is not known
            raise InputError(f"the backbone {type(module).__name__} cannot be copied ({one_line(error)}).") from error
        self.layers = tuple(layers)

    def train(self, mode: bool = True) -> LayerFeatures:  # noqa: ARG002
        """Stays in evaluation: features must not depend on the rest of a batch."""
        return super().train(False)

    def forward(self, x: Tensor) -> list[Tensor]:
        """The features (N, C, h, w) of each layer, of single precision at least."""
        outputs = self.outputs(x)
        maps = [as_map(outputs[layer], x) for layer in self.layers]
        return [feature.to(torch.promote_types(feature.dtype, _COARSEST)) for feature in maps if feature is not None]

    def outputs(self, x: Tensor) -> dict[str, Any]:
        """What each layer gives, by its name; `InputError` for one that does not run."""
        outputs: dict[str, Any] = {}
        with _noting(self.network, self.layers, outputs), suppress(_AllSeen):
            self.network(x)
        silent = [layer for layer in self.layers if layer not in outputs]
        if silent:
            raise InputError(f"layer {silent[0]!r} of the backbone does not run: choose the one around it.")
        return outputs

    def check(self, x: Tensor) -> None:
        """`InputError` for layers that do not run just once for images ``x``, or give nothing that is a map of them."""
        for layer, output in self.outputs(x).items():
            if not isinstance(output, Tensor) or as_map(output, x) is None:
                what = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
                raise InputError(
                    f"layer {layer!r} of the backbone gives {what} and PatchCore compares maps (N, C, H, W), or tokens "
                    "of patches (N, T, C): choose another layer."
                )
            check_layout(output, x, self.network, layer)
        runs = self.runs(x)
        for layer in self.layers:
            if runs.count(layer) != 1:
                raise InputError(f"layer {layer!r} of the backbone runs {runs.count(layer)} times a pass, not once.")

    def runs(self, x: Tensor) -> list[str]:
        """Paths of the modules in the order in which they end, in a whole pass, as far as that goes."""
        paths: list[str] = []
        with observing(self.network, lambda path, *_: paths.append(path)), suppress(Exception):
            self.network(x)  # what follows the layers may not fit images of another size
        return paths

    def tensors(self, x: Tensor) -> set[str]:
        """Names of the parameters and buffers that the features of images ``x`` depend on."""
        paths: set[str] = set()
        with observing(self.network, lambda path, *_: paths.add(path)):
            self.outputs(x)
        return {name for name in self.network.state_dict() if name.rpartition(".")[0] in paths}


def usual_layers(module: nn.Module, x: Tensor, count: int) -> tuple[str, ...]:
    """The first ``count`` of the layers at 1/8 and 1/16 of the size of images ``x``: those of the paper in a ResNet.

    Of the modules whose maps have this size it is the last of the outermost: the end of a stage. Raises `InputError`
    for a network without such maps.
    """
    names = dict(module.named_modules())
    stages = ("layer2", "layer3")[:count]  # of a ResNet, whatever its strides
    if all(stage in names for stage in stages):
        return stages
    ends: dict[int, str] = {}

    def note(path: str, _module: nn.Module, _args: object, _kwargs: object, output: Any) -> None:
        features = as_map(output, x) if isinstance(output, Tensor) else None
        if features is None or path.count(".") > ends.get(octave := _octave(features, x), path).count("."):
            return
        ends[octave] = path

    with observing(module, note), torch.no_grad(), suppress(Exception):
        module(x)
    octaves = (3, 4)[:count]
    if any(octave not in ends for octave in octaves):
        raise InputError(
            f"the backbone {type(module).__name__} has no maps at 1/8 and 1/16 of the image's size: name the layers to "
            "compare with layers= (--layers)."
        )
    return tuple(ends[octave] for octave in octaves)


def _octave(features: Tensor, x: Tensor) -> int:
    """How often the height of images is halved, to the nearest integer."""
    return round(math.log2(x.shape[2] / features.shape[2]))


@contextmanager
def _noting(network: nn.Module, layers: Sequence[str], outputs: dict[str, Any]) -> Iterator[None]:
    """Keeps a copy of what each of the layers gives, and ends the pass when all have run."""

    def note(layer: str, output: Any) -> None:
        # a copy, as what follows may work in place, as ReLU(inplace=True) does
        outputs[layer] = output.clone() if isinstance(output, Tensor) else output
        # torch.export keeps account of which module runs, and loses it where a pass is left; it drops what is not used
        if len(outputs) == len(set(layers)) and not torch.compiler.is_exporting():
            raise _AllSeen

    handles = [
        network.get_submodule(layer).register_forward_hook(
            lambda _module, _inputs, output, layer=layer: note(layer, output)
        )
        for layer in layers
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
