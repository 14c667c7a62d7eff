"""EfficientNets in the names of EfficientNet-PyTorch, which many published weights have, renamed to those of timm.

There the blocks are numbered through (``_blocks.5``) and their layers are called by what they do; timm numbers the
blocks of each stage (``blocks.3.0``) and its layers by their position. Source of the structure: Tan and Le 2019,
arXiv:1905.11946, table 1.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from torch import Tensor

_STEM = "_conv_stem."
_AROUND = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
_SQUEEZE = {"_se_reduce": "se.conv_reduce", "_se_expand": "se.conv_expand"}
_INVERTED = {"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2"} | _SQUEEZE
_INVERTED |= {"_project_conv": "conv_pwl", "_bn2": "bn3"}
# the first stage does not expand its channels, and numbers its layers from the depthwise convolution on
_SEPARABLE = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"} | _SQUEEZE


def as_timm(state: Mapping[str, Tensor], expected: Iterable[str]) -> dict[str, Tensor]:
    """The tensors under timm's names; a state dict in other names is given back as it is.

    Args:
        expected: names in timm's network, whose blocks the numbered ones are, in their order.
    """
    if not any(key.startswith(_STEM) for key in state):
        return dict(state)
    matches = (re.match(r"blocks\.\d+\.\d+\.", key) for key in expected)
    blocks = dict(enumerate(dict.fromkeys(match[0] for match in matches if match)))
    return {_renamed(key, state, blocks): value for key, value in state.items()}


def _renamed(key: str, state: Mapping[str, Tensor], blocks: Mapping[int, str]) -> str:
    """The name of one tensor; what does not belong to the structure stays as it is, and is refused by its name."""
    block = re.match(r"_blocks\.(\d+)\.", key)
    if block is None:
        return _by(_AROUND, key)
    expands = f"{block[0]}_expand_conv.weight" in state
    layer = _by(_INVERTED if expands else _SEPARABLE, key.removeprefix(block[0]))
    return blocks.get(int(block[1]), block[0]) + layer


def _by(names: Mapping[str, str], key: str) -> str:
    layer, _, tensor = key.partition(".")
    return f"{names.get(layer, layer)}.{tensor}"
