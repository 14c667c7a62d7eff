"""The state of a training after an epoch, as a safetensors file: another process goes on from it to the same weights.

module.NAME            parameters and buffers
optimizer.INDEX.NAME   what the optimiser holds of each parameter
selected.NAME          the weights of the epoch that is the best so far, where one is selected
rows                   of the metadata: one row an epoch, as JSON
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from chinspect.errors import InputError
from chinspect.files import output_folder, replacing

Rows = list[dict[str, float]]
Weights = dict[str, Tensor]


def weights_of(module: nn.Module) -> Weights:
    """A copy of all parameters and buffers, on the CPU."""
    return {key: value.detach().cpu().clone().contiguous() for key, value in module.state_dict().items()}


def write_state(
    path: Path, module: nn.Module, optimizer: torch.optim.Optimizer, rows: Rows, selected: Mapping[str, Tensor]
) -> None:
    """Writes the file, or leaves the one of the epoch before as it is."""
    tensors = {f"module.{key}": value for key, value in weights_of(module).items()}
    for index, values in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{key}": value.cpu().contiguous() for key, value in values.items()}
    tensors |= {f"selected.{key}": value for key, value in selected.items()}
    output_folder(path.parent)
    with replacing(path) as temporary:
        save_file(tensors, temporary, {"rows": json.dumps(rows)})


def read_state(path: Path, module: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[Rows, Weights]:
    """Puts module and optimiser where they were; the rows, and the weights of the epoch that was selected.

    Raises `InputError` for a file that is damaged.
    """
    parts: dict[str, Weights] = {"module": {}, "optimizer": {}, "selected": {}}
    try:
        with safe_open(str(path), "pt") as file:
            rows: Rows = json.loads(file.metadata()["rows"])
            for name in file.keys():  # noqa: SIM118, which is no mapping
                part, _, key = name.partition(".")
                parts[part][key] = file.get_tensor(name)
        moments: dict[int, dict[str, Any]] = {}
        for name, value in parts["optimizer"].items():
            index, _, key = name.partition(".")
            moments.setdefault(int(index), {})[key] = value
        module.load_state_dict(parts["module"])
        optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    except (OSError, SafetensorError, RuntimeError, ValueError, LookupError, TypeError) as error:
        problem = f"the checkpoint {str(path)!r} cannot be read ({error})"
        raise InputError(f"{problem}: remove it to train from the start.") from error
    return rows, parts["selected"]
