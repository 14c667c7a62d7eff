"""From a graph and images to the steps that push components: activations are computed once and fixed here."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any

import torch
from torch import Tensor

from chinspect.errors import InputError
from chinspect.relevance import _attention  # noqa: F401, registers its operations
from chinspect.relevance._graph import Graph, Operation, Ref
from chinspect.relevance._layer import Layer, contributions
from chinspect.relevance._operations import HANDLERS, Push, Site, Window
from chinspect.relevance._pooling import pair
from chinspect.relevance.composites import Composite
from chinspect.relevance.rules import Term

_CONVOLUTIONS, _PRODUCTS = ("conv1d", "conv2d"), ("matmul", "mm", "addmm")
_CONVOLUTION_DEFAULTS = ((3, 1), (4, 0), (5, 1), (6, 1))


@dataclass(frozen=True)
class Step:
    """One push, and the shape (N, ...) of the value whose components it makes (empty for several values)."""

    name: str
    push: Push
    shape: torch.Size


def indicator(name: str) -> str:
    """The name under which the indicator of a component's pixels travels, beside the component ``name``."""
    return f"{name}@indicator"


def build(graph: Graph, x: Tensor, composite: Composite) -> tuple[Tensor, list[Step], str]:
    """Runs the graph on ``x``.

    Returns:
        the embeddings, the steps that lead components from the graph's source to its sink, and the last step's name.

    Raises:
        InputError: an operation has no rule, or nothing of the image carries relevance to the output.
    """
    state = _Builder(graph, composite, {**graph.constants, graph.source: x})
    for operation in graph.operations:
        state.add(operation)
    if graph.sink not in state.carriers:
        raise InputError(f"composite {composite.name!r} lets no relevance pass from the output to the image.")
    sink = state.alias.get(graph.sink, graph.sink)
    return state.values[graph.sink], _needed(state.steps, sink), sink


def _needed(steps: dict[str, Step], sink: str) -> list[Step]:
    needed, kept = {sink}, []
    for name, step in reversed(steps.items()):
        if name in needed:
            needed.update(step.push.reads)
            kept.append(step)
    return kept[::-1]


@dataclass
class _Builder:
    """What is known while the graph is walked.

    Attributes:
        values: of the operations so far that are still read.
        dependent: names of the values that depend on the image; of those,
        carriers: that have components, and
        raw: that are the image itself, moved and scaled, which the first layers read.
        covered: for each raw value what the indicators of all pixels sum to (1, *shape).
        alias: the step that makes the components of a value, where it has another name.
    """

    graph: Graph
    composite: Composite
    values: dict[str, Any]
    steps: dict[str, Step] = field(default_factory=dict)
    alias: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        source = self.graph.source
        self.dependent, self.carriers, self.raw = {source}, {source}, {source}
        self.readers = Counter(name for operation in self.graph.operations for name in operation.reads)
        self.readers.update(indicator(name) for name in list(self.readers))
        self.private: set[str] = set()
        self.covered: dict[str, Any] = {source: torch.ones_like(self.values[source])[None]}

    def add(self, operation: Operation) -> None:
        """Computes the operation's value, and the step that pushes its components."""
        args, kwargs = operation.arguments(self.values)
        output = self.values[operation.name] = operation.target(*args, **kwargs)
        if not self.dependent.isdisjoint(operation.reads):
            self.dependent.add(operation.name)
        if not self.carriers.isdisjoint(operation.reads):
            layer = self._layer(operation, args, output)
            push = self._other(operation, output) if layer is None else self._ruled(operation, layer)
            if push is not None:
                self._record(operation, push, output)
        for name in self.graph.last_reads[operation.name]:
            del self.values[name]

    def _layer(self, operation: Operation, args: tuple[Any, ...], output: Any) -> Layer | None:
        """The operation as a layer with a weight, or None."""
        kind = operation_name(operation)
        if kind in _CONVOLUTIONS:
            return _convolution(operation, args, output)
        if kind == "linear":
            bias = args[2] if len(args) > 2 else None
            return Layer(torch.nn.functional.linear, args[0], args[1], bias, output)
        if kind not in _PRODUCTS:
            return None
        (left, right), bias = args[-2:], args[0] if kind == "addmm" else None
        names = [ref.name for ref in operation.args[-2:]]
        if names[1] not in self.dependent:
            return Layer(torch.matmul, left, right, bias, output)
        if names[0] not in self.dependent:
            return Layer(lambda t, weight: weight @ t, right, left, bias, output)
        return None

    def _ruled(self, operation: Operation, layer: Layer) -> Push | None:
        ref = next(ref for ref in operation.args if isinstance(ref, Ref) and ref.name in self.dependent)
        if ref.name not in self.carriers:
            return None
        first = ref.name in self.raw
        rule = self.composite.rule(layer_kind(operation, layer.weight), operation.path, first)
        terms = rule.terms(replace(layer, covered=self.covered[ref.name][0]) if first else layer)
        uses = {part.indicator for term in terms for part in term.parts}
        if True in uses and not first:
            raise InputError(
                f"rule {type(rule).__name__} shares relevance among pixels and {operation.path!r} does not read them: "
                "give its row position='first'."
            )
        reads = tuple(indicator(ref.name) if use else ref.name for use in sorted(uses))
        return _layer_push(operation, layer, terms, reads) if terms else None

    def _other(self, operation: Operation, output: Any) -> Push | None:
        handler = HANDLERS.get(operation_name(operation))
        if handler is None:
            raise InputError(
                f"operation {operation.target} in module {operation.path!r} ({operation.module_type}) has no rule: "
                "register one with chinspect.relevance.handles."
            )
        values = {name: self.values[name] for name in operation.reads}
        return handler(Site(operation, values, frozenset(self.carriers), output, self.composite.attention))

    def _record(self, operation: Operation, push: Push, output: Any) -> None:
        name, carried = operation.name, [read for read in operation.reads if read in self.carriers]
        follows = operation_name(operation) in HANDLERS and (push.moves or push.function is None)
        if follows and self.raw.issuperset(carried):
            self.raw.add(name)
            moved = replace(push, scale=None)
            self.covered[name] = moved(*(self.covered[read] for read in push.reads))
            self._put(indicator(name), replace(moved, reads=tuple(map(indicator, push.reads))), output)
        self.carriers.add(name)
        self._put(name, push, output)

    def _put(self, name: str, push: Push, output: Any) -> None:
        """A step of its own, or, where the push only scales what nothing else reads, a part of the step before."""
        read = self.alias.get(push.reads[0], push.reads[0])
        private = push.reads[0] in self.private
        if push.function is None and push.scale is None:
            self.alias[name] = read
        elif (
            push.function is None
            and push.scale is not None
            and private
            and read in self.steps
            and self.steps[read].push.fresh
        ):
            before = self.steps[read]
            self.steps[read] = replace(before, push=before.push.scaled(push.scale))
            self.alias[name] = read
        else:
            reads = tuple(self.alias.get(read, read) for read in push.reads)
            shape = output.shape if isinstance(output, Tensor) else torch.Size()
            self.steps[name] = Step(name, replace(push, reads=reads), shape)
            private = True
        if private and self.readers[name] == 1:
            self.private.add(name)


def operation_name(operation: Operation) -> str:
    """``aten.relu.default`` is ``relu``."""
    target = operation.target
    return target.overloadpacket.__name__ if isinstance(target, torch._ops.OpOverload) else target.__name__


def layer_kind(operation: Operation, weight: Tensor) -> str:
    """The layer's kind as composites name it."""
    if operation_name(operation) not in _CONVOLUTIONS:
        return "linear"
    pointwise = all(size == 1 for size in weight.shape[2:])
    return "conv.strided" if pointwise and max(pair(convolution_options(operation.args)[0])) > 1 else "conv"


def _convolution(operation: Operation, args: tuple[Any, ...], output: Tensor) -> Layer:
    x, weight, bias = args[0], args[1], args[2] if len(args) > 2 else None
    if weight.ndim == 4:
        weight = weight.contiguous(memory_format=torch.channels_last)

    def apply(t: Tensor, weight: Tensor) -> Tensor:
        return operation.target(t.flatten(0, 1), weight, None, *args[3:]).unflatten(0, t.shape[:2])

    shaped = None if bias is None else bias.view(-1, *[1] * (output.ndim - 2))
    return Layer(apply, x, weight, shaped, output)


def _layer_push(operation: Operation, layer: Layer, terms: list[Term], reads: tuple[str, ...]) -> Push:
    """The push of a layer by a rule. A single term's scale is the push's own, so that what follows can join it."""
    single = len(terms) == 1
    needs_components = any(not part.indicator for term in terms for part in term.parts)

    def function(*given: Tensor) -> Tensor:
        t = given[0] if needs_components else None
        mask = given[-1] if len(given) == 2 or t is None else None
        pushed = [contributions(layer, term.parts, t, mask) for term in terms]
        if single:
            return pushed[0]
        scaled = [value.mul_(term.scale) for value, term in zip(pushed, terms, strict=True)]
        return reduce(Tensor.add_, scaled)

    return Push(
        reads,
        function,
        scale=terms[0].scale if single else None,
        fresh=True,
        window=_layer_window(operation, layer),
        macs=sum(len(term.parts) for term in terms) * layer.output.numel() * layer.weight[0].numel(),
    )


def _layer_window(operation: Operation, layer: Layer) -> Window | None:
    if operation_name(operation) != "conv2d" or "padding" in str(operation.target):
        return None
    stride, padding, dilation = (pair(value) for value in convolution_options(operation.args)[:3])
    vertical, horizontal = zip(layer.weight.shape[2:], stride, padding, dilation, strict=True)
    return vertical, horizontal


def convolution_options(args: tuple[Any, ...]) -> list[Any]:
    """Stride, padding, dilation and groups of a convolution."""
    return [args[position] if position < len(args) else default for position, default in _CONVOLUTION_DEFAULTS]
