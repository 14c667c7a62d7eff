"""EfficientNet-Lite, the default network, without a library that takes long to import.

timm has the same networks (``tf_efficientnet_lite0`` to ``4``), and layers have its names here, so that weights and
names of layers fit both. Importing it takes torchvision and torch's compiler along, two seconds of processor time.

Source of the structure: Tan and Le 2019, arXiv:1905.11946, table 1, without squeeze-and-excitation and with ReLU6, stem
and head of one size, as in TensorFlow's EfficientNet-Lite of 2020.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor, nn

SCALES: Mapping[str, tuple[float, float]] = {
    "efficientnet-lite0": (1.0, 1.0),
    "efficientnet-lite1": (1.0, 1.1),
    "efficientnet-lite2": (1.1, 1.2),
}
"""Factors of width and depth, by architecture."""
# kernel, stride, expansion, channels and blocks of each stage, before scaling
_STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
_STEM = 32
_HEAD = 1280
_EPSILON = 1e-3  # of TensorFlow's batch norm, which the weights were trained with


class EfficientNetLite(nn.Module):
    """(N, 3, H, W) -> embeddings (N, 1280), or logits (N, classes)."""

    def __init__(self, width: float, depth: float, classes: int = 0) -> None:
        """A network with random weights; no classes give embeddings."""
        super().__init__()
        self.conv_stem = SameConv(3, _STEM, 3, 2)
        self.bn1 = NormAct(_STEM)
        stages = []
        channels = _STEM
        for number, (kernel, stride, expansion, base, count) in enumerate(_STAGES):
            ends = number in (0, len(_STAGES) - 1)  # which are as deep in every variant
            outputs = _rounded(base * width)
            blocks = []
            for block in range(count if ends else math.ceil(count * depth)):
                make = SeparableBlock if expansion == 1 else InvertedBlock
                blocks.append(make(channels, outputs, kernel, 1 if block else stride, expansion))
                channels = outputs
            stages.append(nn.Sequential(*blocks))
        self.blocks = nn.Sequential(*stages)
        self.conv_head = nn.Conv2d(channels, _HEAD, 1, bias=False)
        self.bn2 = NormAct(_HEAD)
        self.global_pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.classifier = nn.Linear(_HEAD, classes) if classes else nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        """Embeddings or logits of a batch of preprocessed images."""
        x = self.blocks(self.bn1(self.conv_stem(images)))
        answer: Tensor = self.classifier(self.global_pool(self.bn2(self.conv_head(x))))
        return answer


class SameConv(nn.Conv2d):
    """A convolution without bias that pads as TensorFlow does: the output has ceil(size / stride) cells a side.

    Where the padding is odd, the extra row and column stand below and at the right.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, groups: int = 1) -> None:
        padding = kernel // 2 if stride == 1 else 0  # of stride 1 it is even, and needs no copy of the input
        super().__init__(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        """The padded input, convolved."""
        if self.stride[0] == 1:
            return super().forward(input)
        rows, columns = (
            max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
            for size, stride, kernel in zip(input.shape[-2:], self.stride, self.kernel_size, strict=True)
        )
        sides = (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2)
        return super().forward(F.pad(input, sides))


class NormAct(nn.BatchNorm2d):
    """Batch norm and an activation of its own, so that the activation can be named, explained and pruned by itself."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, _EPSILON)
        self.act = nn.ReLU6()

    def forward(self, input: Tensor) -> Tensor:
        """The activations of the normalised input."""
        activated: Tensor = self.act(super().forward(input))
        return activated


class SeparableBlock(nn.Module):
    """Depthwise convolution, then a linear pointwise one."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:  # noqa: ARG002
        super().__init__()
        self.conv_dw = SameConv(inputs, inputs, kernel, stride, groups=inputs)
        self.bn1 = NormAct(inputs)
        self.conv_pw = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs, _EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H, W)."""
        result: Tensor = self.bn2(self.conv_pw(self.bn1(self.conv_dw(x))))
        return result


class InvertedBlock(nn.Module):
    """Pointwise expansion, depthwise convolution, linear projection; the input is added where it fits."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self.adds = stride == 1 and inputs == outputs
        self.conv_pw = nn.Conv2d(inputs, inner, 1, bias=False)
        self.bn1 = NormAct(inner)
        self.conv_dw = SameConv(inner, inner, kernel, stride, groups=inner)
        self.bn2 = NormAct(inner)
        self.conv_pwl = nn.Conv2d(inner, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs, _EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H / stride, W / stride)."""
        expanded = self.bn1(self.conv_pw(x))
        result: Tensor = self.bn3(self.conv_pwl(self.bn2(self.conv_dw(expanded))))
        return result + x if self.adds else result


def _rounded(channels: float) -> int:
    """The next multiple of 8 below or above; above where the one below lacks more than a tenth."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * channels else nearest
