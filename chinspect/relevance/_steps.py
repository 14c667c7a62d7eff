"""From a graph and images to the steps that push components: activations are computed once and fixed here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import torch
from torch import Tensor

from chinspect.errors import InputError
from chinspect.relevance._differences import difference_handler
from chinspect.relevance._graph import Graph, Operation, Ref, last_reads, needed
from chinspect.relevance._handlers import HANDLERS
from chinspect.relevance._operations import Push, Site, Window, pair, window
from chinspect.relevance.composites import Composite
from chinspect.relevance.rules import Input, Layer, Term

_CONVOLUTIONS = ("conv1d", "conv2d", "conv3d")
_TRANSPOSED = ("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
_PRODUCTS = ("matmul", "mm", "addmm")


@dataclass(frozen=True)
class Step:
    """One push, and the shape (N, ...) of the value whose components it makes (empty for several values)."""

    name: str
    push: Push
    shape: torch.Size

    @property
    def reads(self) -> tuple[str, ...]:
        """Names of the values whose components the push takes."""
        return self.push.reads


def indicator(name: str) -> str:
    """The name under which the indicator of a component's pixels travels, beside the component ``name``."""
    return f"{name}@indicator"


@dataclass(frozen=True)
class Built:
    """What comes of a graph at an image.

    Attributes:
        output: the embeddings (N, D).
        baseline: those of the reference, of a reference map.
        steps: they lead components from the graph's source to its sink.
        sink: the last step's name.
    """

    output: Tensor
    baseline: Tensor | None
    steps: tuple[Step, ...]
    sink: str


def build(graph: Graph, x: Tensor, composite: Composite, reference: Tensor | None = None) -> Built:
    """Runs the graph on ``x``, and for a reference map beside it on the ``reference``, which is shaped like ``x``.

    Raises:
        InputError: an operation has no rule, or nothing of the image carries relevance to the output.
    """
    builder = _Builder(graph, x, composite, reference)
    for operation in graph.operations:
        builder.add(operation)
    if builder.missing:
        raise InputError(_missing(builder.missing))
    if graph.sink not in builder.carriers:
        raise InputError(_stopped(composite, builder.frozen))
    sink = builder.alias.get(graph.sink, graph.sink)
    baseline = None if reference is None else builder.reference[graph.sink]
    return Built(builder.values[graph.sink], baseline, needed(list(builder.steps.values()), sink), sink)


class _Builder:
    """What is known while the graph is walked.

    Attributes:
        values: of the operations so far that are still read.
        reference: those at the reference, of a reference map.
        dependent: names of the values that depend on the image; of those,
        carriers: that have components, and
        raw: that are the image itself, moved and scaled, which the first layers read.
        covered: for each raw value what the indicators of all pixels sum to (1, *shape).
        last_reads: for each operation the values that nothing reads after it.
        readers: how many operations read a value.
        private: names of the values whose components one step alone reads, so that it may scale them.
        alias: the step that makes the components of a value, where it has another name.
        missing: operations that would carry and have no rule.
        frozen: the last operation that read components and made none.
    """

    def __init__(self, graph: Graph, x: Tensor, composite: Composite, reference: Tensor | None) -> None:
        self.composite = composite
        self.values: dict[str, Any] = {**graph.constants, graph.source: x}
        self.reference: dict[str, Any] = {} if reference is None else {**graph.constants, graph.source: reference}
        self.steps: dict[str, Step] = {}
        self.alias: dict[str, str] = {}
        self.dependent = {graph.source}
        self.carriers = {graph.source}
        self.raw = {graph.source}
        self.covered: dict[str, Any] = {graph.source: torch.ones_like(x)[None]}
        self.last_reads = last_reads(graph.operations, {graph.sink})
        self.readers = Counter(name for operation in graph.operations for name in operation.reads)
        self.private: set[str] = set()
        self.missing: list[Operation] = []
        self.frozen: Operation | None = None

    def add(self, operation: Operation) -> None:
        """Computes the operation's value, and the step that pushes its components."""
        args, kwargs = operation.arguments(self.values)
        output = self.values[operation.name] = operation.target(*args, **kwargs)
        depends = not self.dependent.isdisjoint(operation.reads)
        if depends:
            self.dependent.add(operation.name)
        if self.reference:
            self.reference[operation.name] = self._at_reference(operation) if depends else output
        if not self.carriers.isdisjoint(operation.reads):
            layer = as_layer(operation, args, output, self.dependent)
            push = self._handled(operation, output) if layer is None else self._ruled(operation, layer)
            if push is None:
                self.frozen = operation
            else:
                self._record(operation, push, output)
        for name in self.last_reads[operation.name]:
            del self.values[name]
            self.reference.pop(name, None)

    def _at_reference(self, operation: Operation) -> Any:
        args, kwargs = operation.arguments(self.reference)
        return operation.target(*args, **kwargs)

    def _ruled(self, operation: Operation, layer: Layer) -> Push | None:
        """The push of a layer by its rule; None where no relevance passes."""
        name = next(ref.name for ref in operation.args if isinstance(ref, Ref) and ref.name in self.dependent)
        if name not in self.carriers:
            return None
        first = name in self.raw
        rule = self.composite.rule(layer_kind(operation, layer.weight), operation.path, first)
        terms = rule.terms(replace(layer, covered=self.covered[name][0]) if first else layer)
        inputs = sorted({summand.reads for term in terms for summand in term.summands})
        if "indicator" in inputs and not first:
            raise InputError(
                f"rule {type(rule).__name__} shares relevance among pixels and {operation.path!r} does not read them: "
                "give its row position='first'."
            )
        reads = tuple(indicator(name) if kind == "indicator" else name for kind in inputs)
        return _layer_push(operation, layer, terms, inputs, reads) if terms else None

    def _handled(self, operation: Operation, output: Any) -> Push | None:
        """The push of an operation that has no rule; None where it freezes."""
        handler = difference_handler(operation.kind) if self.reference else HANDLERS.get(operation.kind)
        if handler is None:
            self.missing.append(operation)
            return Push(tuple(self.carriers.intersection(operation.reads)), lambda *t: t[0])  # is never run
        values = {name: self.values[name] for name in operation.reads}
        site = Site(operation, values, frozenset(self.carriers), output, self.composite.attention)
        if self.reference:
            at_reference = {name: self.reference[name] for name in operation.reads}
            site = replace(site, reference=at_reference, reference_output=self.reference[operation.name])
        return handler(site)

    def _record(self, operation: Operation, push: Push, output: Any) -> None:
        name = operation.name
        carried = self.carriers.intersection(operation.reads)
        if (push.moves or push.function is None) and self.raw.issuperset(carried):
            self.raw.add(name)
            moved = replace(push, scale=None)  # a scaled pixel is still one pixel
            self.covered[name] = moved(*(self.covered[read] for read in push.reads))
            self._put(indicator(name), replace(moved, reads=tuple(map(indicator, push.reads))), output)
        self.carriers.add(name)
        self._put(name, push, output)

    def _put(self, name: str, push: Push, output: Any) -> None:
        """A step of its own, or, where the push only scales what nothing else reads, joined to the step before."""
        reads = tuple(self.alias.get(read, read) for read in push.reads)
        private = push.reads[0] in self.private
        before = self.steps.get(reads[0]) if private else None
        if push.function is None and push.scale is None:
            self.alias[name] = reads[0]
        elif push.function is None and push.scale is not None and before is not None and before.push.fresh:
            self.steps[reads[0]] = replace(before, push=before.push.scaled(push.scale))
            self.alias[name] = reads[0]
        else:
            shape = output.shape if isinstance(output, Tensor) else torch.Size()
            self.steps[name] = Step(name, replace(push, reads=reads), shape)
            private = True
        if private and self.readers[name] == 1:
            self.private.add(name)


def _missing(operations: Sequence[Operation]) -> str:
    """What has no rule, each kind of operation once with the modules that make it."""
    modules: dict[str, list[str]] = {}
    for operation in operations:
        modules.setdefault(str(operation.target), []).append(f"{operation.path!r} ({operation.module_type})")
    names = "; ".join(
        f"{target} in module {', '.join(dict.fromkeys(paths[:3]))}"
        + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")
        for target, paths in modules.items()
    )
    return (
        f"no rule for {names}. Explain this network with method 'shapley', which reads no operations, or register "
        "rules with chinspect.relevance.handles."
    )


def _stopped(composite: Composite, operation: Operation | None) -> str:
    where = ""
    if operation is not None:
        where = f": the last that stops it is {operation.kind} in module {operation.path!r} ({operation.module_type})"
    return (
        f"composite {composite.name!r} lets no relevance pass from the output to the image{where}. A sigmoid or "
        "softmax at the end belongs cut off: explain the values in front of it."
    )


def as_layer(operation: Operation, args: tuple[Any, ...], output: Any, dependent: Collection[str]) -> Layer | None:
    """The operation as a layer with a weight, which is none of the values that depend on the image; or None."""
    if operation.kind in (*_CONVOLUTIONS, *_TRANSPOSED, "linear"):
        x, weight, bias = (*args, None)[:3]
        bias = weight.new_zeros(1) if bias is None else bias
        if operation.kind == "linear":
            return Layer(torch.nn.functional.linear, x, weight, bias, output)
        return _convolution(operation, args, bias, output)
    if operation.kind not in _PRODUCTS:
        return None
    left, right = args[-2:]
    bias = args[0] if operation.kind == "addmm" else right.new_zeros(1)
    if operation.args[-1].name not in dependent:
        return Layer(torch.matmul, left, right, bias, output)
    if operation.args[-2].name not in dependent:
        return Layer(lambda t, weight: weight @ t, right, left, bias, output)
    return None


def layer_kind(operation: Operation, weight: Tensor) -> str:
    """The layer's kind as composites name it."""
    if operation.kind in _TRANSPOSED:
        return "conv"
    if operation.kind not in _CONVOLUTIONS:
        return "linear"
    pointwise = all(size == 1 for size in weight.shape[2:])
    return "conv.strided" if pointwise and max(pair(convolution_options(operation.args)[0])) > 1 else "conv"


def convolution_options(args: tuple[Any, ...]) -> list[Any]:
    """Stride, padding, dilation and groups of a convolution, with ATen's defaults."""
    return [args[position] if position < len(args) else default for position, default in enumerate((1, 0, 1, 1), 3)]


def _convolution(operation: Operation, args: tuple[Any, ...], bias: Tensor, output: Tensor) -> Layer:
    x, weight, *_ = args
    if weight.ndim == 4:
        weight = weight.contiguous(memory_format=torch.channels_last)  # the faster layout for a batch of components

    def apply(t: Tensor, weight: Tensor) -> Tensor:
        return operation.target(t.flatten(0, 1), weight, None, *args[3:]).unflatten(0, t.shape[:2])

    return Layer(apply, x, weight, bias.view(-1, *[1] * (output.ndim - 2)), output)


def _layer_push(
    operation: Operation, layer: Layer, terms: Sequence[Term], inputs: Sequence[Input], reads: tuple[str, ...]
) -> Push:
    """The push of a layer by the terms of its rule.

    The scale of a single term is the push's own, so that a push that only scales can join it.
    """
    single = len(terms) == 1

    def function(*components: Tensor) -> Tensor:
        values = dict(zip(inputs, components, strict=True))
        totals = [layer.total(term.summands, values) for term in terms]
        if single:
            return totals[0]
        scaled = [
            total if term.scale is None else total.mul_(term.scale) for total, term in zip(totals, terms, strict=True)
        ]
        return reduce(Tensor.add_, scaled)

    summands = sum(len(term.summands) for term in terms)
    return Push(
        reads,
        function,
        scale=terms[0].scale if single else None,
        fresh=True,
        window=_layer_window(operation, layer),
        mixes=(3,) if operation.kind == "linear" else (),
        macs=summands * layer.output.numel() * layer.weight[0].numel(),
    )


def _layer_window(operation: Operation, layer: Layer) -> Window | None:
    if operation.kind == "linear" and layer.output.ndim == 4:
        return window(1)  # of pixels whose channels come last
    if operation.kind != "conv2d":
        return None
    kernel = layer.weight.shape[2:]
    stride, padding, dilation = convolution_options(operation.args)[:3]
    if padding == "same":  # the overload "conv2d.padding"; where its sides differ, the first is the smaller
        padding = [reach * (size - 1) // 2 for reach, size in zip(pair(dilation), kernel, strict=True)]
    return window(kernel, stride, 0 if padding == "valid" else padding, dilation)
