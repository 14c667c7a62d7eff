"""Backbones of PatchCore: a network of the zoo or the user's own, cut behind the layers whose features are compared.

A backbone may also be that of a PatchCore that anomalib trained. Of a checkpoint of anomalib (Lightning), a PyTorch
file with an entry ``state_dict``, are read

* ``model.memory_bank`` (m, D), the coreset of descriptors;
* ``model.feature_extractor.feature_extractor.*``, the backbone: timm's ResNet without classifier, cut behind the last
  layer that is compared, whose names are those of torchvision.

The file is read with ``weights_only=True``. A checkpoint that holds objects beside its tensors is refused; saved again
as ``{"state_dict": checkpoint["state_dict"]}`` it can be read. Images are normalised with ImageNet's mean and standard
deviation, which is anomalib's default.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.models import Wide_ResNet50_2_Weights

from chinspect.anomaly._features import LayerFeatures, usual_layers
from chinspect.encoders import DEFAULT, Encoder, card_of, encoder_of, load_encoder
from chinspect.encoders.checkpoints import load_weights, read_checkpoint
from chinspect.encoders.weights import fetch, locate
from chinspect.errors import InputError, one_line

WIDE_RESNET = "wide_resnet50_2"
_BANK = "model.memory_bank"
_NETWORK = "model.feature_extractor.feature_extractor."
NEUTRAL = (0.5, 0.5, 0.5)
"""Mean and standard deviation of pixels in [0, 1] under which images in [-1, 1] stay as they are."""


@dataclass(frozen=True, eq=False)
class Backbone:
    """Features of images in [-1, 1], which are brought to ``mean`` and ``std`` (of pixels in [0, 1]) first."""

    features: LayerFeatures
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    fingerprint: str

    @property
    def device(self) -> torch.device:
        """Where the network lies."""
        return self._like.device

    @property
    def _like(self) -> Tensor:
        """A tensor of the network's type and device; PyTorch's own for a network without parameters."""
        return next(self.features.parameters(), torch.empty(0))

    def own(self, x: Tensor) -> Tensor:
        """``x`` in the type and on the device of the network."""
        return x.to(self._like)

    def as_features(self, x: Tensor) -> Tensor:
        """``x`` in the type and on the device of the features."""
        # distances of halves are too coarse
        return x.to(self.device, torch.promote_types(self._like.dtype, torch.float32))

    def normalise(self, x: Tensor) -> Tensor:
        """Images (N, 3, H, W) in [-1, 1] as the network was trained to see them, in its type and on its device."""
        x = self.own(x)
        mean, std = (x.new_tensor(values).view(3, 1, 1) for values in (self.mean, self.std))
        return ((x + 1) / 2 - mean) / std

    def channels(self, shape: Sequence[int]) -> list[int]:
        """Number of channels of each layer for images of ``shape`` (3, H, W); `InputError` unless they are maps."""
        x = self.own(torch.zeros(1, *shape))
        with torch.no_grad():
            try:
                self.features.check(x)
            except InputError:
                raise
            except Exception as error:  # the network may be the user's own, which raises what it wants
                raise InputError(f"the backbone cannot read images {tuple(shape)} ({one_line(error)}).") from error
            return [feature.shape[1] for feature in self.features(x)]


def open_backbone(
    backbone: str | Encoder | nn.Module,
    layers: Sequence[str] | None,
    count: int,
    shape: Sequence[int],
    *,
    neutral: bool,
) -> Backbone:
    """The backbone, cut behind ``layers``, or behind the usual ``count`` layers where none are named.

    Args:
        backbone: ``wide_resnet50_2``, a name that `load_encoder` knows, an encoder, or a module that takes images in
            [-1, 1].
        layers, count: the layers, or how many of the usual ones; see `usual_layers`.
        shape: of the images (3, H, W).
        neutral: whether images stay in [-1, 1] whatever the network was trained with.
    """
    mean = std = NEUTRAL
    fingerprint = ""
    if isinstance(backbone, nn.Module):
        module = backbone
    else:
        encoder = _encoder(backbone)
        module = encoder.module
        fingerprint = encoder.fingerprint
        if not neutral:
            mean = encoder.preprocessing.mean
            std = encoder.preprocessing.std
    if layers is None:
        like = next(module.parameters(), torch.empty(0))
        layers = usual_layers(LayerFeatures(module, ()).network, torch.zeros(1, *shape).to(like), count)
    features = LayerFeatures(module, layers)
    return Backbone(features, mean, std, fingerprint)


def _encoder(backbone: str | Encoder) -> Encoder:
    if isinstance(backbone, Encoder):
        return backbone
    if not isinstance(backbone, str):
        raise InputError(f"a backbone is a name, an Encoder or a torch module, not {type(backbone).__name__}.")
    return _wide_resnet() if backbone == WIDE_RESNET else load_encoder(backbone)


def _wide_resnet() -> Encoder:
    """torchvision's first weights, those of the paper; the ones that it loads by default came later."""
    weights = Wide_ResNet50_2_Weights.IMAGENET1K_V1
    default = card_of(f"torchvision:{WIDE_RESNET}")
    digits = weights.url.rsplit("-", 1)[1].removesuffix(".pth")
    card = replace(default, url=weights.url, tag=weights.name, sha256=digits)
    try:
        path = fetch(card)
    except InputError as error:
        if locate(card).cached() is not None:
            raise
        raise InputError(
            f"PatchCore's backbone {WIDE_RESNET!r} needs {card.url.rsplit('/', 1)[1]} from {card.url}, which is not on "
            f"this machine and cannot be downloaded ({error.__cause__}): fetch it once while online, or use the "
            f"backbone {DEFAULT!r}, which needs no download."
        ) from error
    return encoder_of(card, path)


def read_anomalib(path: Path, architecture: str, layers: Sequence[str]) -> tuple[Encoder, Tensor]:
    """The backbone, of torchvision's ``architecture``, and the memory bank (m, D), of a checkpoint of anomalib.

    Raises `InputError` for a file that is none.
    """
    card = card_of(f"torchvision:{architecture}")
    state = read_checkpoint(path)
    weights = {key.removeprefix(_NETWORK): value for key, value in state.items() if key.startswith(_NETWORK)}
    if _BANK not in state or not weights:
        missing = _BANK if _BANK not in state else f"{_NETWORK}*"
        raise InputError(f"{str(path)!r} is no checkpoint of anomalib's PatchCore: it has no {missing}.")
    bank = state[_BANK]
    if bank.ndim != 2 or len(bank) == 0 or not bool(bank.isfinite().all()):
        raise InputError(f"the memory bank in {str(path)!r} is no table of numbers (m, D) but {tuple(bank.shape)}.")
    encoder = encoder_of(card, None, name=path.name)
    with torch.no_grad():  # anomalib keeps the network up to the last layer, whatever the size of the images
        used = LayerFeatures(encoder.module, layers).tensors(torch.zeros(1, 3, 64, 64))
    unused = {key: value for key, value in encoder.module.state_dict().items() if key not in used}
    load_weights(encoder.module, unused | weights, (), str(path))
    return encoder, bank
