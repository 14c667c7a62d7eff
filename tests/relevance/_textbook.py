"""LRP's rules as the papers print them: dense float64 matrices and loops over inputs ``i`` and outputs ``j``.

Nothing here is shared with the package, and nothing is fast. A layer is ``y_j = sum_i w[j, i] a[i] + b[j]``, and a rule
gives ``S[i, j]``, the fraction of output ``j`` that goes to input ``i``: LRP is ``R_i = sum_j S[i, j] R_j``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from torch import nn

Pair = tuple[int, int]


@dataclass(frozen=True)
class Dense:
    """``y = weight @ a + bias``; ``connected[j, i]`` says whether output ``j`` sees input ``i`` at all."""

    weight: np.ndarray
    bias: np.ndarray
    connected: np.ndarray


def dense_linear(layer: nn.Linear) -> Dense:
    weight, bias = _arrays(layer)
    return Dense(weight, bias, np.ones(weight.shape, dtype=bool))


def dense_convolution(layer: nn.Conv2d, shape: tuple[int, int, int]) -> Dense:
    """The convolution of one image of ``shape`` (C, H, W) as a matrix (C'*H'*W', C*H*W)."""
    kernel, bias = _arrays(layer)
    channels, height, width = shape
    per_group_in, per_group_out = channels // layer.groups, layer.out_channels // layer.groups
    pads = (0, 0) if layer.padding == "valid" else layer.padding
    (pad_y, pad_x), (step_y, step_x), (apart_y, apart_x) = pads, layer.stride, layer.dilation
    size_y, size_x = layer.kernel_size
    rows = (height + 2 * pad_y - apart_y * (size_y - 1) - 1) // step_y + 1
    columns = (width + 2 * pad_x - apart_x * (size_x - 1) - 1) // step_x + 1
    weight = np.zeros((layer.out_channels * rows * columns, channels * height * width))
    connected = np.zeros(weight.shape, dtype=bool)
    for o, row, column in product(range(layer.out_channels), range(rows), range(columns)):
        j = (o * rows + row) * columns + column
        for c, dy, dx in product(range(per_group_in), range(size_y), range(size_x)):
            y, x = row * step_y + dy * apart_y - pad_y, column * step_x + dx * apart_x - pad_x
            if 0 <= y < height and 0 <= x < width:
                i = ((o // per_group_out * per_group_in + c) * height + y) * width + x
                weight[j, i] = kernel[o, c, dy, dx]
                connected[j, i] = True
    return Dense(weight, np.repeat(bias, rows * columns), connected)


def _arrays(layer: nn.Linear | nn.Conv2d) -> tuple[np.ndarray, np.ndarray]:
    weight = layer.weight.detach().double().numpy()
    bias = np.zeros(len(weight)) if layer.bias is None else layer.bias.detach().double().numpy()
    return weight, bias


def fractions(rule: str, layer: Dense, a: np.ndarray, *, bias: bool, epsilon: float, **options: float) -> np.ndarray:
    """``S[i, j]`` of a rule at activations ``a``; ``bias`` says whether biases count in the denominators."""
    b = layer.bias if bias else np.zeros_like(layer.bias)
    result = np.zeros(layer.weight.T.shape)
    for j in range(len(b)):
        y = sum(layer.weight[j, i] * a[i] for i in range(len(a))) + layer.bias[j]
        out = Output(j, layer.weight[j], a, b[j], y, layer.connected[j])
        for amount, numerators, bias_term in _FORMULAS[rule](out, **options):
            z = sum(numerators) + bias_term
            z = z + epsilon if z >= 0 else z - epsilon
            for i in range(len(a)):
                result[i, j] += amount * numerators[i] / z
    return result


@dataclass(frozen=True)
class Output:
    """Output ``j`` of a layer: its weights, the inputs that it reads, the bias that counts, and its value."""

    j: int
    w: np.ndarray
    a: np.ndarray
    b: float
    y: float
    connected: np.ndarray


# Each formula gives its terms ``amount * numerator[i] / (sum(numerator) + bias)``.
Terms = list[tuple[float, list[float], float]]


def _epsilon(out: Output) -> Terms:
    """Bach et al. 2015: ``z_ij = w_ij a_i``."""
    return [(1, [w * a for w, a in zip(out.w, out.a, strict=True)], out.b)]


def _z_plus(out: Output) -> Terms:
    """Montavon et al. 2017: the positive contributions only."""
    return [(1, [max(w * a, 0) for w, a in zip(out.w, out.a, strict=True)], max(out.b, 0))]


def _alpha_beta(out: Output, *, alpha: float) -> Terms:
    """Bach et al. 2015: ``alpha z+ / sum z+ - beta z- / sum z-`` with ``alpha - beta = 1``."""
    positive = [max(w * a, 0) for w, a in zip(out.w, out.a, strict=True)]
    negative = [min(w * a, 0) for w, a in zip(out.w, out.a, strict=True)]
    return [(alpha, positive, max(out.b, 0)), (1 - alpha, negative, min(out.b, 0))]


def _gamma(out: Output, *, gamma: float) -> Terms:
    """Montavon et al. 2019, ``w + gamma w+``; Andéol et al. 2021: contributions of the output's sign are favoured."""

    def favour(z: float) -> float:
        return z + gamma * (max(z, 0) if out.y > 0 else min(z, 0))

    return [(1, [favour(w * a) for w, a in zip(out.w, out.a, strict=True)], favour(out.b))]


def _flat(out: Output) -> Terms:
    """Lapuschkin et al. 2019: evenly over the receptive field."""
    return [(1, [1.0 if seen else 0.0 for seen in out.connected], 0)]


def _w_square(out: Output) -> Terms:
    """Montavon et al. 2017: by squared weight."""
    return [(1, [w**2 for w in out.w], out.b**2)]


def _z_box(out: Output, *, low: float, high: float) -> Terms:
    """Montavon et al. 2017: ``w x - w+ low - w- high``."""
    numerators = [w * a - max(w, 0) * low - min(w, 0) * high for w, a in zip(out.w, out.a, strict=True)]
    return [(1, numerators, 0)]


def _pass(out: Output) -> Terms:
    """Output ``j`` gives all to input ``j``."""
    return [(1, [1.0 if i == out.j else 0.0 for i in range(len(out.a))], 0)]


def _zero(_out: Output) -> Terms:
    return []


_FORMULAS: dict[str, Callable[..., Terms]] = {
    "epsilon": _epsilon,
    "z_plus": _z_plus,
    "alpha_beta": _alpha_beta,
    "gamma": _gamma,
    "flat": _flat,
    "w_square": _w_square,
    "z_box": _z_box,
    "pass": _pass,
    "zero": _zero,
}


def normal(shape: tuple[int, ...], seed: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Reproducible numbers of any sign."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)
