"""Layers, and ways of calling a network, that the named architectures lack: each in a network of few weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTH = 8


class Block(nn.Module):
    """A layer from (N, 8, 16, 16) between a convolution and a linear layer: (N, C, 32, 32) -> (N, 6)."""

    def __init__(self, layer: nn.Module, channels: int = 3, stem: nn.Module | None = None) -> None:
        super().__init__()
        self.stem = stem or nn.Conv2d(channels, WIDTH, 3, stride=2, padding=1)
        self.layer = layer
        self.head = nn.LazyLinear(6)

    def forward(self, x: Tensor) -> Tensor:
        """Embeddings (N, 6)."""
        y = self.layer(self.stem(x))
        return self.head(y.flatten(2).mean(2) if y.ndim > 2 else y)


class Function(nn.Module):
    """A layer that is a function of its input and of its own weights."""

    def __init__(self, function: Callable[..., Tensor], **weights: tuple[int, ...]) -> None:
        super().__init__()
        self.function = function
        for name, shape in weights.items():
            self.register_parameter(name, nn.Parameter(0.5 * torch.randn(shape)))

    def forward(self, x: Tensor) -> Tensor:
        """Of hidden values (N, 8, 16, 16)."""
        return self.function(x, **self._parameters)


def tokens(x: Tensor) -> Tensor:
    """(N, 8, 16, 16) -> (N, 16, 8): one of 16 pixels."""
    return F.avg_pool2d(x, 4).flatten(2).mT


def heads(x: Tensor, weight: Tensor) -> list[Tensor]:
    """Queries, keys and values of two heads, (N, 2, 16, 4) each."""
    return [t.unflatten(-1, (2, 4)).transpose(1, 2) for t in F.linear(tokens(x), weight).chunk(3, -1)]


def rotary(x: Tensor, qkv: Tensor) -> Tensor:
    """Attention with rotary embeddings."""
    q, k, v = heads(x, qkv)
    angles = torch.arange(16.0)[:, None] * torch.tensor([1.0, 0.1]).repeat_interleave(2)

    def turned(t: Tensor) -> Tensor:
        halves = torch.stack([-t[..., 1::2], t[..., ::2]], -1).flatten(-2)
        return t * angles.cos() + halves * angles.sin()

    return F.scaled_dot_product_attention(turned(q), turned(k), v).transpose(1, 2).flatten(2).mT


def grouped_query(x: Tensor, qkv: Tensor) -> Tensor:
    """Two heads of queries, one of keys and values."""
    q, k, v = heads(x, qkv)
    attended = F.scaled_dot_product_attention(q, k[:, :1], v[:, :1], enable_gqa=True)
    return attended.transpose(1, 2).flatten(2).mT


def windows(x: Tensor, qkv: Tensor, bias: Tensor) -> Tensor:
    """Attention within shifted windows of 4x4 pixels, with a bias, written in place as Swin has it."""
    mask = x.new_zeros(16, 16)
    mask[:4, 4:] = -5.0
    cells = (
        x.roll((2, 2), (2, 3)).unflatten(2, (4, 4)).unflatten(4, (4, 4)).permute(0, 2, 4, 3, 5, 1).reshape(-1, 16, 8)
    )
    q, k, v = (t.unflatten(-1, (2, 4)).transpose(1, 2) for t in F.linear(cells, qkv).chunk(3, -1))
    weights = (q * 0.5 @ k.mT + bias + mask).softmax(-1)
    return (weights @ v).transpose(1, 2).reshape(len(x), -1, 8).mT


def written_in_place(x: Tensor) -> Tensor:
    """Some rows overwritten by others."""
    y = x.clone()
    y[:, :, 2:6] = x[:, :, 8:12].relu()
    y[:, 0] = 0.5 * x[:, 1]
    return y


def einsum_attention(x: Tensor, qkv: Tensor) -> Tensor:
    """Attention written as sums over indices."""
    q, k, v = heads(x, qkv)
    weights = torch.einsum("bhqd,bhkd->bhqk", q, k).softmax(-1)
    return torch.einsum("bhqk,bhkd->bhdq", weights, v).flatten(1, 2)


def relative_positions(x: Tensor, qkv: Tensor, table: Tensor) -> Tensor:
    """Attention with positions relative to the query, by which it is multiplied: the mask depends on the image."""
    q, k, v = heads(x, qkv)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=q @ table).flatten(1, 2)


def generalised_mean(x: Tensor, power: Tensor) -> Tensor:
    """GeM pooling."""
    return F.avg_pool2d(x.clamp(min=1e-3).pow(2 + power.abs()), 16).pow(1 / (2 + power.abs())).flatten(1)


def mask_in_attention() -> nn.Module:
    """`nn.MultiheadAttention` with a mask, which adds it inside the product (baddbmm)."""
    attention = nn.MultiheadAttention(WIDTH, 2, batch_first=True)
    mask = torch.zeros(16, 16).masked_fill(~torch.ones(16, 16, dtype=torch.bool).tril(6), -torch.inf)

    def attend(x: Tensor) -> Tensor:
        return attention(tokens(x), tokens(x), tokens(x), attn_mask=mask)[0].mT

    layer = Function(attend)
    layer.attention = attention
    return layer


def sampled(x: Tensor) -> Tensor:
    """A rotated picture."""
    theta = torch.tensor([[[0.9, -0.3, 0.0], [0.3, 0.9, 0.1]]]).expand(len(x), -1, -1)
    return F.grid_sample(x, F.affine_grid(theta, list(x.shape), align_corners=False), align_corners=False)


def in_bfloat16(x: Tensor, weight: Tensor) -> Tensor:
    """Autocast inside of forward."""
    with torch.autocast(x.device.type, dtype=torch.bfloat16):
        return F.conv2d(x, weight, padding=1).relu().float()


def rep_vgg() -> nn.Module:
    """Three branches of one value, with a batch norm each."""

    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.wide = nn.Sequential(nn.Conv2d(WIDTH, WIDTH, 3, padding=1, bias=False), nn.BatchNorm2d(WIDTH))
            self.narrow = nn.Sequential(nn.Conv2d(WIDTH, WIDTH, 1, bias=False), nn.BatchNorm2d(WIDTH))
            self.direct = nn.BatchNorm2d(WIDTH)

        def forward(self, x: Tensor) -> Tensor:
            return (self.wide(x) + self.narrow(x) + self.direct(x)).relu()

    return Sum()


def _activation(name: str) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(getattr(nn, name)(), nn.Conv2d(WIDTH, WIDTH, 1))


def _conv(**options: Any) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(nn.Conv2d(WIDTH, WIDTH, 3, **options), nn.ReLU())


def _function(function: Callable[..., Tensor], **weights: tuple[int, ...]) -> Callable[[], nn.Module]:
    return lambda: Function(function, **weights)


QKV = (24, WIDTH)

LAYERS: dict[str, Callable[[], nn.Module]] = {
    "abs": _function(lambda x: (x - 0.1).abs()),
    "adaptive max pool": lambda: nn.AdaptiveMaxPool2d(3),
    "addcmul": _function(lambda x, a: torch.addcmul(x, x.roll(1, 2), a, value=0.5), a=(WIDTH, 1, 1)),
    "amax": _function(lambda x: x.amax((2, 3))),
    "antialiased resize": _function(lambda x: F.interpolate(x, size=(5, 7), mode="bilinear", antialias=True)),
    "attention by einsum": _function(einsum_attention, qkv=QKV),
    "attention of grouped queries": _function(grouped_query, qkv=QKV),
    "attention with a mask": mask_in_attention,
    "attention by relative positions": _function(relative_positions, qkv=QKV, table=(WIDTH // 2, 16)),
    "attention in windows": _function(windows, qkv=QKV, bias=(2, 16, 16)),
    "autocast": _function(in_bfloat16, weight=(WIDTH, WIDTH, 3, 3)),
    "bilinear resize": _function(lambda x: F.interpolate(x, scale_factor=2, mode="bilinear")),
    "channel shuffle": lambda: nn.Sequential(nn.ChannelShuffle(2), nn.ReLU()),
    "circular padding": _conv(padding=1, padding_mode="circular"),
    "conv3d": _function(lambda x, w: F.conv3d(x[:, None], w).flatten(1, 2).relu(), w=(2, 1, 3, 3, 3)),
    "depthwise convolution": _conv(groups=WIDTH, padding=1),
    "dilated convolution": _conv(dilation=2, padding=2),
    "fold": _function(lambda x: F.fold(F.unfold(x, 3, stride=2), 16, 3, stride=2)),
    "GELU by hand": _function(lambda x: 0.5 * x * (1 + torch.erf(x / 2**0.5))),
    "generalised mean": _function(generalised_mean, power=(1,)),
    "GLU": lambda: nn.Sequential(nn.Conv2d(WIDTH, 2 * WIDTH, 1), nn.GLU(1)),
    "grid sample": _function(sampled),
    "grouped convolution": _conv(groups=2),
    "GroupNorm": lambda: nn.GroupNorm(2, WIDTH),
    "Hardswish": _activation("Hardswish"),
    "Hardswish by hand": _function(lambda x: x * F.relu6(x + 3) / 6),
    "InstanceNorm": lambda: nn.Sequential(nn.InstanceNorm2d(WIDTH, affine=True), nn.ReLU()),
    "unit length": _function(lambda x: F.normalize(x.mean((2, 3)), dim=1)),
    "max along a dimension": _function(lambda x: x.flatten(2).max(-1).values),
    "max pool with indices": lambda: nn.Sequential(Function(lambda x: F.max_pool2d(x, 2, return_indices=True)[0])),
    "maximum": _function(lambda x: torch.maximum(x, x.roll(3, 3))),
    "maxout": _function(lambda x: torch.maximum(x[:, :4], x[:, 4:])),
    "Mish": _activation("Mish"),
    "nearest-exact resize": _function(lambda x: F.interpolate(x, size=(5, 7), mode="nearest-exact")),
    "pixel shuffle": lambda: nn.PixelShuffle(2),
    "PReLU": lambda: nn.PReLU(WIDTH),
    "reflected padding": _conv(padding=1, padding_mode="reflect"),
    "repeat_interleave": _function(lambda x: x.repeat_interleave(2, 1)),
    "RepVGG": rep_vgg,
    "RMSNorm": lambda: Function(lambda x, w: F.rms_norm(tokens(x), (WIDTH,), w).mT, w=(WIDTH,)),
    "rotary embedding": _function(rotary, qkv=QKV),
    "rsub": _function(lambda x: (1 - x).relu()),
    "SiLU by hand": _function(lambda x: x * x.sigmoid()),
    "softplus": _activation("Softplus"),
    "standard deviation": _function(lambda x: torch.cat([x.mean((2, 3)), x.std((2, 3))], 1)),
    "transposed convolution": lambda: nn.Sequential(
        nn.ConvTranspose2d(WIDTH, WIDTH, 3, 2, 1, output_padding=1), nn.ReLU()
    ),
    "type_as": _function(lambda x: x.relu().double().type_as(x)),
    "variance and mean": _function(lambda x: (lambda v, m: m + v)(*torch.var_mean(x, (2, 3)))),
    "weight norm": lambda: nn.utils.parametrizations.weight_norm(nn.Conv2d(WIDTH, WIDTH, 3)),
    "written in place": _function(written_in_place),
}
"""What lies between the convolution and the linear layer, by its name."""


def block(name: str, channels: int = 3, shape: tuple[int, int] = (32, 32)) -> nn.Module:
    """The network of a layer, with random weights."""
    torch.manual_seed(0)
    model = Block(LAYERS[name](), channels)
    with torch.no_grad():
        model(torch.zeros(1, channels, *shape))
    return model.eval()


def plain(channels: int = 3, shape: tuple[int, int] = (32, 32)) -> nn.Module:
    """Two convolutions with a batch norm, for other ways of calling a network."""
    torch.manual_seed(0)
    layer = nn.Sequential(nn.Conv2d(WIDTH, WIDTH, 3, padding=1), nn.BatchNorm2d(WIDTH), nn.ReLU())
    model = Block(layer, channels)
    with torch.no_grad():
        model(torch.zeros(1, channels, *shape))
    return model.eval()


WAYS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], torch.dtype]] = {
    "bfloat16": (lambda: plain().bfloat16(), (1, 3, 32, 32), torch.bfloat16),
    "channels_last": (lambda: plain().to(memory_format=torch.channels_last), (1, 3, 32, 32), torch.float32),
    "compiled": (lambda: torch.compile(plain()), (1, 3, 32, 32), torch.float32),
    "DataParallel": (lambda: nn.DataParallel(plain()), (1, 3, 32, 32), torch.float32),
    "exported": (
        lambda: torch.export.export(
            plain(), (torch.zeros(2, 3, 32, 32),), dynamic_shapes=({0: torch.export.Dim("batch")},)
        ).module(),
        (1, 3, 32, 32),
        torch.float32,
    ),
    "half precision": (lambda: plain().half(), (1, 3, 32, 32), torch.float16),
    "non-square input": (lambda: plain(3, (32, 48)), (1, 3, 32, 48), torch.float32),
    "one channel": (lambda: plain(1), (1, 1, 32, 32), torch.float32),
    "twelve channels": (lambda: plain(12), (1, 12, 32, 32), torch.float32),
}
"""Networks that are called in other ways, with the shape and type of their images."""
