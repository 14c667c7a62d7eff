"""Tables that may be larger than the memory: they then lie in a temporary file, and are read as they are needed."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import psutil
import torch
from torch import Tensor

from chinspect.errors import InputError

_CGROUP = Path("/sys/fs/cgroup")
_ROWS = 4096  # copied at once


def table(rows: int, columns: int, like: Tensor) -> Tensor:
    """A table (rows, columns) for numbers of the type and on the device of ``like``, to be filled.

    On a CPU it is a temporary file where it would take more than half of the free memory.

    Raises `InputError`, with the bytes that it needs, where there is room for it nowhere.
    """
    size = rows * columns * like.element_size()
    if like.device.type == "cuda":
        _check_room(size, torch.cuda.mem_get_info(like.device)[0], f"of memory on {like.device}")
    if like.device.type != "cpu" or size <= free_memory() // 2:
        return torch.empty(rows, columns, dtype=like.dtype, device=like.device)
    folder = tempfile.gettempdir()
    _check_room(size, shutil.disk_usage(folder).free, f"in {folder!r}, as the memory is too small for it (see TMPDIR)")
    with tempfile.TemporaryFile() as file:
        if hasattr(os, "posix_fallocate"):  # else a disk that fills up while it is written to ends the process
            os.posix_fallocate(file.fileno(), 0, size)
        numbers = np.memmap(file, torch.empty(0, dtype=like.dtype).numpy().dtype, "w+", 0, (rows, columns))
    return torch.from_numpy(numbers)


def gathered(values: Tensor, rows: Tensor) -> Tensor:
    """Some rows of a table, as a table; all rows in their order are the table itself."""
    if len(rows) == len(values) and bool((rows.diff() == 1).all()):
        return values
    result = table(len(rows), values.shape[1], values)
    for part, chunk in zip(result.split(_ROWS), rows.split(_ROWS), strict=True):
        torch.index_select(values, 0, chunk, out=part)
    return result


def check_memory(size: int) -> None:
    """`InputError`, with the bytes that are needed, where there is less free memory."""
    _check_room(size, free_memory(), "of memory")


def free_memory() -> int:
    """Bytes that this process may still take: of the machine, and of the control group that it runs in."""
    free: int = psutil.virtual_memory().available
    try:
        limit = (_CGROUP / "memory.max").read_text().strip()
        used = int((_CGROUP / "memory.current").read_text())
        statistics = dict(line.split() for line in (_CGROUP / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return free
    # cached files count as used, and give way
    return free if limit == "max" else min(free, int(limit) - used + int(statistics.get("inactive_file", 0)))


def _check_room(size: int, free: int, where: str) -> None:
    if size > free:
        raise InputError(
            f"PatchCore needs {size / 1e9:.1f} GB for its patches and there are {max(0, free) / 1e9:.1f} GB {where}: "
            "fit it on fewer or smaller images (size), or on layers of fewer channels or smaller maps."
        )
