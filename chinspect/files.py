"""Files are written completely or not at all, and named in text that any file or terminal can hold."""

from __future__ import annotations

import errno
import json
import os
import platform
import re
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import psutil

from chinspect.errors import FULL, InputError, MachineError

_ENDINGS = (".json", ".npz", ".png", ".html", ".csv", ".parquet")
"""Of the files of a result, see `chinspect.report.Result`."""
_ROOM = 1 << 16  # bytes: less than that is free where a writer failed because nothing is left

_MAX_JSON = 10_000_000  # bytes: a record has kilobytes, and a file that only claims to be one shall not fill the memory


def shown(path: str | Path) -> str:
    """The path as text that can be written and printed; bytes of its names that are not UTF-8 as in ``\\xff``."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def replacing(path: Path) -> AbstractContextManager[Path]:
    """A temporary name beside ``path`` to write to; it replaces ``path`` when all went well, and is removed if not."""
    return _temporary(path, os.replace)


def creating(path: Path) -> AbstractContextManager[Path]:
    """As `replacing`, for many writers of one file: the first one that is done makes it, others change nothing."""
    return _temporary(path, _link)


def remove_leftovers(folder: Path) -> None:
    """Removes the temporary files of writers that were killed: those of this host whose process is gone."""
    ours = re.compile(rf"\..+\.{re.escape(platform.node())}\.(\d+)\.[0-9a-f]{{8}}\.part")
    for name in os.listdir(folder):
        match = ours.fullmatch(name)
        if match is not None and not psutil.pid_exists(int(match[1])):
            (folder / name).unlink(missing_ok=True)


@contextmanager
def _temporary(path: Path, finish: Callable[[Path, Path], None]) -> Iterator[Path]:
    """A name that no other writer has, be it another thread, process or host on a shared disk.

    The file gets the permissions of any new one, also from writers that keep theirs to the owner, as safetensors does.
    """
    writer = f"{platform.node()}.{os.getpid()}.{secrets.token_hex(4)}"
    temporary = path.with_name(f".{path.name}.{writer}.part")
    try:
        temporary.touch()  # a new file tells the umask; os.umask would change it for other threads
        mode = temporary.stat().st_mode
        yield temporary
        if temporary.stat().st_mode != mode:
            temporary.chmod(mode)
        finish(temporary, path)
    except Exception as error:
        if _is_full(path.parent, error):
            raise MachineError(
                f"the disk of {shown(path.parent)!r} is full, and {shown(path.name)!r} cannot be written: make room "
                "and run again."
            ) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _is_full(folder: Path, error: Exception) -> bool:
    """Whether a writer failed for want of room; NumPy and safetensors do not pass on the system's reason."""
    if isinstance(error, InputError) or not folder.is_dir():
        return False
    told = getattr(error, "errno", None) in FULL or f"os error {errno.ENOSPC}" in str(error)
    return told or shutil.disk_usage(folder).free < _ROOM


def _link(temporary: Path, path: Path) -> None:
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    except OSError:  # a disk without hard links, such as exFAT
        os.replace(temporary, path)


def check_output_file(path: str | Path) -> None:
    """`InputError` unless a file can be written there, before the work whose result it will hold."""
    file = Path(path)
    if file.is_dir():
        raise InputError(f"the output file {str(file)!r} is a folder: give the name of a file.")
    if not file.parent.is_dir():
        raise InputError(f"the folder of the output file {str(file)!r} does not exist: make it, or choose another.")
    _check_writable(file.parent)


def check_output_folder(path: str | Path) -> None:
    """`InputError` where `output_folder` could not make it or write to it; nothing is made."""
    folder = Path(path)
    nearest = next(parent for parent in (folder, *folder.parents) if parent.exists() or parent.parent == parent)
    if not nearest.is_dir():
        raise InputError(f"cannot make the output folder {str(folder)!r} ({str(nearest)!r} is a file): choose another.")
    _check_writable(nearest)


def claim_folder(
    folder: str | Path, names: Sequence[str], *, inputs: Sequence[str | Path | None] = (), force: bool = False
) -> None:
    """`InputError`, before the work, where results must not be written to a folder; nothing is made.

    Args:
        folder: of the results.
        names: of their files; one without an ending stands for a result's document, arrays, figure, page and tables.
        inputs: files and folders that the work reads, None for one that was not named: no output replaces one of them.
        force: whether results of an earlier run may be replaced.
    """
    check_output_folder(folder)
    files = (Path(folder, name + ending) for name in names for ending in ([""] if Path(name).suffix else _ENDINGS))
    there = [file for file in files if file.exists()]
    _check_not_read(there, inputs)
    if there and not force:
        raise InputError(
            f"{shown(there[0])!r} is there already: choose another --out, or replace what an earlier run wrote with "
            "--force."
        )


def claim_file(path: str | Path, *, inputs: Sequence[str | Path | None] = (), force: bool = False) -> None:
    """As `claim_folder`, for a single file."""
    check_output_file(path)
    file = Path(path)
    if file.exists():
        _check_not_read([file], inputs)
        if not force:
            raise InputError(f"{shown(file)!r} is there already: choose another name, or replace it with --force.")


def _check_not_read(outputs: Sequence[Path], inputs: Sequence[str | Path | None]) -> None:
    """`InputError` where an output is an input, or lies in a folder that is one."""
    read = [Path(source).resolve() for source in inputs if source is not None]
    for output in outputs:
        target = output.resolve()
        for source in read:
            if target == source or source in target.parents:
                raise InputError(
                    f"{shown(output)!r} is read, and would be overwritten: no output replaces an input, so choose "
                    "another."
                )


def output_folder(path: str | Path) -> Path:
    """``path`` as a folder that exists; `InputError` where it cannot be made or written to."""
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"cannot make the output folder {str(folder)!r} ({error.strerror}): choose another."
        ) from error
    _check_writable(folder)
    return folder


def _check_writable(folder: Path) -> None:
    if not os.access(folder, os.W_OK):
        raise InputError(f"the output folder {str(folder)!r} cannot be written to: choose another.")


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises `FileNotFoundError` where there is none, and `InputError` for anything else."""
    try:
        with path.open(encoding="utf-8") as file:
            document = json.loads(file.read(_MAX_JSON))
    except FileNotFoundError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{str(path)!r} cannot be read ({error}).") from error
    if not isinstance(document, dict):
        raise InputError(f"{str(path)!r} cannot be read (it holds no JSON object).")
    return document
