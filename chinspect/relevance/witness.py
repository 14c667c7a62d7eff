"""Zennit as an independent witness: the same graph and composite, propagated by Zennit's hooks.

Each operation of the graph becomes a module that Zennit can hook. What a layer computes is the engine's own function;
which relevance it passes on is decided by Zennit's rule. Sums become Zennit's ``Sum`` (its own canonizers know the
residual blocks of torchvision only), attention weights and standard deviations are constants, and what is linear then
takes Zennit's ``Norm`` rule.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from zennit import rules as zennit
from zennit.attribution import Gradient
from zennit.core import BasicHook, Hook
from zennit.core import Composite as Hooks
from zennit.layer import Sum

from chinspect.errors import InputError
from chinspect.relevance import rules
from chinspect.relevance._graph import Graph
from chinspect.relevance._operations import Site
from chinspect.relevance._steps import as_layer, layer_kind
from chinspect.relevance.composites import Composite

# operations that multiply each entry: relevance passes
_SCALES = {"relu", "relu6", "gelu", "silu", "hardswish", "leaky_relu", "elu", "tanh", "mul", "div", "affine"}
# operations that move entries: their gradient is right as it is
_MOVES = {
    *("view", "_unsafe_view", "reshape", "permute", "transpose", "t", "flatten", "unflatten", "squeeze", "unsqueeze"),
    *("select", "slice", "split", "chunk", "unbind", "getitem", "index", "cat", "roll", "pad", "constant_pad_nd"),
    *("clone", "contiguous", "alias", "dropout", "expand", "max_pool2d", "identity", "_to_copy"),
}
# operations that are linear: relevance is distributed by contribution
_LINEAR = {"add", "avg_pool2d", "adaptive_avg_pool2d", "mean", "layer_norm", "scaled_dot_product_attention", "matmul"}
# operations that carry nothing
_GATES = {"sigmoid", "hardsigmoid", "softmax", "linalg_vector_norm", "clamp_min"}
_TINY = 1e-12  # sums and averages need no stabiliser: where their output is zero, so is its relevance


def zennit_relevance(graph: Graph, x: Tensor, composite: Composite, neurons: Sequence[int]) -> Tensor:
    """LRP of single outputs by Zennit.

    Args:
        x: one image (1, C, H, W).
        neurons: outputs ``k``; the relevance there is ``y_k``, and zero at the others.

    Returns:
        (len(neurons), C, H, W).

    Raises:
        InputError: Zennit has no counterpart of an operation, a rule, or AttnLRP.
    """
    if composite.attention != "frozen":
        raise InputError(f"Zennit has no rule for attention weights, so {composite.name!r} cannot be verified by it.")
    with torch.no_grad():
        witness = _Witness(graph, x, composite)
    seeds = torch.eye(witness.outputs, device=x.device, dtype=x.dtype)[list(neurons), None]
    maps = []
    for seed in seeds:
        hooks = Hooks(module_map=lambda _context, _name, module: witness.hooks.get(module))
        with Gradient(model=witness, composite=hooks) as attributor:
            maps.append(attributor(x.clone(), lambda y, seed=seed: y * seed)[1][0])
    return torch.stack(maps)


class _Call(nn.Module):
    """A function of tensors as a module."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: Tensor) -> Any:
        return self.function(*inputs)


class _Layer(_Call):
    """A layer as a module; Zennit's rules modify its weight and its bias."""

    def __init__(self, layer: rules.Layer) -> None:
        super().__init__(layer.apply)
        self.weight = nn.Parameter(layer.weight, requires_grad=False)
        self.bias = nn.Parameter(layer.bias, requires_grad=False)

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.function(inputs[0][None], self.weight)[0] + self.bias


class _Add(nn.Module):
    """A sum that Zennit can hook."""

    def __init__(self) -> None:
        super().__init__()
        self.total = Sum()

    def forward(self, *summands: Tensor) -> Tensor:
        return self.total(torch.stack(summands, -1))


class _Witness(nn.Module):
    """The graph at one image as a module of modules, and the Zennit hook of each of them."""

    def __init__(self, graph: Graph, x: Tensor, composite: Composite) -> None:
        super().__init__()
        self.graph = graph
        self.composite = composite
        self.hooks: dict[nn.Module, Hook] = {}
        self.calls = nn.ModuleDict()
        self.inputs: dict[str, tuple[str, ...]] = {}
        self.raw = {graph.source}
        self.dependent = {graph.source}
        values: dict[str, Any] = {**graph.constants, graph.source: x}
        for operation in graph.operations:
            args, kwargs = operation.arguments(values)
            values[operation.name] = operation.target(*args, **kwargs)
            if not self.dependent.isdisjoint(operation.reads):
                self.dependent.add(operation.name)
            carriers = frozenset({graph.source, *self.inputs})
            site = Site(operation, values, carriers, values[operation.name], composite.attention)
            if site.carried and operation.kind not in _GATES:
                self.calls[operation.name] = self._module(site)
                self.inputs[operation.name] = site.carried
        self.outputs = values[graph.sink].shape[1]

    def forward(self, x: Tensor) -> Tensor:
        live = {self.graph.source: x}
        for name, inputs in self.inputs.items():
            live[name] = self.calls[name](*(live[read] for read in inputs))
        return live[self.graph.sink]

    def _module(self, site: Site) -> nn.Module:
        """The operation as a module; its hook, if it needs one, is noted in ``hooks``."""
        operation = site.operation
        kind = operation.kind
        raw = self.raw.issuperset(site.carried)
        if raw and kind in _SCALES | _MOVES:
            self.raw.add(operation.name)
        layer = as_layer(operation, operation.arguments(site.values)[0], site.output, self.dependent)
        if layer is not None:
            rule = self.composite.rule(layer_kind(operation, layer.weight), operation.path, raw)
            module = _Layer(layer)
            self.hooks[module] = _counterpart(rule)
            return module
        if kind == "add" and len(site.carried) == 2:
            add = _Add()
            self.hooks[add.total] = zennit.Norm(_TINY)
            return add
        known = kind in _MOVES or (kind in _SCALES | _LINEAR and (len(site.carried) == 1 or "attention" in kind))
        if not known:
            raise InputError(f"operation {operation.target} in module {operation.path!r} cannot be verified by Zennit.")
        call = _Call(_function(site))
        if kind not in _MOVES:
            self.hooks[call] = zennit.Pass() if kind in _SCALES else zennit.Norm(_TINY)
        return call


def _function(site: Site) -> Callable[..., Any]:
    """The operation as a function of what it carries, linear where the push is linear."""
    kind = site.operation.kind
    args, kwargs = site.operation.arguments(site.values)
    if kind == "layer_norm":
        dims = tuple(range(-len(args[1]), 0))
        deviation = (args[0].var(dims, correction=0, keepdim=True) + site.argument(4, 1e-5)).sqrt()
        weight = site.argument(2)
        bias = site.argument(3)
        scale = deviation.reciprocal() if weight is None else weight / deviation
        return lambda t: (t - t.mean(dims, keepdim=True)) * scale + (0 if bias is None else bias)
    if kind == "scaled_dot_product_attention":
        identity = torch.eye(args[2].shape[-2]).to(args[2]).expand(*args[2].shape[:-1], -1)
        weights = site.operation.target(args[0], args[1], identity, *args[3:], **kwargs)
        return lambda *inputs: weights @ inputs[-1]
    if kind in ("view", "_unsafe_view"):
        return lambda t: t.reshape(site.output.shape)
    return site.call


_COUNTERPARTS: dict[type[rules.Rule], Callable[..., Hook]] = {
    rules.Epsilon: lambda rule, common: zennit.Epsilon(rule.stabiliser, zero_params=common["zero_params"]),
    rules.ZPlus: lambda _rule, common: zennit.ZPlus(**common),
    rules.AlphaBeta: lambda rule, common: zennit.AlphaBeta(rule.alpha, rule.alpha - 1, **common),
    rules.Gamma: lambda rule, common: zennit.Gamma(rule.gamma, **common),
    rules.Flat: lambda _rule, common: zennit.Flat(**common),
    rules.WSquare: lambda _rule, common: zennit.WSquare(**common),
    rules.ZBox: lambda rule, common: zennit.ZBox(_bound(rule.low), _bound(rule.high), **common),
    rules.Pass: lambda _rule, _common: zennit.Pass(),
    rules.Zero: lambda _rule, _common: BasicHook(reducer=lambda inputs, _gradients: torch.zeros_like(inputs[0])),
}


def _counterpart(rule: rules.Rule) -> Hook:
    if type(rule) not in _COUNTERPARTS:
        raise InputError(f"Zennit has no counterpart of the rule {type(rule).__name__}.")
    common = {"stabilizer": rule.stabiliser, "zero_params": None if rule.bias else ["bias"]}
    return _COUNTERPARTS[type(rule)](rule, common)


def _bound(bound: float | tuple[float, ...]) -> Tensor:
    return torch.as_tensor(bound).view(1, -1, 1, 1)
