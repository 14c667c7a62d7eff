"""Reading a PatchCore that anomalib trained.

A checkpoint of anomalib's PatchCore (Lightning) is a PyTorch file with an entry ``state_dict``, of which are read

* ``model.memory_bank`` (m, D), the coreset of descriptors;
* ``model.feature_extractor.feature_extractor.*``, the backbone: timm's ResNet without classifier, cut behind the last
  layer that is compared, whose names are those of torchvision.

The file is read with ``weights_only=True``. A checkpoint that holds objects beside its tensors is refused; saved again
as ``{"state_dict": checkpoint["state_dict"]}`` it can be read. Images are normalised with ImageNet's mean and standard
deviation, which is anomalib's default.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from chinspect.anomaly._backbone import LayerFeatures
from chinspect.encoders import Encoder, card_of, encoder_of
from chinspect.encoders.checkpoints import load_weights, read_checkpoint
from chinspect.errors import InputError

BANK = "model.memory_bank"
BACKBONE = "model.feature_extractor.feature_extractor."


def read_anomalib(path: Path, architecture: str, layers: Sequence[str]) -> tuple[Encoder, Tensor]:
    """The backbone, of torchvision's ``architecture``, and the memory bank (m, D)."""
    card = card_of(f"torchvision:{architecture}")
    state = read_checkpoint(path)
    weights = {key.removeprefix(BACKBONE): value for key, value in state.items() if key.startswith(BACKBONE)}
    if BANK not in state or not weights:
        lacking = BANK if BANK not in state else f"{BACKBONE}*"
        raise InputError(f"{str(path)!r} is no checkpoint of anomalib's PatchCore: it has no {lacking}.")
    bank = state[BANK]
    if bank.ndim != 2 or len(bank) == 0 or not bool(bank.isfinite().all()):
        raise InputError(f"the memory bank in {str(path)!r} is no table of numbers (m, D) but {tuple(bank.shape)}.")
    encoder = encoder_of(card, None, name=path.name)
    load_weights(LayerFeatures(encoder.module, layers).extractor, weights, (), str(path))
    return encoder, bank
