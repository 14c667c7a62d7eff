"""Checkpoints, own and foreign: read without unpickling objects, renamed by a layout, loaded entirely or not at all."""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from chinspect.encoders.efficientnet import as_timm
from chinspect.encoders.prefixes import prefix_hint, without_prefixes
from chinspect.errors import InputError, one_line

SUFFIXES = (".safetensors", ".pt", ".pth", ".torch", ".bin")
"""Suffixes by which a checkpoint's path is recognised."""

StateDict = dict[str, Tensor]


_NESTING = (
    ("classy_state_dict", "base_model", "model", "trunk"),  # VISSL; its heads are a second entry beside the trunk
    ("model_state_dict",),
    ("state_dict",),  # Lightning, PubMedCLIP (beside optimizer_state_dict, best_epoch, best_loss)
    ("model",),
    ("teacher",),  # DINO and DINOv2, beside the student
)
# Training loops leave NumPy scalars (losses, learning rates) beside the tensors; they hold numbers, and run nothing.
_SCALARS: list[Any] = [
    (np.float64(0).__reduce__()[0], "numpy.core.multiarray.scalar"),
    (np.float64(0).__reduce__()[0], "numpy._core.multiarray.scalar"),
    np.dtype,
    *{type(np.dtype(kind)) for kind in (np.float64, np.float32, np.int64, np.int32, np.bool_)},
]
_LEGACY_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")
_LISTED = 8  # names of each kind in a message, which is to stay a sentence


def read_checkpoint(path: Path) -> StateDict:
    """The tensors of a checkpoint by name, as float32 where they are floating point.

    Reads safetensors, and PyTorch files with `weights_only=True`; unwraps the entry that holds the tensors and the
    `module.` of data-parallel training. Raises `InputError` for a file that is missing, damaged, or holds objects.
    """
    if not path.is_file():
        raise InputError(f"The checkpoint {str(path)!r} does not exist; check its path.")
    content = read_tensors(path)
    state = {key: value for key, value in _unwrap(content).items() if isinstance(value, Tensor)}
    if not state:
        raise InputError(f"The checkpoint {str(path)!r} holds no named tensors where they are expected.")
    if all(key.startswith("module.") for key in state):
        state = {key.removeprefix("module."): value for key, value in state.items()}
    return {key: value.float() if value.is_floating_point() else value for key, value in state.items()}


def read_tensors(path: Path) -> Any:
    """What a file holds, on the CPU: tensors and numbers in containers, no objects.

    Raises `InputError` for a file that is damaged or holds anything else.
    """
    if _is_script(path):
        raise InputError(
            f"The checkpoint {str(path)!r} is a TorchScript archive: it holds code, which is not loaded; save the "
            "state_dict of its module as safetensors."
        )
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with torch.serialization.safe_globals(_SCALARS):
            return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, LookupError) as error:  # LookupError: its first byte begins nothing
        raise InputError(
            f"The checkpoint {str(path)!r} is no plain file of tensors: it is another kind of file, damaged, or holds "
            "pickled objects, which are not loaded; save its state_dict as safetensors."
        ) from error
    except (SafetensorError, RuntimeError, EOFError, OSError, ValueError, AttributeError) as error:
        # torch's advice to load whatever a file holds is not repeated
        reason = "torch refuses it" if "weights_only" in str(error) else one_line(error)
        raise InputError(f"The checkpoint {str(path)!r} cannot be read ({reason}).") from error


def _is_script(path: Path) -> bool:
    """Whether a file is an archive of TorchScript, which has an entry for its constants."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False


def load_weights(module: nn.Module, state: Mapping[str, Tensor], heads: Iterable[str], source: str) -> None:
    """Load all of `state` into all of `module`, in place.

    Prefixes that training loops put before the names fall away, and what they keep beside the network; see
    `chinspect.encoders.prefixes`. Left out are also names that begin with one of `heads`. Batch norm's counters of
    training steps may be missing: nothing reads them in evaluation.

    Raises `InputError`, and loads nothing, if a name is missing or unexpected or a shape differs; it lists them.
    """
    expected = module.state_dict()
    renamed = _rename(state, expected, tuple(heads))
    counters = {key for key in expected if key.endswith("num_batches_tracked")}
    problems = {
        "missing": [key for key in expected if key not in renamed and key not in counters],
        "unexpected": [key for key in renamed if key not in expected],
        "of another shape": [
            f"{key} {tuple(renamed[key].shape)} for {tuple(value.shape)}"
            for key, value in expected.items()
            if key in renamed and renamed[key].shape != value.shape
        ],
    }
    if any(problems.values()):
        lists = "; ".join(f"{kind}: {_shorten(keys)}" for kind, keys in problems.items() if keys)
        hint = prefix_hint(renamed, expected)
        raise InputError(f"The weights {source!r} do not fit the architecture, nothing is loaded; {lists}{hint}.")
    module.load_state_dict(expected | renamed)


def _unwrap(content: Any) -> dict[str, Any]:
    for nesting in _NESTING:
        inner = content
        for key in nesting:
            inner = inner.get(key) if isinstance(inner, dict) else None
        if isinstance(inner, dict):
            return inner
    return content if isinstance(content, dict) else {}


def _rename(state: Mapping[str, Tensor], expected: Collection[str], heads: tuple[str, ...]) -> StateDict:
    named = as_timm(without_prefixes(state, expected), expected)
    renamed = {_LEGACY_DENSENET.sub(r"\1\2", key): value for key, value in named.items()}
    return {key: value for key, value in renamed.items() if not key.startswith(heads)}


def _shorten(keys: list[str]) -> str:
    rest = f" and {len(keys) - _LISTED} more" if len(keys) > _LISTED else ""
    return ", ".join(keys[:_LISTED]) + rest
