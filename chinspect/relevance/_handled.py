"""Which programs of ``torch.export`` can be read as they are: those whose operations all have handlers.

Torch takes longer to write out the operations of a network than to export it, also where it changes none. Operations
in place are read as those that give a new value (``relu_`` as ``relu``) where nothing reads the old value any more,
neither by its own name nor by that of a view, and where the new value has the same type: in place it keeps its own.
"""

from __future__ import annotations

import operator
from collections.abc import Collection
from typing import Any

import torch
from torch import fx
from torch._ops import OpOverload
from torch.export import ExportedProgram

_SAME = {"dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout", "lift_fresh_copy"}
"""Operations that give their input back in evaluation mode, which their schemas do not say."""


def is_handled(program: ExportedProgram, kept: Collection[str]) -> bool:
    """Whether all operations are kept as they are, or are the in-place form of one that is.

    Args:
        kept: names of operations with handlers or rules, without their namespace ``aten``.
    """
    order = {node: number for number, node in enumerate(program.graph.nodes)}
    calls = [node for node in order if node.op == "call_function" and node.target is not operator.getitem]
    return all(_is_kept(node.target, kept) and (not _writes(node) or _is_last(node, order)) for node in calls)


def functional(target: Any) -> Any:
    """The form of an operation that writes nothing; itself where there is none, or it writes nothing anyway."""
    if not isinstance(target, OpOverload) or not target._schema.is_mutable:
        return target
    packet = getattr(torch.ops.aten, _name(target).removesuffix("_"), None)
    return getattr(packet, target._overloadname, target)


def _is_kept(target: Any, kept: Collection[str]) -> bool:
    other = functional(target)
    return isinstance(other, OpOverload) and not other._schema.is_mutable and _name(other) in kept


def _name(target: OpOverload) -> str:
    """Without the namespace of torch's own operations; others keep theirs, and are no operation of the same name."""
    return target._schema.name.removeprefix("aten::")


def _writes(node: fx.Node) -> bool:
    return bool(node.target._schema.is_mutable)  # type: ignore[union-attr]


def _is_last(node: fx.Node, order: dict[fx.Node, int]) -> bool:
    """Whether an operation in place of one type is the last that reads what it writes to, which shares no memory."""
    written = node.args[0]
    if not isinstance(written, fx.Node) or written.op != "call_function" or _shares(written):
        return False
    # of two types of numbers an operation in place keeps the first, and another takes the more exact one
    types = {getattr(argument.meta.get("val"), "dtype", None) for argument in node.all_input_nodes}
    unread = all(user is node or (order[user] < order[node] and not _shares(user)) for user in written.users)
    return unread and len(types) == 1


def _shares(node: fx.Node) -> bool:
    """Whether a result may be a view of an argument that goes on to be read; that of an operation in place is not."""
    if not isinstance(node.target, OpOverload):
        return True  # a part of several results
    schema = node.target._schema
    return _name(node.target) in _SAME or (not schema.is_mutable and any(item.alias_info for item in schema.returns))
