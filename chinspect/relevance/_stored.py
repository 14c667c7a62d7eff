"""Graphs on disk: what ``torch.export`` has read once need not be read again.

To import ``torch.export``'s tracer and to trace takes half of the time of a short command. So commands keep what was
read of a model, without its weights, in a folder of the user's cache that the environment names
(``CHINSPECT_GRAPHS``). The file's name is a digest of what a graph depends on: the modules with their attributes, the
dates of their source files, the version of torch, and the shape of the images. A graph from disk is compared with the
model as every graph is (`chinspect.relevance._verification.check_equal`), and read anew where it differs.
"""

from __future__ import annotations

import json
import operator
import os
import pickle
import sys
from pathlib import Path
from types import FunctionType
from typing import Any

import torch
from torch import Tensor, nn

from chinspect.digests import digest
from chinspect.errors import MachineError
from chinspect.files import replacing
from chinspect.relevance._graph import Graph, Operation, Ref

VARIABLE = "CHINSPECT_GRAPHS"
"""The environment variable that names the folder; without it nothing is stored."""
_NAMED = (torch.dtype, torch.layout, torch.memory_format)
_PLAIN = (str, int, float, bool, type(None))


def graph_file(model: nn.Module, x: Tensor) -> Path | None:
    """Where the graph of ``model`` for images like ``x`` lies, or will; None where graphs are not stored."""
    folder = os.environ.get(VARIABLE)
    if not folder:
        return None
    parts = [torch.__version__, str((tuple(x.shape), x.dtype, x.device)), _dates(Path(__file__).parent)]
    for path, module in model.named_modules():
        kind = type(module)
        parts += [path, kind.__qualname__, _date(getattr(sys.modules.get(kind.__module__), "__file__", None))]
        parts += [f"{name}={_written(value)}" for name, value in sorted(vars(module).items())]
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    parts += [f"{name} {tuple(t.shape)} {t.dtype}" for name, t in tensors.items()]
    return Path(folder) / f"{digest(chr(0).join(parts))}.graph"


def stored_graph(file: Path, model: nn.Module, x: Tensor) -> Graph | None:
    """The graph in ``file`` with the weights of ``model``; None where there is none that can be read."""
    try:
        saved = torch.load(file, map_location=x.device, weights_only=True)
        document = json.loads(saved["document"])
        tensors = {**dict(model.named_parameters(remove_duplicate=False)), **saved["literals"]}
        tensors |= dict(model.named_buffers(remove_duplicate=False))
        constants = {name: tensors[target].detach() for name, target in document["constants"].items()}
        operations = tuple(Operation(**_decoded_operation(entry)) for entry in document["operations"])
    except (OSError, KeyError, ValueError, RuntimeError, AttributeError, EOFError, pickle.UnpicklingError):
        return None  # absent, cut off, or of another version: as good as none
    return Graph(operations, constants, document["source"], document["sink"], x.shape)


def store_graph(file: Path, graph: Graph, owners: dict[str, str], model: nn.Module) -> None:
    """Writes a graph, whose constants belong to the model's tensors ``owners``, where it can be written at all."""
    ours = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    ours |= {name for name, _ in model.named_buffers(remove_duplicate=False)}
    literals = {target: graph.constants[name] for name, target in owners.items() if target not in ours}
    try:
        document = {
            "constants": owners,
            "operations": [_encoded_operation(operation) for operation in graph.operations],
            "source": graph.source,
            "sink": graph.sink,
        }
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as temporary:
            torch.save({"document": json.dumps(document), "literals": literals}, temporary)
    except (OSError, TypeError, MachineError):
        return  # a folder that cannot be written to, or an operation that has no name: it is read anew each time


def _encoded_operation(operation: Operation) -> dict[str, Any]:
    shape = None if operation.shape is None else list(map(int, operation.shape))
    return {
        "name": operation.name,
        "target": _encoded_target(operation.target),
        "args": [_encoded(value) for value in operation.args],
        "kwargs": {name: _encoded(value) for name, value in operation.kwargs.items()},
        "path": operation.path,
        "module_type": operation.module_type,
        "shape": shape,
        "dtype": _encoded(operation.dtype),
    }


def _decoded_operation(entry: dict[str, Any]) -> dict[str, Any]:
    return entry | {
        "target": _decoded_target(entry["target"]),
        "args": tuple(_decoded(value) for value in entry["args"]),
        "kwargs": {name: _decoded(value) for name, value in entry["kwargs"].items()},
        "shape": None if entry["shape"] is None else torch.Size(entry["shape"]),
        "dtype": _decoded(entry["dtype"]),
    }


def _encoded_target(target: Any) -> str:
    if target is operator.getitem:
        return "getitem"
    if not isinstance(target, torch._ops.OpOverload):
        raise TypeError(f"{target} has no name in torch.ops")
    return str(target)


def _decoded_target(name: str) -> Any:
    if name == "getitem":
        return operator.getitem
    namespace, packet, overload = name.split(".")
    return getattr(getattr(getattr(torch.ops, namespace), packet), overload)


def _encoded(value: Any) -> Any:
    """A value of an argument as JSON; raises `TypeError` for kinds that are not known."""
    if isinstance(value, Ref):
        return {"ref": value.name}
    if isinstance(value, torch.device):
        return {"device": str(value)}
    if isinstance(value, _NAMED):
        return {"torch": str(value).removeprefix("torch.")}
    if isinstance(value, (list, tuple)):
        return [_encoded(item) for item in value]
    if type(value) in _PLAIN:
        return value
    raise TypeError(f"{type(value).__name__} cannot be stored")


def _decoded(value: Any) -> Any:
    if isinstance(value, list):
        return [_decoded(item) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, text),) = value.items()
    if kind == "ref":
        return Ref(text)
    return torch.device(text) if kind == "device" else getattr(torch, text)


def _written(value: Any) -> str:
    """An attribute of a module, so that equal texts mean equal attributes, as far as can be told."""
    if isinstance(value, (list, tuple, set, frozenset)):
        return f"{type(value).__name__}({','.join(map(_written, value))})"
    if isinstance(value, dict):
        return f"{{{','.join(f'{_written(key)}:{_written(item)}' for key, item in value.items())}}}"
    if isinstance(value, FunctionType):
        return f"{value.__qualname__} {digest(value.__code__.co_code)}"
    if isinstance(value, (*_PLAIN, torch.dtype, torch.device, torch.Size)):
        return repr(value)
    return type(value).__qualname__


def _date(file: str | Path | None) -> str:
    return "" if file is None else f"{file} {Path(file).stat().st_mtime_ns}"


def _dates(folder: Path) -> str:
    """When this room was changed, since it decides what is read."""
    return " ".join(_date(file) for file in sorted(folder.glob("*.py")))
