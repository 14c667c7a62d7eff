"""How each operation pushes components: adjoint to pull, linear, and equal to the derivative of its frozen twin.

Under LRP-0 the push is the Jacobian of the operation with some of its factors held fixed. The *twin* of an operation is
that function written out, ``detach`` marking what is fixed; ordinary automatic differentiation gives its Jacobian.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import pytest
import torch
import torch.nn.functional as F
from _textbook import normal
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from chinspect.relevance import Composite, Graph, RelevanceMap, Row, relevance_map, segments, trace
from chinspect.relevance.rules import AlphaBeta, Epsilon, Flat, Gamma, Pass, Rule, WSquare, ZBox, ZPlus

pytestmark = [
    pytest.mark.filterwarnings("ignore::chinspect.relevance.RelevanceWarning"),
    pytest.mark.filterwarnings("ignore:There is a performance drop"),  # torch.vmap has no rule for some backward passes
]

SHAPE = (1, 2, 6, 6)
FIRST = normal((4, 2, 3, 3), 100)
LRP_0 = Row(Epsilon(stabiliser=0.0))
FROZEN = Composite("lrp-0", (LRP_0,))
ATTNLRP = Composite("lrp-0", (LRP_0,), attention="attnlrp")
few = settings(max_examples=2, deadline=None, derandomize=True, database=None)
seeds = st.integers(0, 2**31 - 1)

Function = Callable[[Tensor], Tensor]


@cache
def fixed(*shape: int) -> Tensor:
    """A constant of the model."""
    return normal(shape, sum(shape))


@dataclass(frozen=True)
class Case:
    """A function of the hidden values (1, 4, 6, 6), its twin, and whether constants in it absorb relevance."""

    function: Function
    twin: Function | None = None
    absorbs: bool = False
    composite: Composite = FROZEN


class Network(nn.Module):
    """The function behind a convolution without bias."""

    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(F.conv2d(x, FIRST, padding=1)).flatten(1)


def activation(function: Function) -> Case:
    return Case(function, lambda a: a * (function(a) / a).detach())


def half_each(product: Callable[[Tensor, Tensor], Tensor], a: Tensor, b: Tensor) -> Tensor:
    return (product(a, b.detach()) + product(a.detach(), b)) / 2


def gate(squash: Function) -> Case:
    """Squeeze and excitation."""

    def weights(a: Tensor) -> Tensor:
        return squash(F.conv2d(a.mean((2, 3), keepdim=True), fixed(4, 4, 1, 1), fixed(4)))

    return Case(lambda a: a * weights(a), lambda a: a * weights(a).detach())


def layer_norm(a: Tensor, weight: Tensor | None, bias: Tensor | None, freeze: bool) -> Tensor:
    """Over the channels, as ConvNeXt has it."""
    a = a.permute(0, 2, 3, 1)
    if not freeze:
        return F.layer_norm(a, (4,), weight, bias, 1e-3)
    deviation = (a.var(-1, correction=0, keepdim=True) + 1e-3).sqrt().detach()
    return (a - a.mean(-1, keepdim=True)) / deviation * (1 if weight is None else weight) + (
        0 if bias is None else bias
    )


def group_norm(a: Tensor, freeze: bool) -> Tensor:
    if not freeze:
        return F.group_norm(a, 2, fixed(4), None, 1e-3)
    groups = a.view(1, 2, -1)
    deviation = (groups.var(-1, correction=0, keepdim=True) + 1e-3).sqrt().detach()
    return ((groups - groups.mean(-1, keepdim=True)) / deviation).view(a.shape) * fixed(4).view(-1, 1, 1)


def batch_norm(a: Tensor) -> Tensor:
    return F.batch_norm(a.relu(), fixed(4), VARIANCE, fixed(4), fixed(4))


VARIANCE = normal((4,), 0).square()


def heads(a: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values (1, 2, 36, 4) of two heads."""
    tokens = a.flatten(2).transpose(1, 2)
    q, k, v = F.linear(tokens, fixed(24, 4)).chunk(3, dim=-1)
    return tuple(t.unflatten(-1, (2, 4)).transpose(1, 2) for t in (q, k, v))  # type: ignore[return-value]


def explicit_attention(a: Tensor, freeze: bool = False, mask: Tensor | None = None, scale: float = 0.5) -> Tensor:
    q, k, v = heads(a)
    logits = torch.einsum("nhid,nhjd->nhij", q * scale, k)
    weights = (logits if mask is None else logits + mask).softmax(-1)
    return torch.einsum("nhij,nhjd->nhid", weights.detach() if freeze else weights, v)


def matmul_attention(a: Tensor) -> Tensor:
    q, k, v = heads(a)
    return (q * 0.5 @ k.transpose(-2, -1)).softmax(dim=-1) @ v


def attnlrp_twin(a: Tensor) -> Tensor:
    """Achtibat et al. 2024: half to each factor of a product, softmax by its Taylor expansion."""
    q, k, v = heads(a)
    logits = half_each(lambda left, right: left @ right.mT, q, k) * 0.5
    return half_each(torch.matmul, logits.softmax(-1), v)


def instance_norm(a: Tensor, freeze: bool) -> Tensor:
    if not freeze:
        return F.instance_norm(a, weight=fixed(4), eps=1e-3)
    deviation = (a.var((2, 3), correction=0, keepdim=True) + 1e-3).sqrt().detach()
    return (a - a.mean((2, 3), keepdim=True)) / deviation * fixed(4).view(-1, 1, 1)


def grouped_queries(a: Tensor, explicit: bool) -> Tensor:
    """Two heads of queries, and one of keys and values."""
    q, k, v = heads(a)
    if not explicit:
        return F.scaled_dot_product_attention(q, k[:, :1], v[:, :1], enable_gqa=True)
    return (q @ k[:, :1].mT * 0.5).softmax(-1).detach() @ v[:, :1]


def written_in_place(a: Tensor) -> Tensor:
    b = a.clone()
    b[:, :, 1:3] = a[:, :, 3:5].relu()
    b[:, 0] = 2 * a[:, 1]
    return b


def written_apart(a: Tensor) -> Tensor:
    b = torch.cat([a[:, :, :1], a[:, :, 3:5].relu(), a[:, :, 3:]], 2)
    return torch.cat([2 * a[:, 1:2], b[:, 1:]], 1)


GRID = F.affine_grid(torch.tensor([[[0.9, -0.3, 0.1], [0.3, 0.9, 0.0]]]).double(), [1, 4, 5, 5], align_corners=False)


def sdpa(**options: object) -> Function:
    return lambda a: F.scaled_dot_product_attention(*heads(a), **options)  # type: ignore[arg-type]


SEEN = torch.ones(36, 36, dtype=torch.bool).tril(3)
UNSEEN = torch.zeros(36, 36).double().masked_fill(~SEEN, -torch.inf)
CAUSAL = torch.zeros(36, 36).double().masked_fill(~SEEN.tril(), -torch.inf)

LINEAR: dict[str, Function] = {
    "conv strided": lambda a: F.conv2d(a, fixed(3, 4, 3, 3), stride=2, padding=1),
    "conv dilated": lambda a: F.conv2d(a, fixed(3, 4, 2, 2), dilation=(2, 3), padding=(1, 0)),
    "conv grouped": lambda a: F.conv2d(a, fixed(6, 2, 3, 3), groups=2),
    "conv depthwise": lambda a: F.conv2d(a, fixed(4, 1, 3, 3), groups=4, padding=1),
    "conv padding same": lambda a: F.conv2d(a, fixed(3, 4, 2, 3), padding="same", dilation=2),
    "conv1d": lambda a: F.conv1d(a.flatten(2), fixed(3, 4, 5), stride=3),
    "linear on tokens": lambda a: F.linear(a.flatten(2).mT, fixed(5, 4)),
    "matmul by a constant": lambda a: a.flatten(2).mT @ fixed(4, 5),
    "constant by matmul": lambda a: fixed(5, 4) @ a.flatten(2),
    "bmm by a constant": lambda a: torch.bmm(a[0], fixed(4, 6, 3)).unsqueeze(0),
    "max pool": lambda a: F.max_pool2d(a, 3, 2, 1),
    "max pool dilated": lambda a: F.max_pool2d(a, 2, 1, dilation=2),
    "max pool ceiled": lambda a: F.max_pool2d(a, 4, 3, ceil_mode=True),
    "average pool": lambda a: F.avg_pool2d(a, 3, 2, 1),
    "average pool without padding": lambda a: F.avg_pool2d(a, 4, 3, 1, ceil_mode=True, count_include_pad=False),
    "adaptive pool": lambda a: F.adaptive_avg_pool2d(a, (3, 2)),
    "adaptive pool, uneven": lambda a: F.adaptive_avg_pool2d(a, (4, 5)),
    "global pool": lambda a: F.adaptive_avg_pool2d(a, 1),
    "mean": lambda a: a.mean((2, 3)),
    "mean of channels": lambda a: a.mean(1, keepdim=True),
    "sum": lambda a: a.sum(2),
    "branches added": lambda a: F.conv2d(a, fixed(4, 4, 1, 1)) + a.relu(),
    "branches added with a factor": lambda a: torch.add(a, a.relu(), alpha=3),
    "branches subtracted": lambda a: a.relu() - a.roll(1, 2),
    "branches of different shape": lambda a: a + a.mean((2, 3), keepdim=True),
    "added to itself": lambda a: a + a,
    "relu in one of two branches": lambda a: a.relu() * 3 + a,
    "cat": lambda a: torch.cat([a, a.relu()], 1),
    "cat of rows": lambda a: torch.cat([a, a.relu(), a], -2),
    "stack": lambda a: torch.stack([a, a.relu()], 1),
    "multiplied by a number": lambda a: a * 3,
    "multiplied by a constant": lambda a: fixed(4, 1, 1) * a,
    "multiplied and broadcast": lambda a: a.mean((2, 3), keepdim=True) * fixed(1, 4, 5, 5),
    "divided by a constant": lambda a: a / (2 + fixed(4, 1, 1).abs()),
    "divided and broadcast": lambda a: a.mean((2, 3)) / (2 + fixed(1, 3, 4).abs()),
    "negated": lambda a: -a,
    "slice": lambda a: a[:, 1:3, ::2, -3:],
    "select": lambda a: a[:, :, 2],
    "index": lambda a: a[:, torch.tensor([3, 0, 0])],
    "index of pixels": lambda a: a[:, :, torch.tensor([[0], [2]]), torch.tensor([1, 5])],
    "index_select": lambda a: a.index_select(2, torch.tensor([5, 1, 1])),
    "gather": lambda a: a.gather(1, torch.tensor([3, 0]).view(1, 2, 1, 1).expand(1, 2, 6, 6)),
    "where": lambda a: torch.where(fixed(6, 6) > 0, a, torch.zeros(6, 6).double()),
    "masked_fill": lambda a: a.masked_fill(fixed(6, 6) > 0, 0.0),
    "roll": lambda a: a.roll((2, -1), (2, 3)),
    "flip": lambda a: a.flip(3),
    "expand": lambda a: a.mean(1, keepdim=True).expand(-1, 3, -1, -1),
    "repeat": lambda a: a.repeat(1, 2, 1, 1),
    "pad": lambda a: F.pad(a, (1, 2, 0, 1)),
    "pad, reflected": lambda a: F.pad(a, (1, 2, 0, 1), mode="reflect"),
    "crop by negative pad": lambda a: F.pad(a, (-1, -1)),
    "split": lambda a: a.split([1, 3], 1)[1],
    "chunk": lambda a: torch.cat(a.chunk(2, 2)[::-1], 2),
    "unbind": lambda a: a.unbind(2)[1],
    "unfold": lambda a: a.unfold(2, 3, 2),
    "windows": lambda a: a.view(1, 4, 2, 3, 2, 3).permute(0, 2, 4, 3, 5, 1).reshape(4, 9, 4).mean(1).view(1, -1),
    "pixel_shuffle": lambda a: F.pixel_shuffle(a, 2),
    "pixel_unshuffle": lambda a: F.pixel_unshuffle(a, 3),
    "nearest": lambda a: F.interpolate(a, scale_factor=2),
    "bilinear": lambda a: F.interpolate(a, size=(4, 9), mode="bilinear"),
    "bicubic": lambda a: F.interpolate(a, size=(4, 9), mode="bicubic"),
    "relu": lambda a: a.relu(),
    "leaky relu": lambda a: F.leaky_relu(a, 0.2),
    "dropout": lambda a: F.dropout(a, 0.5, training=False),
    "conv3d": lambda a: F.conv3d(a[:, None], fixed(2, 1, 2, 3, 3), padding=(0, 1, 1)),
    "transposed conv": lambda a: F.conv_transpose2d(a, fixed(4, 3, 3, 2), stride=2, padding=1, output_padding=1),
    "transposed conv grouped": lambda a: F.conv_transpose2d(a, fixed(4, 1, 2, 2), groups=2),
    "largest": lambda a: a.amax((1, 3)),
    "smallest": lambda a: a.amin(2, keepdim=True),
    "largest along a dimension": lambda a: a.max(2).values,
    "smallest along a dimension": lambda a: a.min(3, keepdim=True).values,
    "maximum": lambda a: torch.maximum(a, a.roll(1, 1)),
    "minimum": lambda a: torch.minimum(a, a.mean(1, keepdim=True)),
    "top three": lambda a: a.flatten(2).topk(3, -1).values,
    "sorted": lambda a: a.sort(2).values,
    "adaptive max pool": lambda a: F.adaptive_max_pool2d(a, (4, 5)),
    "max pool with indices": lambda a: F.max_pool2d(a, 3, 2, 1, return_indices=True)[0],
    "max pool of volumes": lambda a: F.max_pool3d(a[:, None], 2, 1),
    "absolute": torch.abs,
    "prelu": lambda a: F.prelu(a, fixed(4)),
    "einsum": lambda a: torch.einsum("nchw,cd->nhdw", a, fixed(4, 3)),
    "addcmul": lambda a: torch.addcmul(a, a.roll(1, 2), fixed(4, 1, 1), value=0.5),
    "type_as": lambda a: a.relu().type_as(fixed(4)),
    "fold": lambda a: F.fold(F.unfold(a, 3, stride=2), 6, 3, stride=2),
    "repeat_interleave": lambda a: a.repeat_interleave(2, 1),
    "channel shuffle": lambda a: F.channel_shuffle(a, 2),
    "nearest-exact": lambda a: F.interpolate(a, size=(4, 9), mode="nearest-exact"),
    "antialiased": lambda a: F.interpolate(a, size=(4, 3), mode="bilinear", antialias=True),
    "grid sample": lambda a: F.grid_sample(a, GRID, align_corners=False),
    "squeezed": lambda a: a[:, :1].squeeze(1).unsqueeze(2).flatten(1, 2),
}
CASES = {name: Case(function) for name, function in LINEAR.items()} | {
    "added constant": Case(lambda a: a + fixed(4, 1, 1), absorbs=True),
    "subtracted from a constant": Case(lambda a: fixed(4, 1, 1) - a, absorbs=True),
    "position embedding": Case(lambda a: a.flatten(2).mT + fixed(1, 36, 4), absorbs=True),
    "class token": Case(lambda a: torch.cat([fixed(1, 1, 4), a.flatten(2).mT], 1), absorbs=True),
    "conv with bias": Case(lambda a: F.conv2d(a, fixed(3, 4, 3, 3), fixed(3)), absorbs=True),
    "batch norm, unfolded": Case(batch_norm, absorbs=True),
    "gelu": activation(F.gelu),
    "gelu tanh": activation(lambda a: F.gelu(a, approximate="tanh")),
    "silu": activation(F.silu),
    "hardswish": activation(F.hardswish),
    "relu6": activation(F.relu6),
    "elu": activation(F.elu),
    "mish": activation(F.mish),
    "tanh": activation(torch.tanh),
    "square": activation(torch.square),
    "power": activation(lambda a: a**3),
    "product": Case(lambda a: a * a.roll(1, 3), lambda a: half_each(torch.mul, a, a.roll(1, 3))),
    "product, broadcast": Case(
        lambda a: a * a.mean((2, 3), keepdim=True), lambda a: half_each(torch.mul, a, a.mean((2, 3), keepdim=True))
    ),
    "product with itself": Case(lambda a: a * a, lambda a: half_each(torch.mul, a, a)),
    "matmul": Case(lambda a: a @ a.roll(1, 1), lambda a: half_each(torch.matmul, a, a.roll(1, 1))),
    "matmul with itself": Case(lambda a: a @ a, lambda a: half_each(torch.matmul, a, a)),
    "gate by sigmoid": gate(torch.sigmoid),
    "gate by hardsigmoid": gate(F.hardsigmoid),
    "layer norm": Case(lambda a: layer_norm(a, fixed(4), None, False), lambda a: layer_norm(a, fixed(4), None, True)),
    "layer norm, plain": Case(lambda a: layer_norm(a, None, None, False), lambda a: layer_norm(a, None, None, True)),
    "layer norm with bias": Case(
        lambda a: layer_norm(a, fixed(4), fixed(4), False), lambda a: layer_norm(a, fixed(4), fixed(4), True), True
    ),
    "layer norm of an image": Case(
        lambda a: F.layer_norm(a, (4, 6, 6)),
        lambda a: (a - a.mean()) / (a.var(correction=0) + 1e-5).sqrt().detach(),
    ),
    "root mean square norm": Case(
        lambda a: a * torch.rsqrt(a.square().mean(1, keepdim=True) + 1e-3),
        lambda a: a * torch.rsqrt(a.square().mean(1, keepdim=True) + 1e-3).detach(),
    ),
    "group norm": Case(lambda a: group_norm(a, False), lambda a: group_norm(a, True)),
    "group norm of tokens": Case(lambda a: group_norm(a.flatten(2), False), lambda a: group_norm(a, True).flatten(2)),
    "unit length": Case(
        lambda a: F.normalize(a.flatten(1)), lambda a: a.flatten(1) / a.flatten(1).norm(dim=1, keepdim=True).detach()
    ),
    "divided by a norm": Case(
        lambda a: a / a.norm(dim=1, keepdim=True), lambda a: a / a.norm(dim=1, keepdim=True).detach()
    ),
    "subtracted from a number": Case(lambda a: 1 - a, absorbs=True),
    "constant maximum": Case(lambda a: torch.maximum(a, fixed(4, 1, 1)), absorbs=True),
    "written in place": Case(written_in_place, written_apart),
    "instance norm": Case(lambda a: instance_norm(a, False), lambda a: instance_norm(a, True)),
    "rms_norm": Case(
        lambda a: F.rms_norm(a.flatten(2).mT, (4,), fixed(4), 1e-3),
        lambda a: (
            a.flatten(2).mT * (a.flatten(2).mT.square().mean(-1, keepdim=True) + 1e-3).rsqrt().detach() * fixed(4)
        ),
    ),
    "divided by a deviation": Case(lambda a: a / a.std(1, keepdim=True), lambda a: a / a.std(1, keepdim=True).detach()),
    "variance and mean": Case(
        lambda a: torch.cat(torch.var_mean(a, 1), 1), lambda a: torch.cat([a.var(1).detach(), a.mean(1)], 1), True
    ),
    "glu": Case(lambda a: F.glu(a, 1), lambda a: a[:, :2] * a[:, 2:].sigmoid().detach()),
    "softplus": Case(
        F.softplus, lambda a: math.log(2) + a * ((F.softplus(a) - math.log(2)) / a).detach(), absorbs=True
    ),
    "hardswish by hand": activation(lambda a: a * F.relu6(a + 3) / 6),
    "silu by hand": activation(lambda a: a * a.sigmoid()),
    "gelu by hand": activation(lambda a: 0.5 * a * (1 + torch.erf(a / 2**0.5))),
    "gelu tanh by hand": activation(lambda a: 0.5 * a * (1 + torch.tanh(0.79788456 * (a + 0.044715 * a**3)))),
    "sdpa of grouped queries": Case(lambda a: grouped_queries(a, False), lambda a: grouped_queries(a, True)),
    "sdpa": Case(sdpa(), lambda a: explicit_attention(a, True)),
    "sdpa, scaled": Case(sdpa(scale=0.3), lambda a: explicit_attention(a, True, scale=0.3)),
    "sdpa, masked": Case(sdpa(attn_mask=SEEN), lambda a: explicit_attention(a, True, UNSEEN)),
    "sdpa, biased": Case(sdpa(attn_mask=fixed(36, 36)), lambda a: explicit_attention(a, True, fixed(36, 36))),
    "sdpa, causal": Case(sdpa(is_causal=True), lambda a: explicit_attention(a, True, CAUSAL)),
    "sdpa by attnlrp": Case(sdpa(), attnlrp_twin, True, ATTNLRP),
    "softmax and matmul": Case(matmul_attention, lambda a: explicit_attention(a, True)),
    "softmax and matmul by attnlrp": Case(matmul_attention, attnlrp_twin, True, ATTNLRP),
    "softmax alone by attnlrp": Case(lambda a: a.softmax(1), lambda a: a.softmax(1), True, ATTNLRP),
}

RULES: dict[str, Rule] = {
    "epsilon": Epsilon(),
    "epsilon, bias out": Epsilon(bias=False),
    "z-plus": ZPlus(),
    "alpha-beta": AlphaBeta(),
    "gamma": Gamma(),
    "pass": Pass(),
}
FIRST_RULES: dict[str, Rule] = {
    "flat": Flat(),
    "w-square": WSquare(),
    "z-box": ZBox(),
    "w-square, bias": WSquare(bias=True),
}


@cache
def traced(name: str) -> Graph:
    network = Network(CASES[name].function)
    network(normal(SHAPE, 0))  # its constants exist from now on
    return trace(network, normal(SHAPE, 0))


@cache
def jacobian_of_twin(name: str, seed: int) -> tuple[Tensor, Tensor]:
    """The twin's value and its Jacobian (D, C, H, W)."""
    case, x = CASES[name], normal(SHAPE, seed)
    twin = Network(case.twin or case.function)
    return twin(x)[0], torch.autograd.functional.jacobian(lambda image: twin(image)[0], x)[:, 0]


def assert_adjoint(mapped: RelevanceMap, seed: int) -> None:
    """``<r / y, push(t)> = <pull(r), t's pixels>`` for random segments, and for any tensors in place of ``t``."""
    y, x = mapped.output, mapped.x
    relevance = normal(tuple(y.shape), seed)
    labels = torch.randint(0, 3, x.shape[2:], generator=torch.Generator().manual_seed(seed))
    labels.view(-1)[:3] = torch.arange(3)
    pulled = mapped.pull(relevance).sum((0, 1))
    with torch.no_grad():
        seed_of_pull = torch.where(y == 0, 0, relevance / y)[0]
        pushed = torch.stack(
            [
                mapped._programs[0].apply((x * at)[None], at.expand(x.shape)[None])[0, 0]
                for at in ((labels == label).to(x) for label in range(3))
            ]
        )
        torch.testing.assert_close(mapped.push(segments(labels)), pushed, rtol=1e-9, atol=1e-9)
    by_segment = torch.stack([pulled[labels == label].sum() for label in range(3)])
    size = (pushed * seed_of_pull).abs().sum() + 1e-300
    assert float((pushed @ seed_of_pull - by_segment).abs().max() / size) < 1e-10
    t, indicators = normal((1, *x.shape), seed + 1), normal((1, *x.shape), seed + 2)
    with torch.no_grad():
        forward = mapped._programs[0].apply(t, indicators)[0]
    values, of_indicators = mapped._transposed(mapped._programs[0], relevance[None])
    forward, backward = (relevance * forward), (values * t + of_indicators * indicators)
    assert abs(float(forward.sum() - backward.sum())) < 1e-10 * float(forward.abs().sum() + backward.abs().sum())


def assert_linear(mapped: RelevanceMap, seed: int) -> None:
    shape = (1, *mapped.x.shape)
    (t, i), (u, j) = ((normal(shape, seed + k), normal(shape, seed + k + 1)) for k in (0, 2))
    with torch.no_grad():
        apart = [mapped._programs[0].apply(*pair) for pair in ((t, i), (u, j))]
        together = mapped._programs[0].apply(2 * t - 3 * u, 2 * i - 3 * j)
    expected = 2 * apart[0] - 3 * apart[1]
    torch.testing.assert_close(together, expected, rtol=1e-9, atol=1e-9 * float(expected.abs().max()))


@pytest.mark.parametrize("name", CASES)
@few
@given(seed=seeds)
def test_adjoint_and_linear(name: str, seed: int) -> None:
    mapped = relevance_map(traced(name), normal(SHAPE, seed), CASES[name].composite)
    assert_adjoint(mapped, seed)
    assert_linear(mapped, seed)


@pytest.mark.parametrize("name", CASES)
def test_push_is_the_derivative_of_the_frozen_twin(name: str) -> None:
    value, jacobian = jacobian_of_twin(name, 7)
    mapped = relevance_map(traced(name), normal(SHAPE, 7), CASES[name].composite)
    torch.testing.assert_close(mapped.output[0], value, rtol=1e-9, atol=1e-9)
    t = normal((3, *SHAPE), 8)
    with torch.no_grad():
        pushed = mapped._programs[0].apply(t, torch.ones_like(t))[:, 0]
    torch.testing.assert_close(pushed, torch.einsum("dchw,knchw->kd", jacobian, t), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case.absorbs])
def test_relevance_is_conserved_where_nothing_is_constant(name: str) -> None:
    mapped = relevance_map(traced(name), normal(SHAPE, 9), CASES[name].composite)
    with torch.no_grad():
        total = mapped._programs[0].apply(mapped.x[None], torch.ones_like(mapped.x)[None])[0]
    torch.testing.assert_close(total, mapped.output, rtol=1e-8, atol=1e-8)


class Residual(nn.Module):
    """Convolutions with biases around a residual block: each rule is used on inputs of mixed sign and after a relu."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.stem, self.block = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.signed, self.head = nn.Conv2d(4, 4, 1), nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        a = self.stem(x)
        a = a + self.block(a.relu())
        return self.head((a + self.signed(a)).mean((2, 3)))


@cache
def residual() -> Graph:
    return trace(Residual().double(), torch.zeros(SHAPE).double())


@pytest.mark.parametrize("name", [*RULES, *FIRST_RULES])
@few
@given(seed=seeds)
def test_every_rule_is_adjoint_and_linear(name: str, seed: int) -> None:
    first, inner = FIRST_RULES.get(name, Epsilon()), RULES.get(name, ZPlus())
    rows = (Row(first, position="first"), Row(inner, path="signed"), Row(inner, path="block"), Row(Epsilon()))
    mapped = relevance_map(residual(), normal(SHAPE, seed), Composite(name, rows))
    assert_adjoint(mapped, seed)
    assert_linear(mapped, seed)


@few
@given(seed=seeds)
def test_adjoint_in_single_precision(seed: int) -> None:
    graph = trace(Residual(), torch.zeros(SHAPE))
    mapped = relevance_map(graph, normal(SHAPE, seed, torch.float32))
    relevance = normal((1, 5), seed, torch.float32) * mapped.output
    table = mapped.push(segments(torch.arange(36).view(6, 6)))
    pushed = table.double() @ torch.where(mapped.output == 0, 0, relevance / mapped.output)[0].double()
    pulled = mapped.pull(relevance).double().sum((0, 1)).flatten()
    assert float((pushed - pulled).norm() / pulled.norm()) < 1e-5
