"""What an operation does to components: a `Push`; and what a handler knows to make one: a `Site`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from chinspect.relevance._graph import Operation, Ref

Axis = tuple[int, int, int, int]  # kernel, stride, padding, dilation along one axis of the image
Window = tuple[Axis, Axis]
Size = int | list[int] | tuple[int, ...]


def as_list(dims: int | Sequence[int] | None) -> list[int]:
    """Dimensions as operations take them; none where all are meant."""
    if dims is None:
        return []
    return [dims] if isinstance(dims, int) else list(dims)


def pair(value: Size) -> list[int]:
    """A size for both axes: ATen writes ``3``, ``[3]`` or ``[3, 3]``."""
    values = list(value) if isinstance(value, (list, tuple)) else [value]
    return values * 2 if len(values) == 1 else values


def window(kernel: Size, stride: Size = 1, padding: Size = 0, dilation: Size = 1) -> Window:
    """The reach of a sliding window down and across."""
    vertical, horizontal = zip(*map(pair, (kernel, stride, padding, dilation)), strict=True)
    return vertical, horizontal


def images(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """A function of images (N, C, H, W) for components (K, N, C, H, W): in four dimensions memory formats last."""
    return lambda t: function(t.flatten(0, 1)).unflatten(0, t.shape[:2])


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
        mixes: dimensions of the value along which outputs see all inputs, beside the window.
        permutation: for each dimension of the value the one that it was, where the function moves dimensions only.
        macs: multiply-accumulate operations for one component.
    """

    reads: tuple[str, ...]
    function: Callable[..., Any] | None = None
    scale: Tensor | None = None
    fresh: bool = False
    moves: bool = False
    window: Window | None = None
    mixes: tuple[int, ...] = ()
    permutation: tuple[int, ...] | None = None
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
        reference, reference_output: the values and the output at the reference, in a reference map.
    """

    operation: Operation
    values: dict[str, Any]
    carriers: frozenset[str]
    output: Any
    attention: str
    reference: dict[str, Any] = field(default_factory=dict)
    reference_output: Any = None

    def at_reference(self) -> Site:
        """The operation at the activations of the reference."""
        return replace(self, values=self.reference, output=self.reference_output)

    def middle(self) -> Site:
        """The operation half-way between both: where a product is split."""
        values = {name: _middle(value, self.reference[name]) for name, value in self.values.items()}
        return replace(self, values=values)

    def both(self, position: int) -> tuple[Any, Any]:
        """An argument at the image and at the reference."""
        return self.argument(position), self.at_reference().argument(position)

    def argument(self, position: int, default: Any = None, name: str = "") -> Any:
        """The value of an argument, by its position or, where the call names it, by its name."""
        args, kwargs = self.operation.arguments(self.values)
        return args[position] if position < len(args) else kwargs.get(name, default)

    def carries(self, position: int, name: str = "") -> bool:
        """Whether an argument has components, by its position or, where the call names it, by its name."""
        return self.carrier(position, name) is not None

    def carrier(self, position: int, name: str = "") -> str | None:
        """The name of the value that is an argument, if it has components."""
        args = self.operation.args
        value = args[position] if position < len(args) else self.operation.kwargs.get(name)
        return value.name if isinstance(value, Ref) and value.name in self.carriers else None

    @property
    def carried(self) -> tuple[str, ...]:
        """Names of the arguments that have components."""
        return tuple(name for name in self.operation.reads if name in self.carriers)

    @property
    def squares(self) -> bool:
        """Whether the operation takes one value as both its arguments."""
        return self.operation.args[0] == self.operation.args[1]

    @property
    def broadcasts(self) -> bool:
        """Whether an argument that has components is not shaped like the output."""
        return any(self.values[name].shape != self.output.shape for name in self.carried)

    def same_window(self) -> Window | None:
        """A window of one pixel if the carried arguments are images of the output's size, else None."""
        shapes = [self.values[name].shape for name in self.carried]
        image = self.output.ndim == 4 and all(len(s) == 4 and s[2:] == self.output.shape[2:] for s in shapes)
        return window(1) if image else None

    def scaled(self, scale: Tensor | None = None) -> Push:
        """The push of an operation that does no more than multiply each entry."""
        return Push(self.carried, scale=scale, window=self.same_window())

    def call(self, *components: Tensor) -> Any:
        """The operation, with components in place of the arguments that have any."""
        args, kwargs = self.operation.arguments(self.values | dict(zip(self.carried, components, strict=True)))
        return self.operation.target(*args, **kwargs)

    def each(self) -> Callable[..., Any]:
        """The operation on one component after the other."""
        return torch.vmap(self.call)


def _middle(value: Any, reference: Any) -> Any:
    if value is reference or not isinstance(value, Tensor):
        return value
    if value.dtype == torch.bool:  # of a comparison
        return (value.float() + reference.float()) / 2
    return (value + reference) / 2 if value.is_floating_point() else value
