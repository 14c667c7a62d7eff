"""From a module to its graph: ``torch.export`` writes it as ATen operations.

Operations that have a handler stay as they are; the others are written out by torch's own decompositions (``einsum``
becomes permutations and a product of matrices, ``prelu`` a comparison, a product and a choice), so that few handlers
serve many operations. What then computes no more than an affine function of one value is folded, and what computes an
element-wise function by several operations becomes one: see `chinspect.relevance._rewriting`.
"""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch._ops import HigherOrderOperator
from torch.export import ExportedProgram, default_decompositions
from torch.utils._pytree import tree_map_only

from chinspect.errors import InputError
from chinspect.relevance._graph import Graph, Operation, Ref, needed, working_precision
from chinspect.relevance._handled import functional, is_handled
from chinspect.relevance._handlers import HANDLERS
from chinspect.relevance._rewriting import rewritten
from chinspect.relevance._stored import graph_file, store_graph, stored_graph
from chinspect.relevance._verification import check_deterministic, check_equal
from chinspect.relevance.modes import evaluation_mode

_RULED = frozenset(
    (
        *("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"),
        *("linear", "matmul", "mm", "bmm", "addmm", "batch_norm", "_native_batch_norm_legit_no_training"),
    )
)
"""Operations that have rules, or are folded into those that have."""
_VIEWS = (torch.ops.aten.view.default, torch.ops.aten._unsafe_view.default)


def trace(model: nn.Module | ExportedProgram, x: Tensor) -> Graph:
    """The graph of ``model`` in evaluation mode for images shaped like ``x``, in `working_precision`.

    Args:
        model: any module that ``torch.export`` accepts, or what it made of one, from (N, C, H, W) to (N, D). It is left
            as it was.
        x: images (N, C, H, W); only shape, type and device matter.

    Raises:
        InputError: the model cannot be exported, answers the same images differently, or does not return one tensor.
    """
    if isinstance(model, ExportedProgram):
        return _rewritten(_read_graph(model, x)[0], x)
    x = _as_parameters(model, x)
    file = graph_file(model, x)
    if file is not None:
        stored = stored_graph(file, model, x)
        if stored is not None:
            with suppress(InputError):  # it is another model's after all: it is read below
                return _compared(model, stored, x)
    graph, owners = _read_graph(model, x)
    result = _compared(model, graph, x)
    if file is not None:
        store_graph(file, graph, owners, model)
    return result


def _read_graph(model: nn.Module | ExportedProgram, x: Tensor) -> tuple[Graph, dict[str, str]]:
    """The graph as torch reads it, and for each of its constants the name of the tensor in the model."""
    program = _exported(model, x)
    signature = program.graph_signature
    owners = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    owners |= signature.inputs_to_lifted_tensor_constants
    tensors = {**program.state_dict, **program.constants}
    constants = {name: tensors[target].detach() for name, target in owners.items()}
    if len(signature.user_outputs) != 1 or not isinstance(signature.user_outputs[0], str):
        count = len(signature.user_outputs)
        raise InputError(f"{type(model).__name__} returns {count} values, and an encoder returns one tensor (N, D).")
    sink = signature.user_outputs[0]
    operations = needed([_read(node) for node in program.graph.nodes if node.op == "call_function"], sink)
    return Graph(operations, constants, signature.user_inputs[0], sink, x.shape), owners


def _rewritten(graph: Graph, x: Tensor) -> Graph:
    with torch.no_grad():
        check_deterministic(graph, x)
        return rewritten(graph, torch.ones((), dtype=working_precision(x), device=x.device))


def _compared(model: nn.Module, graph: Graph, x: Tensor) -> Graph:
    """The rewritten graph, if it computes what the model does; else `InputError`."""
    result = _rewritten(graph, x)
    with evaluation_mode(model), torch.no_grad():
        check_equal(model, graph, result, x)
    return result


def _exported(model: nn.Module | ExportedProgram, x: Tensor) -> ExportedProgram:
    if isinstance(model, ExportedProgram):
        return _decomposed(model, model, x)
    _check_readable(model)
    with evaluation_mode(model), torch.no_grad():
        try:
            program = torch.export.export(model, (x,))
        except Exception as error:  # torch.export raises dozens of types; each means that there is no graph
            raise _unreadable(model, x, error) from error
        return program if is_handled(program, _kept()) else _decomposed(program, model, x)


def _decomposed(program: ExportedProgram, model: nn.Module | ExportedProgram, x: Tensor) -> ExportedProgram:
    try:
        result = program.run_decompositions(_decompositions(_kept()))
    except Exception as error:
        raise _unreadable(model, x, error) from error
    for node in result.graph.nodes:
        if isinstance(node.target, HigherOrderOperator):
            path, kind = _module(node)
            raise InputError(
                f"module {path!r} ({kind}) calls torch's {node.target.name()}, which holds operations of its own, and "
                "relevance needs one sequence of operations. Explain it with method 'shapley', which reads none."
            )
    return result


def _unreadable(model: nn.Module | ExportedProgram, x: Tensor, error: Exception) -> InputError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return InputError(f"torch.export cannot read {type(model).__name__} at input shape {tuple(x.shape)}: {reason}")


def _kept() -> frozenset[str]:
    """Operations that are not written out: those with handlers, which modules of one's own add to, and with rules."""
    return _RULED.union(HANDLERS)


@cache
def _decompositions(kept: frozenset[str]) -> dict[Any, Any]:
    """Torch's decompositions of all operations but those that are kept."""
    table = default_decompositions()
    return {operation: table[operation] for operation in table if operation._schema.name.split("::")[1] not in kept}


def _check_readable(model: nn.Module) -> None:
    """`InputError` for modules that hold no operations that torch could write out."""
    for path, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            raise InputError(
                f"{path or type(model).__name__!r} is TorchScript, which holds no graph that can be explained: load "
                "the weights into the Python module that it was made from, or use method 'shapley'."
            )
        if "quantized" in type(module).__module__:
            raise InputError(
                f"module {path!r} ({type(module).__name__}) is quantised, and rounding passes no relevance: explain "
                "the model before quantisation, or use method 'shapley', which reads no graph."
            )


def _as_parameters(model: nn.Module, x: Tensor) -> Tensor:
    """Images in half precision or bfloat16 for a model that has all its parameters in it."""
    types = {parameter.dtype for parameter in model.parameters() if parameter.is_floating_point()}
    return x.to(types.pop()) if len(types) == 1 and types <= {torch.float16, torch.bfloat16} else x


def _read(node: fx.Node) -> Operation:
    arguments = (node.args, dict(node.kwargs))
    args, kwargs = tree_map_only(fx.Node, lambda argument: Ref(argument.name), arguments)
    path, kind = _module(node)
    value = node.meta.get("val")
    shape, dtype = (value.shape, value.dtype) if isinstance(value, Tensor) else (None, None)
    # a view needs the memory format that was traced, and the graph writes nothing in place: a copy does as well
    target = torch.ops.aten.reshape.default if node.target in _VIEWS else functional(node.target)
    return Operation(node.name, target, args, kwargs, path, kind, shape, dtype)


def _module(node: fx.Node) -> tuple[str, str]:
    """Path and type of the module that makes the call; wrappers of a compiled or distributed model left out."""
    path, kind = next(reversed((node.meta.get("nn_module_stack") or {"": ("", "")}).values()))
    kind = kind if isinstance(kind, str) else kind.__name__
    path = ".".join(part for part in path.split(".") if part not in ("_orig_mod",))
    return path, kind.rsplit(".", 1)[-1]
