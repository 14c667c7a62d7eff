"""What a model computes, as a flat list of operations.

``torch.export`` writes any module as a graph of ATen operations. Here that graph becomes a list of `Operation`, in
execution order, with batch norms folded into the convolution before them. The module itself is only read: its
parameters are shared, and what has to change (the folded weights) is a copy.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_leaves, tree_map_only

from chinspect.errors import InputError

aten = torch.ops.aten

_CONVOLUTIONS = (aten.conv1d.default, aten.conv2d.default)
# batch norms in evaluation mode, and which of their arguments is epsilon
_BATCH_NORMS = {aten._native_batch_norm_legit_no_training.default: 6, aten.batch_norm.default: 7}


@dataclass(frozen=True)
class Ref:
    """The value of another operation, or of a tensor that the model owns."""

    name: str


@dataclass(frozen=True)
class Operation:
    """One call ``name = target(*args, **kwargs)``, made by the module at ``path``."""

    name: str
    target: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    path: str
    module_type: str

    @property
    def kind(self) -> str:
        """The target's short name: ``aten.relu.default`` is ``relu``."""
        return getattr(self.target, "overloadpacket", self.target).__name__

    @cached_property
    def reads(self) -> tuple[str, ...]:
        """Names of the values that the call reads."""
        leaves = tree_leaves((self.args, self.kwargs), is_leaf=lambda leaf: isinstance(leaf, Ref))
        return tuple(dict.fromkeys(leaf.name for leaf in leaves if isinstance(leaf, Ref)))

    def arguments(self, values: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments with each `Ref` replaced by its value."""
        return tree_map_only(Ref, lambda ref: values[ref.name], (self.args, self.kwargs))


@dataclass(frozen=True)
class Graph:
    """A module at one input shape: ``operations`` that lead from ``source`` (the images) to ``sink`` (the embeddings).

    ``constants`` holds the tensors that the module owns (parameters, buffers, literals) by name.
    """

    operations: tuple[Operation, ...]
    constants: dict[str, Tensor]
    source: str
    sink: str
    input_shape: torch.Size


class Reader(Protocol):
    """Something that makes the value ``name`` from the values that it ``reads``."""

    @property
    def name(self) -> str: ...

    @property
    def reads(self) -> tuple[str, ...]: ...


AnyReader = TypeVar("AnyReader", bound=Reader)


def last_reads(readers: Sequence[Reader], keep: Collection[str]) -> dict[str, list[str]]:
    """For each reader the values, except those to ``keep``, that no later one reads."""
    last = {value: reader.name for reader in readers for value in reader.reads}
    freed: dict[str, list[str]] = {reader.name: [] for reader in readers}
    for value, name in last.items():
        if value not in keep:
            freed[name].append(value)
    return freed


def needed(readers: Sequence[AnyReader], sink: str) -> tuple[AnyReader, ...]:
    """Those that the value ``sink`` depends on, in their order: assertions and unused values fall away."""
    names = {sink}
    result = []
    for reader in reversed(readers):
        if reader.name in names:
            names.update(reader.reads)
            result.append(reader)
    return tuple(reversed(result))


def trace(model: nn.Module, x: Tensor) -> Graph:
    """The graph of ``model`` in evaluation mode for images shaped like ``x``.

    Args:
        model: any module that ``torch.export`` accepts, from (N, C, H, W) to (N, D). It is left as it was.
        x: images (N, C, H, W); only shape, type and device matter.

    Raises:
        InputError: the model cannot be exported, or does not return one tensor (N, D).
    """
    with _evaluation_mode(model), torch.no_grad():
        try:
            program = torch.export.export(model, (x,)).run_decompositions({})
        except Exception as error:  # torch.export raises dozens of types; each means that there is no graph
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise InputError(
                f"torch.export cannot read {type(model).__name__} at input shape {tuple(x.shape)}: {reason}"
            ) from error
    signature = program.graph_signature
    owned = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    owned |= signature.inputs_to_lifted_tensor_constants
    tensors = {**program.state_dict, **program.constants}
    constants = {name: tensors[target].detach() for name, target in owned.items()}
    source = signature.user_inputs[0]
    if len(signature.user_outputs) != 1 or not isinstance(signature.user_outputs[0], str):
        count = len(signature.user_outputs)
        raise InputError(f"{type(model).__name__} returns {count} values, and an encoder returns one tensor (N, D).")
    operations = [_read(node) for node in program.graph.nodes if node.op == "call_function"]
    operations, sink = _fold_batch_norms(operations, constants, signature.user_outputs[0])
    return Graph(needed(operations, sink), constants, source, sink, x.shape)


@contextmanager
def _evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Evaluation mode for the time of the context; each module's own flag comes back, also after an error."""
    flags = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        yield
    finally:
        for module, flag in flags:
            module.training = flag


def _read(node: fx.Node) -> Operation:
    arguments = (node.args, dict(node.kwargs))
    args, kwargs = tree_map_only(fx.Node, lambda argument: Ref(argument.name), arguments)
    path, kind = next(reversed((node.meta.get("nn_module_stack") or {"": ("", "")}).values()))
    kind = kind if isinstance(kind, str) else kind.__name__
    # a view needs the memory format that was traced, and the graph writes nothing in place: a copy does as well
    target = aten.reshape.default if node.target is aten.view.default else node.target
    return Operation(node.name, target, args, kwargs, path, kind.rsplit(".", 1)[-1])


def affine(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """``scale * x + shift`` for each channel: a batch norm in evaluation mode."""
    channels = (-1, *[1] * (x.ndim - 2))
    return x * scale.view(channels) + shift.view(channels)


def _fold_batch_norms(
    operations: list[Operation], constants: dict[str, Tensor], sink: str
) -> tuple[list[Operation], str]:
    """Batch norms are folded into a copy of the convolution before them, if nothing else reads that; else `affine`."""
    readers = Counter(name for operation in operations for name in operation.reads)
    folded: dict[str, Operation] = {}
    alias: dict[str, str] = {}
    for original in operations:
        operation = _renamed(original, alias)
        if operation.target in _BATCH_NORMS and constants.keys() >= set(operation.reads[1:]):
            before = folded.get(operation.args[0].name)
            if before is not None and readers[before.name] > 1:
                before = None  # something else reads what the batch norm does not change
            result = _folded(before, operation, constants)
            folded[result.name] = result
            alias[operation.name] = result.name
        elif operation.target is operator.getitem and original.args[0].name in alias:
            alias[operation.name] = operation.args[0].name  # the batch norm's first result; the others are empty
        else:
            folded[operation.name] = operation
    return list(folded.values()), alias.get(sink, sink)


def _renamed(operation: Operation, alias: dict[str, str]) -> Operation:
    arguments = (operation.args, operation.kwargs)
    args, kwargs = tree_map_only(Ref, lambda ref: Ref(alias.get(ref.name, ref.name)), arguments)
    return replace(operation, args=args, kwargs=kwargs)


def _folded(before: Operation | None, norm: Operation, constants: dict[str, Tensor]) -> Operation:
    """The operation before a batch norm that has taken it up, if it is a convolution of fixed weights; else `affine`.

    Scale and shift (C,) are those of the stored statistics, the batch norm's epsilon included.
    """
    args, _ = norm.arguments(constants | {norm.args[0].name: None})
    _, weight, bias, mean, variance = args[:5]
    scale = (variance + args[_BATCH_NORMS[norm.target]]).rsqrt() * (1 if weight is None else weight)
    shift = (0 if bias is None else bias) - mean * scale
    if before is None or before.target not in _CONVOLUTIONS or not constants.keys() >= set(before.reads[1:]):
        tensors = {f"{norm.name}.scale": scale, f"{norm.name}.shift": shift}
        result = replace(norm, target=affine, args=(norm.args[0], *map(Ref, tensors)), kwargs={})
    else:
        _, weight, bias = (*before.arguments(constants | {before.args[0].name: None})[0], None)[:3]
        tensors = {
            f"{before.name}.weight": weight * scale.view(-1, *[1] * (weight.ndim - 1)),
            f"{before.name}.bias": shift if bias is None else bias * scale + shift,
        }
        result = replace(before, args=(before.args[0], *map(Ref, tensors), *before.args[3:]))
    constants.update(tensors)
    return result
