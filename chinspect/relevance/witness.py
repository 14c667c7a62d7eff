"""Zennit as an independent witness: the same graph and composite, propagated by Zennit's hooks.

Each operation of the graph becomes a module that Zennit can hook: sums become Zennit's ``Sum`` (its own canonizers know
the residual blocks of torchvision only), attention weights and standard deviations are constants, and what is linear
then takes Zennit's ``Norm`` rule.
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
from chinspect.relevance._graph import Graph, Operation
from chinspect.relevance._steps import convolution_options, layer_kind, operation_name
from chinspect.relevance.composites import Composite

_SCALES = {"relu", "relu6", "gelu", "silu", "hardswish", "leaky_relu", "elu", "tanh", "mul", "div", "affine"}
_MOVES = {
    "view",
    "_unsafe_view",
    "reshape",
    "permute",
    "transpose",
    "t",
    "flatten",
    "unflatten",
    "squeeze",
    "unsqueeze",
}
_MOVES |= {
    "select",
    "slice",
    "split",
    "chunk",
    "unbind",
    "getitem",
    "cat",
    "roll",
    "pad",
    "constant_pad_nd",
}
_MOVES |= {"clone", "contiguous", "alias", "dropout", "expand", "max_pool2d", "identity", "index", "_to_copy"}
_LINEAR = {"add", "avg_pool2d", "adaptive_avg_pool2d", "mean", "layer_norm", "scaled_dot_product_attention", "matmul"}
_TINY = 1e-12  # sums and averages need no stabiliser: where their output is zero, so is its relevance
_GATES = {"sigmoid", "hardsigmoid", "softmax", "linalg_vector_norm", "clamp_min"}


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
        self.graph, self.composite = graph, composite
        self.hooks: dict[nn.Module, Hook] = {}
        self.calls = nn.ModuleDict()
        self.inputs: dict[str, list[str]] = {}
        self.raw = {graph.source}
        carriers, values = {graph.source}, {**graph.constants, graph.source: x}
        for operation in graph.operations:
            args, kwargs = operation.arguments(values)
            values[operation.name] = operation.target(*args, **kwargs)
            carried = [read for read in operation.reads if read in carriers]
            if carried and operation_name(operation) not in _GATES:
                self.calls[operation.name] = self._module(operation, values, carried)
                self.inputs[operation.name] = carried
                carriers.add(operation.name)
        self.outputs = values[graph.sink].shape[1]

    def forward(self, x: Tensor) -> Tensor:
        live = {self.graph.source: x}
        for name, inputs in self.inputs.items():
            live[name] = self.calls[name](*(live[read] for read in inputs))
        return live[self.graph.sink]

    def _module(self, operation: Operation, values: dict[str, Any], carried: list[str]) -> nn.Module:
        """The operation as a module; its hook, if it needs one, is noted in ``hooks``."""
        kind, raw = operation_name(operation), self.raw.issuperset(carried)
        if raw and kind in _SCALES | _MOVES:
            self.raw.add(operation.name)
        if (layer := _layer(operation, values, carried)) is not None:
            rule = self.composite.rule(layer_kind(operation, values[operation.args[1].name]), operation.path, raw)
            self.hooks[layer] = _counterpart(rule)
            return layer
        if kind == "add" and len(carried) == 2:
            add = _Add()
            self.hooks[add.total] = zennit.Norm(_TINY)
            return add
        known = kind in _MOVES or (kind in _SCALES | _LINEAR and (len(carried) == 1 or "attention" in kind))
        if not known:
            raise InputError(f"operation {operation.target} in module {operation.path!r} cannot be verified by Zennit.")
        call = _Call(_function(operation, values, carried))
        if kind not in _MOVES:
            self.hooks[call] = zennit.Pass() if kind in _SCALES else zennit.Norm(_TINY)
        return call


def _layer(operation: Operation, values: dict[str, Any], carried: list[str]) -> nn.Module | None:
    """The operation as a convolution or linear module, or None."""
    kind, (args, _) = operation_name(operation), operation.arguments(values)
    module: nn.Conv1d | nn.Conv2d | nn.Linear
    if kind in ("conv1d", "conv2d"):
        weight, (stride, padding, dilation, groups) = args[1], convolution_options(args)
        size = (weight.shape[1] * groups, weight.shape[0], tuple(weight.shape[2:]), stride, padding, dilation, groups)
        module = (nn.Conv2d if kind == "conv2d" else nn.Conv1d)(*size)
    elif kind == "linear":
        weight = args[1]
        module = nn.Linear(weight.shape[1], weight.shape[0])
    elif kind in ("matmul", "mm") and operation.reads == (*carried, operation.args[1].name) and args[1].ndim == 2:
        weight = args[1].T
        module = nn.Linear(weight.shape[1], weight.shape[0])
    else:
        return None
    bias = args[2] if len(args) > 2 else None
    module.weight = nn.Parameter(weight, requires_grad=False)
    module.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)
    return module


def _function(operation: Operation, values: dict[str, Any], carried: list[str]) -> Callable[..., Any]:
    """The operation as a function of what it carries, linear where the push is linear."""
    kind = operation_name(operation)
    args, _ = operation.arguments(values)
    if kind == "layer_norm":
        x, dims = args[0], tuple(range(-len(args[1]), 0))
        deviation = (x.var(dims, correction=0, keepdim=True) + (args[4] if len(args) > 4 else 1e-5)).sqrt()
        weight = 1 if len(args) < 3 or args[2] is None else args[2]
        bias = 0 if len(args) < 4 or args[3] is None else args[3]
        return lambda t: (t - t.mean(dims, keepdim=True)) / deviation * weight + bias
    if kind == "scaled_dot_product_attention":
        identity = torch.eye(args[2].shape[-2]).to(args[2]).expand(*args[2].shape[:-1], -1)
        weights = operation.target(args[0], args[1], identity, *args[3:], **operation.kwargs)
        return lambda *inputs: weights @ inputs[-1]
    if kind in ("view", "_unsafe_view"):
        return lambda t: t.reshape(values[operation.name].shape)
    fixed = {name: values[name] for name in operation.reads}

    def function(*inputs: Tensor) -> Any:
        args, kwargs = operation.arguments({**fixed, **dict(zip(carried, inputs, strict=True))})
        return operation.target(*args, **kwargs)

    return function


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
