"""The attribution store: results of one description, in shards, on disk, written by any number of processes.

    manifest.json             the description (model hash, composite, components, preprocessing, samples: everything
                              that decides the result), number of shards, library versions, the sha256 over them
    shards/00000.safetensors  the arrays of one shard, with that digest and a sha256 of each array in the header

A file is written under a temporary name and then linked into place, so that it is whole or not there, and the first of
several writers wins. A run that was killed anywhere is gone on with by whoever comes next. What a store holds is read
under its own description only: another one is refused, by the name of the first parameter that differs, and a shard
that was changed, cut, or taken from another store does not pass its checksums. Nothing is deleted for the user.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np

from chinspect.errors import InputError
from chinspect.execute._manifest import compare, create_manifest, new_manifest, read_manifest
from chinspect.execute._shard import Array, open_shard, write_shard
from chinspect.files import output_folder, remove_leftovers

_SHARDS = "shards"


class Store:
    """The shards of one description.

    Attributes:
        path: the folder.
        description: what decides the result, in plain JSON types.
        n_shards: how many there are when all is done.
        digest: sha256 of the manifest, 64 hexadecimal digits.
    """

    def __init__(self, path: str | Path, description: Mapping[str, Any], n_shards: int) -> None:
        """Makes a store, or goes on with one of the same making.

        Args:
            path: folder, made if need be.
            description: JSON values; everything that decides the result.
            n_shards: at least 1.

        Raises:
            InputError: the folder cannot be written to, or holds a store of another description, number of shards or
                library versions.
        """
        manifest = new_manifest(description, n_shards)
        folder = output_folder(path)
        create_manifest(folder, manifest)
        self._read(folder)
        compare(folder, self._manifest, manifest)
        remove_leftovers(folder)
        remove_leftovers(output_folder(folder / _SHARDS))

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """A store as it lies on disk, also one that older libraries made; `InputError` where there is none."""
        store = cls.__new__(cls)
        store._read(Path(path))
        return store

    def _read(self, folder: Path) -> None:
        self.path = folder
        self._manifest = read_manifest(folder)
        self.description: dict[str, Any] = self._manifest["description"]
        self.n_shards: int = self._manifest["n_shards"]
        self.digest: str = self._manifest["digest"]
        self._checked: set[tuple[int, str]] = set()

    def missing(self) -> list[int]:
        """Numbers of the shards that are still to be written, in order."""
        try:
            written = set(os.listdir(self.path / _SHARDS))
        except FileNotFoundError:
            written = set()
        return [shard for shard in range(self.n_shards) if self._file(shard).name not in written]

    @property
    def complete(self) -> bool:
        """Whether every shard is there."""
        return not self.missing()

    def has(self, shard: int) -> bool:
        """Whether a shard is there."""
        return self._file(shard).exists()

    def write(self, shard: int, arrays: Mapping[str, Array]) -> None:
        """Writes one shard, entirely or not at all; an existing one stays. Arrays of numbers, of any shape."""
        if not self.has(shard):
            write_shard(self._file(shard), arrays, self.digest, shard)

    def read(self, shard: int) -> dict[str, Array]:
        """The arrays of one shard; `InputError` if it is missing, truncated, changed, or of another store."""
        with open_shard(self._file(shard), self.digest, shard) as opened:
            return {name: opened.array(name) for name in opened.checksums}

    def row(self, shard: int, name: str, row: int) -> Array:
        """One row of an array of one shard, without its other rows once the array was checked: at its first use."""
        with open_shard(self._file(shard), self.digest, shard) as opened:
            if (shard, name) not in self._checked:
                opened.array(name)
                self._checked.add((shard, name))
            return opened.row(name, row)

    def arrays(self, name: str) -> Array:
        """One array of all shards, concatenated in their order; the other arrays are not read."""
        arrays = []
        for shard in range(self.n_shards):
            with open_shard(self._file(shard), self.digest, shard) as opened:
                arrays.append(opened.array(name))
        return np.concatenate(arrays)

    def _file(self, shard: int) -> Path:
        if not 0 <= shard < self.n_shards:
            raise InputError(f"the store {str(self.path)!r} has {self.n_shards} shards, and no shard {shard}.")
        return self.path / _SHARDS / f"{shard:05d}.safetensors"
