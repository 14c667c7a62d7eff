"""How each operation pushes components, its activations being known.

An operation that reads components either carries them on (a `Push`), or *freezes*: its value is taken as it is, and
what it multiplies keeps all the relevance. Convolutions and linear layers are not here: they have rules.

A new operation is a function from its `Site` to a `Push` (or None to freeze), registered under its ATen name:

    @handles("my_op")
    def _my_op(site): return Push(site.carried, scale=...)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from chinspect.relevance._graph import Operation, Ref, affine

Axis = tuple[int, int, int, int]  # kernel, stride, padding, dilation along one axis of the image
Window = tuple[Axis, Axis]
SAME: Window = ((1, 1, 0, 1), (1, 1, 0, 1))


@dataclass(frozen=True)
class Push:
    """What an operation does to components, which have one more dimension (K, ...) than the values.

    Attributes:
        reads: names of the values whose components ``function`` takes, in its order.
        function: linear in all its arguments together; None is the identity of one argument.
        scale: what the result is multiplied by.
        fresh: whether the result is a tensor of its own, which may be scaled in place.
        moves: whether the function only moves and averages entries, so that indicators of pixels may follow.
        window: the reach of an output pixel, where outputs and inputs are images (N, C, H, W); None is everywhere.
        macs: multiply-accumulate operations for one component.
    """

    reads: tuple[str, ...]
    function: Callable[..., Any] | None = None
    scale: Tensor | None = None
    fresh: bool = False
    moves: bool = False
    window: Window | None = None
    macs: int = 0

    def __call__(self, *components: Any) -> Any:
        result = components[0] if self.function is None else self.function(*components)
        if self.scale is None:
            return result
        return result.mul_(self.scale) if self.fresh else result * self.scale

    def scaled(self, factor: Tensor) -> Push:
        """The push followed by a multiplication."""
        return replace(self, scale=factor if self.scale is None else self.scale * factor)


@dataclass(frozen=True)
class Site:
    """An operation at its activations.

    Attributes:
        values: of all that the operation reads.
        carriers: names of the values that have components.
        output: the operation's own value.
        attention: see `Composite`.
    """

    operation: Operation
    values: dict[str, Any]
    carriers: frozenset[str]
    output: Any
    attention: str

    def argument(self, position: int, default: Any = None) -> Any:
        """The value of a positional argument."""
        args, _ = self.operation.arguments(self.values)
        return args[position] if position < len(args) else default

    def carries(self, position: int) -> bool:
        """Whether a positional argument has components."""
        args = self.operation.args
        return position < len(args) and isinstance(args[position], Ref) and args[position].name in self.carriers

    @property
    def carried(self) -> tuple[str, ...]:
        """Names of the arguments that have components."""
        return tuple(name for name in self.operation.reads if name in self.carriers)

    def same_window(self) -> Window | None:
        """`SAME` if the carried arguments are images of the output's size, else None."""
        shapes = [self.values[name].shape for name in self.carried]
        image = self.output.ndim == 4 and all(len(s) == 4 and s[2:] == self.output.shape[2:] for s in shapes)
        return SAME if image else None

    def each(self, fixed: dict[str, Any]) -> Callable[..., Any]:
        """The operation on one component after the other, with ``fixed`` for what has none."""
        operation, carried = self.operation, self.carried

        def call(*components: Tensor) -> Any:
            args, kwargs = operation.arguments({**fixed, **dict(zip(carried, components, strict=True))})
            return operation.target(*args, **kwargs)

        return torch.vmap(call)


Handler = Callable[[Site], Push | None]
HANDLERS: dict[str, Handler] = {}
Registered = TypeVar("Registered", bound=Handler)


def handles(*names: str) -> Callable[[Registered], Registered]:
    """Registers the decorated function as the handler of the named operations (``aten.relu.default`` is ``relu``)."""

    def register(handler: Registered) -> Registered:
        HANDLERS.update(dict.fromkeys(names, handler))
        return handler

    return register


@handles("clone", "contiguous", "alias", "detach", "dropout", "feature_dropout", "lift_fresh_copy", "identity")
def _identity(site: Site) -> Push:
    return Push(site.carried, window=site.same_window())


@handles("permute", "transpose", "t", "movedim", "flatten", "unflatten", "squeeze", "unsqueeze", "expand", "repeat")
@handles("select", "slice", "index", "index_select", "gather", "where", "roll", "flip", "stack", "_to_copy", "to")
@handles("split", "split_with_sizes", "chunk", "unbind", "unfold", "im2col", "pixel_shuffle", "pixel_unshuffle")
@handles("mean", "sum", "avg_pool1d", "adaptive_avg_pool1d")
@handles("upsample_nearest2d", "upsample_bilinear2d", "upsample_bicubic2d")
def _linear(site: Site) -> Push:
    """Linear without parameters: as it is, with zeros for numbers that carry nothing."""
    fixed = {
        name: torch.zeros_like(value) if isinstance(value, Tensor) and value.is_floating_point() else value
        for name, value in site.values.items()
    }
    return Push(site.carried, site.each(fixed), moves=True)


@handles("view", "_unsafe_view", "reshape")
def _view(site: Site) -> Push:
    shape = site.output.shape
    return Push(site.carried, lambda t: t.reshape(len(t), *shape), moves=True)


@handles("getitem")
def _getitem(site: Site) -> Push:
    index = site.operation.args[1]
    return Push(site.carried, lambda parts: parts[index], moves=True)


@handles("neg")
def _neg(site: Site) -> Push:
    return Push(site.carried, scale=torch.full_like(site.output[:1], -1), window=site.same_window())


@handles("cat")
def _cat(site: Site) -> Push:
    dim = site.argument(1, 0)
    along_channels = site.output.ndim == 4 and dim % 4 == 1
    return replace(_linear(site), fresh=True, window=site.same_window() if along_channels else None)


@handles("pad", "constant_pad_nd")
def _pad(site: Site) -> Push:
    widths, mode = site.argument(1), site.operation.args[2] if len(site.operation.args) > 2 else "constant"
    if mode != "constant":
        return _linear(site)
    return Push(site.carried, lambda t: F.pad(t, widths), fresh=True, moves=True)


@handles("masked_fill")
def _masked_fill(site: Site) -> Push:
    return Push(site.carried, scale=(~site.argument(1)).to(site.output))


@handles("add", "sub")
def _add(site: Site) -> Push:
    """A sum of components; a constant summand is a bias, and absorbs its share of the relevance."""
    alpha = site.operation.kwargs.get("alpha", 1) * (-1 if "sub" in str(site.operation.target) else 1)
    if any(site.values[name].shape != site.output.shape for name in site.carried):
        return _linear(site)
    if len(site.carried) == 2:
        return Push(site.carried, lambda a, b: torch.add(a, b, alpha=alpha), fresh=True, window=site.same_window())
    if site.operation.args[0] == site.operation.args[1]:
        alpha = 1 + alpha
    elif site.carries(0):
        alpha = 1
    return Push(
        site.carried, scale=torch.full_like(site.output[:1], alpha) if alpha != 1 else None, window=site.same_window()
    )


@handles("mul")
def _mul(site: Site) -> Push:
    """A product with something frozen scales; of a product of two carriers each carries half."""
    if len(site.carried) == 2 or any(site.values[name].shape != site.output.shape for name in site.carried):
        return _product(site)
    factor = site.argument(0 if site.carries(1) else 1)
    return Push(site.carried, scale=torch.as_tensor(factor).to(site.output), window=site.same_window())


@handles("div")
def _div(site: Site) -> Push | None:
    """The numerator carries; a denominator is frozen."""
    if not site.carries(0):
        return None
    numerator, factor = (site.operation.args[0].name,), 1 / torch.as_tensor(site.argument(1)).to(site.output)
    if site.argument(0).shape != site.output.shape:

        def broadcast(t: Tensor) -> Tensor:
            return t * factor

        return Push(numerator, torch.vmap(broadcast), fresh=True)
    return Push(numerator, scale=factor, window=site.same_window())


@handles("matmul", "mm", "bmm")
def _product(site: Site) -> Push:
    """Bilinear: with one carrier linear in it, of two carriers each carries half of the relevance."""
    if site.operation.args[0] == site.operation.args[1]:
        x, product = site.argument(0), site.operation.target

        def square(t: Tensor) -> Tensor:
            return (product(t, x) + product(x, t)) / 2

        return Push(site.carried, torch.vmap(square), fresh=True)
    if len(site.carried) == 1:
        return Push(site.carried, site.each(site.values), fresh=True)
    left, right = site.carried
    on_left = replace(site, carriers=frozenset({left})).each(site.values)
    on_right = replace(site, carriers=frozenset({right})).each(site.values)
    return Push(site.carried, lambda a, b: (on_left(a) + on_right(b)) / 2, fresh=True)


@handles("relu", "relu6", "gelu", "silu", "hardswish", "leaky_relu", "elu", "celu", "selu", "mish", "tanh", "hardtanh")
@handles("square", "pow", "clamp", "clamp_min")
def _activation(site: Site) -> Push:
    """Element by element, and zero at zero: the component's share of the input is its share of the output."""
    x = site.argument(0)
    return Push(site.carried, scale=torch.where(x == 0, 0, site.output / x), window=site.same_window())


@handles("sigmoid", "hardsigmoid", "exp", "rsqrt", "sqrt", "reciprocal", "linalg_vector_norm")
@handles(
    "eq", "ne", "gt", "lt", "ge", "le", "zeros_like", "ones_like", "full_like", "new_zeros", "new_ones", "new_full"
)
def _frozen(site: Site) -> None:  # noqa: ARG001
    """Gates, norms, and what depends on the input's shape only."""
    return


@handles("affine")
def _affine(site: Site) -> Push:
    """A batch norm that no convolution took up: its shift is a bias."""
    scale = site.argument(1)
    return Push(
        site.carried,
        scale=affine(torch.ones_like(site.output[:1]), scale, torch.zeros_like(scale)),
        window=site.same_window(),
    )
