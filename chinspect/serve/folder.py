"""Files of a run, by the names that are written here: no path ever comes from a request.

A link that leads out of the run is no file of it, so that a run from a stranger shows nothing of this machine but what
its list of images names, and those are opened as images only.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from chinspect.errors import InputError

FIGURES = {
    "embedding.png": "All images in the plane, candidates coloured",
    "spectrum.png": "Eigenvalues of the graph of maps; a gap after the k-th speaks for k clusters",
    "audit.png": "What was looked at, and what came out",
    "report.png": "What was looked at, and what came out",
    "similarity.png": "Why two images are similar",
}
"""Figures that a run may hold, and what they show."""
SHEETS = {
    "sheet.png": "Members and other images, with their maps",
    "proof.png": "What the intervention did to the model, beside placebos",
}
"""Figures that the folder of a candidate may hold."""
REPORTS = ("report.html", "audit.html", "run.html", "similarity.html")
"""Reports that a run may hold; each is one file without any other."""
_MAPS = ("mean_map.npy", "template.npy")
_DEPTH = 2  # folders below an audit in which its analysis may lie


def file_of(home: Path, *names: str) -> Path | None:
    """A regular file of the run in ``home``; None where there is none, or a link to it leads out of the run."""
    path = home.joinpath(*names)
    try:
        within = path.resolve(strict=True).is_relative_to(home.resolve(strict=True))
        return path if within and path.is_file() else None
    except (OSError, ValueError, RuntimeError):  # not there, a name that the system refuses, a circle of links
        return None


def analyses(home: Path, depth: int = _DEPTH) -> Iterator[Path]:
    """Folders below ``home`` that hold a ``run.json``, nearest first; links are not followed."""
    if depth == 0:
        return
    folders = sorted(entry for entry in home.iterdir() if entry.is_dir() and not entry.is_symlink())
    yield from (folder for folder in folders if file_of(folder, "run.json"))
    for folder in folders:
        yield from analyses(folder, depth - 1)


def figures(home: Path) -> dict[str, str]:
    """The figures of a run that are there, by name, and what they show."""
    return {name: text for name, text in FIGURES.items() if file_of(home, name)}


def sheets(home: Path, candidate: int) -> dict[str, str]:
    """The figures of a candidate that are there, by name, and what they show."""
    return {name: text for name, text in SHEETS.items() if file_of(home, "candidates", str(candidate), name)}


def report_of(home: Path) -> Path | None:
    """The report of a run, where it has one."""
    return next(filter(None, (file_of(home, name) for name in REPORTS)), None)


def map_of(home: Path, candidate: int, name: str) -> NDArray[np.floating] | None:
    """A map (h, w) of a candidate, ``mean_map.npy`` or ``template.npy``; None where it is not there or is none."""
    path = file_of(home, "candidates", str(candidate), name) if name in _MAPS else None
    if path is None:
        return None
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return values if values.ndim == 2 and values.dtype.kind == "f" and values.size else None


def open_maps(path: Path) -> NDArray[np.floating]:
    """The maps (N, h, w) of a run, mapped into memory: only what is looked at is read.

    Raises `InputError` for a file that holds no maps.
    """
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{str(path)!r} cannot be read as maps ({error}): write the run anew.") from error
    if values.ndim != 3 or values.dtype.kind not in "fiu" or 0 in values.shape:
        raise InputError(f"{str(path)!r} holds {values.dtype} {values.shape}, and maps are numbers (N, h, w).")
    return values
