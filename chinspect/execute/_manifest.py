"""What a store was made of: compared by digest, explained by the first parameter that differs.

The digest is the sha256 of description, number of shards and library versions, as JSON with sorted keys. It takes the
types along: 1, 1.0 and true are three descriptions.
"""

from __future__ import annotations

import json
import reprlib
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from chinspect import __version__
from chinspect.digests import digest_of_json
from chinspect.errors import InputError
from chinspect.files import creating

SCHEMA = 1
FILE = "manifest.json"
_LIBRARIES = ("torch", "numpy", "pillow", "opencv-python-headless")
"""Those whose release may change a result."""

Manifest = dict[str, Any]


def new_manifest(description: Mapping[str, Any], n_shards: int) -> Manifest:
    """The manifest of a store that is made now; `InputError` for a description that JSON cannot hold."""
    if not isinstance(n_shards, int) or n_shards < 1:
        raise InputError(f"a store needs at least one shard, not {n_shards!r}.")
    versions = {"chinspect": __version__, **{name: version(name) for name in _LIBRARIES}}
    content = {"description": dict(description), "n_shards": n_shards, "versions": versions}
    try:
        return {"schema": SCHEMA, "digest": digest_of_json(content), **json.loads(json.dumps(content))}
    except (TypeError, ValueError) as error:
        raise InputError(f"a store's description must be plain JSON values ({error}).") from error


def create_manifest(folder: Path, manifest: Manifest) -> None:
    """Writes the manifest of a new store; one that is there stays."""
    try:
        if not (folder / FILE).exists():
            with creating(folder / FILE) as temporary:
                temporary.write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    except OSError as error:
        raise InputError(f"no store can be made in {str(folder)!r} ({error.strerror}): choose another.") from error


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a store on disk; `InputError` where there is none, or one that was changed."""
    try:
        manifest = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{str(folder)!r} holds no store: it has no readable {FILE}.") from error
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
        raise InputError(f"{str(folder)!r} holds no store, or one of another version's layout: choose another folder.")
    if manifest.get("digest") != digest_of_json(
        {key: manifest.get(key) for key in ("description", "n_shards", "versions")}
    ):
        raise InputError(f"the {FILE} of {str(folder)!r} was changed or is damaged: remove the folder and run again.")
    return manifest


def compare(folder: Path, stored: Manifest, wanted: Manifest) -> None:
    """`InputError` that names the first parameter in which the store differs from what is asked for."""
    if stored["digest"] != wanted["digest"]:
        name, old, new = _first_difference(stored, wanted)
        raise InputError(
            f"{str(folder)!r} holds results of another {name.removeprefix('description.')} ({reprlib.repr(old)}, not "
            f"{reprlib.repr(new)}): choose another output folder, or remove this one."
        )


def _first_difference(stored: Manifest, wanted: Manifest) -> tuple[str, Any, Any]:
    """Dotted name and both values, in the order of ``wanted``; a key that one of them lacks counts as None."""
    for key in [key for key in [*wanted, *stored] if key != "digest"]:
        old = stored.get(key)
        new = wanted.get(key)
        # as JSON, which tells 1, 1.0 and true apart
        if (key in stored) == (key in wanted) and digest_of_json([old]) == digest_of_json([new]):
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            name, old, new = _first_difference(old, new)
            return f"{key}.{name}", old, new
        return key, old, new
    raise AssertionError("manifests of two digests differ")
