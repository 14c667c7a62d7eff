"""Files are written whole or not at all."""

from __future__ import annotations

import os
import platform
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from chinspect.errors import InputError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside ``path`` to write to; it takes the place of ``path`` when all went well, else it goes."""
    with _temporary(path) as temporary:
        yield temporary
        os.replace(temporary, path)


@contextmanager
def creating(path: Path) -> Iterator[Path]:
    """As `replacing`, for many writers of the same file: the first one that is done makes it, and it stays."""
    with _temporary(path) as temporary:
        yield temporary
        try:
            os.link(temporary, path)
        except FileExistsError:
            pass
        except OSError:  # a disk without hard links, such as exFAT
            os.replace(temporary, path)


def remove_leftovers(folder: Path) -> None:
    """Removes the temporary files of writers that were killed: those of this host whose process is gone."""
    ours = re.compile(rf"\..+\.{re.escape(platform.node())}\.(\d+)\.[0-9a-f]{{8}}\.part")
    for name in os.listdir(folder):
        found = ours.fullmatch(name)
        if found is not None and not psutil.pid_exists(int(found[1])):
            (folder / name).unlink(missing_ok=True)


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """A name that no other writer has, be it another thread, process or host on a shared disk."""
    writer = f"{platform.node()}.{os.getpid()}.{secrets.token_hex(4)}"
    temporary = path.with_name(f".{path.name}.{writer}.part")
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def output_folder(path: str | Path) -> Path:
    """``path`` as a folder that exists; `InputError` where it cannot be made or written to."""
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"cannot make the output folder {str(folder)!r} ({error.strerror}): choose another."
        ) from error
    if not os.access(folder, os.W_OK):
        raise InputError(f"the output folder {str(folder)!r} cannot be written to: choose another.")
    return folder
