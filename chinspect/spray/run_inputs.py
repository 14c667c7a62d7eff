"""Maps and labels as they lie on disk. Nothing is unpickled."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chinspect.errors import InputError
from chinspect.execute import Samples, load_samples
from chinspect.spray.pooling import check_channels

FOLDER = "folder"
"""As the source of labels: the folder that an image lies in."""


def load_maps(path: str | Path) -> NDArray[np.float32]:
    """Maps of an .npy file: (N, H, W), or (N, C, H, W), whose channels are summed.

    Raises `InputError` for a file that cannot be read or holds something else.
    """
    maps = _load(path, "maps")
    if maps.ndim not in (3, 4) or maps.dtype.kind not in "fiu" or 0 in maps.shape:
        raise InputError(
            f"{str(path)!r} holds {maps.dtype} {maps.shape}, and maps are numbers (N, H, W) or (N, C, H, W)."
        )
    check_channels(maps.shape)
    with np.errstate(over="ignore", invalid="ignore"):
        return (maps if maps.ndim == 3 else maps.sum(1)).astype(np.float32)


def load_labels(source: str, names: Sequence[str], paths: Sequence[Path] | None) -> list[str]:
    """One label an image.

    Args:
        source: ``folder``, for the name of the folder that an image, or a link to one, lies in; a table with columns
            ``path`` and ``label`` (.csv, .parquet), whose paths name the images; or an .npy file with one label a map,
            in order.
        names, paths: of the images; there may be no paths.

    Raises `InputError` where an image has no label, or the file holds something else.
    """
    if Path(source).suffix.lower() == ".npy":
        labels = _load(source, "labels")
        if labels.shape != (len(names),) or labels.dtype.kind not in "iubUS":
            raise InputError(
                f"{source!r} holds {labels.dtype} {labels.shape}, and labels are one integer or text for each of "
                f"{len(names)} maps."
            )
        return [str(label) for label in labels.tolist()]
    if paths is None:
        raise InputError(f"the labels {source!r} belong to images: give the images, or labels as an .npy file.")
    if source == FOLDER:
        return [Path(os.path.abspath(path)).parent.name for path in paths]  # resolves "..", and follows no link
    return _of_table(load_samples(source), source, paths)


def _of_table(table: Samples, source: str, paths: Sequence[Path]) -> list[str]:
    if table.labels is None:
        raise InputError(f"the table {source!r} has no column 'label': add one, or use --labels folder.")
    known = dict(zip((path.resolve() for path in table.paths), table.labels, strict=True))
    missing = [path for path in paths if path.resolve() not in known]
    if missing:
        raise InputError(f"{source!r} has no label for {len(missing)} images, such as {str(missing[0])!r}: add them.")
    return [known[path.resolve()] for path in paths]


def _load(path: str | Path, what: str) -> NDArray[Any]:
    try:
        with Path(path).open("rb") as file:
            found = np.lib.format.read_array(file, allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError, TypeError, MemoryError, OverflowError) as error:
        raise InputError(
            f"the {what} {str(path)!r} cannot be read as an .npy file without pickled objects ({error})."
        ) from error
    return np.asarray(found)
