"""One shard on disk: a safetensors file that knows where it belongs and what it holds.

Its header carries the digest of the store's manifest, its own number, and one sha256 an array over name, type, shape
and values. One each, and not one for all, so that a small array is checked without reading the large one beside it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from chinspect.digests import digest
from chinspect.errors import InputError
from chinspect.files import creating

Array = NDArray[Any]
_HEADER = "chinspect"


@dataclass(frozen=True)
class Shard:
    """An open shard, checked to be the one that was asked for."""

    path: Path
    file: Any
    checksums: dict[str, str]

    def array(self, name: str) -> Array:
        """One array, read and compared with its checksum."""
        self.require(name)
        array = self.file.get_tensor(name)
        if _checksum(name, array) != self.checksums[name]:
            raise damaged(self.path, f"the values of {name!r} are not those that were written")
        return array

    def row(self, name: str, row: int) -> Array:
        """One row of an array, not compared with anything."""
        self.require(name)
        return self.file.get_slice(name)[row]

    def require(self, name: str) -> None:
        """`InputError` for an array that is not there."""
        if name not in self.checksums:
            raise InputError(f"{str(self.path)!r} has no {name!r}: it has {', '.join(sorted(self.checksums))}.")


def write_shard(path: Path, arrays: Mapping[str, Array], manifest: str, number: int) -> None:
    """Writes one shard of the store whose manifest has this digest, entirely or not at all; an existing one stays."""
    # safetensors writes the memory as it lies, so that it has to lie in rows
    plain = {name: _in_rows(np.asarray(array)) for name, array in arrays.items()}
    checksums = {name: _checksum(name, array) for name, array in plain.items()}
    header = json.dumps({"manifest": manifest, "shard": number, "sha256": checksums})
    try:
        with creating(path) as temporary:
            # not save_file, whose own temporary would stay behind if this process was killed;
            # one entry of metadata, because several would lie in a random order
            temporary.write_bytes(save(plain, metadata={_HEADER: header}))
    except (OSError, SafetensorError) as error:
        raise InputError(
            f"the shard {str(path)!r} cannot be written ({error}): make room, or run elsewhere."
        ) from error


@contextmanager
def open_shard(path: Path, manifest: str, number: int) -> Iterator[Shard]:
    """A shard to read from; `InputError` if it is missing, damaged, or of another store or number."""
    if not path.exists():
        raise InputError(f"the shard {str(path)!r} is missing: run again.")
    try:
        with safe_open(path, framework="numpy") as file:
            header = json.loads((file.metadata() or {})[_HEADER])
            checksums = header["sha256"]
            if (header["manifest"], header["shard"]) != (manifest, number):
                raise InputError(f"the shard {str(path)!r} is of another store or place: remove it and run again.")
            if checksums.keys() != set(file.keys()):
                raise damaged(path, "it lists other arrays than it holds")
            yield Shard(path, file, checksums)
    except InputError:
        raise
    except (SafetensorError, OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise damaged(path, str(error)) from error


def damaged(path: Path, reason: str) -> InputError:
    """The error of a shard that is not as it was written."""
    return InputError(f"the shard {str(path)!r} is damaged or truncated ({reason}): remove it and run again.")


def _in_rows(array: Array) -> Array:
    return array.astype(array.dtype.newbyteorder("="), order="C", copy=False)


def _checksum(name: str, array: Array) -> str:
    return digest(json.dumps([name, array.dtype.str, array.shape]), _in_rows(np.asarray(array)))
