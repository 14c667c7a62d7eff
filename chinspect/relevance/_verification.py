"""Whether a network answers the same images in the same way, and with numbers."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from chinspect.errors import InputError
from chinspect.relevance._graph import Graph, Operation, working_precision

_SAME = 1e-3  # relative: sums in another order differ by less, a dropped unit by more
_SAME_LOW = 0.2  # where the model rounds to 3 digits or fewer in each layer, and the graph does not
_LOW = (torch.float16, torch.bfloat16)


def check_deterministic(graph: Graph, x: Tensor) -> None:
    """`InputError` if an operation draws random numbers, by the module that makes it; two passes are compared.

    Most networks have no operation that could, and are not run.
    """
    if not any(_may_draw(operation) for operation in graph.operations):
        return
    probe = _probe(x)
    devices = [x.device] if x.is_cuda else []
    with torch.random.fork_rng(devices):
        for (operation, first), (_, second) in zip(graph.run(probe), graph.run(probe), strict=True):
            if not _same(first, second):
                raise InputError(
                    f"module {operation.path!r} ({operation.module_type}) draws random numbers in evaluation "
                    f"({operation.target}): two passes of the same image differ, and there is nothing definite to "
                    "explain. Set its dropout to 0."
                )


def check_equal(model: Callable[[Tensor], Tensor], read: Graph, graph: Graph, x: Tensor) -> None:
    """`InputError` if the graph, ``read`` from the model and rewritten, does not compute what the model does.

    So it is with random numbers that are drawn outside of torch, and with Python code that depends on the image.
    """
    # where nothing has imported the compiler, which takes a second, nothing is compiled
    compiles = "torch._dynamo" in sys.modules
    with torch.compiler.set_stance("force_eager") if compiles else nullcontext():
        expected = model(_probe(x)).float()
    output = expected
    for _, value in graph.run(_probe(x).to(working_precision(x))):
        output = value
    error = float((output.float() - expected).norm() / expected.norm().clamp(min=1e-30))
    low = any(operation.dtype in _LOW for operation in read.operations)
    if error > (_SAME_LOW if low else _SAME):
        raise InputError(
            f"{type(model).__name__} answers the same image differently from one pass to the next, or torch.export "
            f"reads it wrongly: the outputs differ by {error:.1%}, and there is nothing definite to explain."
        )


def check_finite(graph: Graph, x: Tensor, output: Tensor) -> None:
    """`InputError` if an output is not a finite number, by the module where that begins."""
    if bool(output.isfinite().all()):
        return
    for operation, value in graph.run(x):
        # infinity is no fault yet: masks of attention hold it
        if isinstance(value, Tensor) and value.is_floating_point() and bool(value.isnan().any()):
            raise InputError(
                f"the output of the model is not finite: NaN begins in module {operation.path!r} "
                f"({operation.module_type}, {operation.target}). Check its weights."
            )
    raise InputError("the output of the model is not finite: it overflows. Check its weights.")


def _probe(x: Tensor) -> Tensor:
    """Images of no zeros, whose dropout would be zero as well."""
    return torch.rand(x.shape, generator=torch.Generator().manual_seed(0)).to(x)


def _may_draw(operation: Operation) -> bool:
    if torch.Tag.nondeterministic_seeded not in getattr(operation.target, "tags", ()):
        return False
    schema = operation.target._schema.arguments
    values = {argument.name: argument.default_value for argument in schema}
    values |= dict(zip(values, operation.args, strict=False)) | operation.kwargs
    return not any(name in values and not values[name] for name in ("train", "training", "dropout_p"))


def _same(first: Any, second: Any) -> bool:
    if not isinstance(first, Tensor):
        return all(_same(*values) for values in zip(first, second, strict=True))
    if not first.is_floating_point():
        return bool(torch.equal(first, second))
    size = float(first.nan_to_num().abs().max()) if first.numel() else 0.0
    return bool(torch.isclose(first, second, rtol=_SAME, atol=_SAME * size, equal_nan=True).all())
