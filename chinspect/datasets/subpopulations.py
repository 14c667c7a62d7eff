"""Data sets with groups as they lie on disk: Waterbirds, CelebA, UrbanCars, and the tables of SubpopBench.

Each comes to the same: images, a class y, an attribute a that goes with it in training, and a split.

* Waterbirds: ``metadata.csv`` with img_filename, y, place and split 0, 1, 2 (Sagawa et al. 2020, arXiv:1911.08731).
* CelebA: ``list_attr_celeba.csv`` (or .txt), ``list_eval_partition.csv`` (or .txt) and ``img_align_celeba/``; y is
  Blond_Hair and a is Male (Liu et al. 2015).
* UrbanCars: ``train``, ``val`` and ``test`` with folders ``obj-A_bg-B_co_occur_obj-C``; y is A, a is B and C (Li et al.
  2023, arXiv:2212.04825).
* SubpopBench: a table split, filename, y, a (Yang et al. 2023, arXiv:2302.12254).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from chinspect.errors import InputError
from chinspect.images import list_images

SPLITS = ("train", "val", "test")
_URBAN = re.compile(r"obj-(\w+?)_bg-(\w+?)_co_occur_obj-(\w+)")


@dataclass(frozen=True, eq=False)
class Subpopulations:
    """Images with classes and attributes.

    Attributes:
        table: a row an image: ``path``, ``y`` and ``a`` (text), and ``split`` (one of train, val, test).
        name: of the layout.
    """

    table: pd.DataFrame
    name: str

    def split(self, name: str) -> pd.DataFrame:
        """The rows of one split, from 0 on. Raises `InputError` where it has none."""
        rows = self.table[self.table["split"] == name].reset_index(drop=True)
        if not len(rows):
            raise InputError(f"the data set has no images in its split {name!r}.")
        return rows


def load_subpopulations(root: str | Path, *, metadata: str | Path | None = None) -> Subpopulations:
    """The data set in a folder, whose layout is told by its files.

    Args:
        root: the folder.
        metadata: a table of SubpopBench, whose file names are relative to the folder.

    Raises `InputError` for a layout that is not known, and where a column, a value or an image is missing.
    """
    folder = Path(root)
    if metadata is not None:
        return _checked(_subpopbench(folder, Path(metadata)), "subpopbench")
    for name, (applies, read) in _LAYOUTS.items():
        if applies(folder):
            return _checked(read(folder), name)
    raise InputError(
        f"{str(folder)!r} has none of the layouts {', '.join(_LAYOUTS)}: give a table of split, filename, y, a."
    )


def _waterbirds(folder: Path) -> pd.DataFrame:
    table = _read(folder / "metadata.csv", ("img_filename", "y", "place", "split"))
    return _rows(folder, table["img_filename"], table["y"], table["place"], table["split"])


def _celeba(folder: Path) -> pd.DataFrame:
    attributes = _celeba_table(folder, "list_attr_celeba", ("Blond_Hair", "Male"))
    partition = _celeba_table(folder, "list_eval_partition", ("partition",))
    table = attributes.join(partition, how="inner")
    y, a = (table[name].map({1: 1, -1: 0, 0: 0}) for name in ("Blond_Hair", "Male"))
    return _rows(folder / "img_align_celeba", table.index.to_series(), y, a, table["partition"])


def _celeba_table(folder: Path, stem: str, columns: tuple[str, ...]) -> pd.DataFrame:
    """A table of CelebA by file name: a CSV, or the published text, which has no header, or a count above it."""
    if (folder / f"{stem}.csv").is_file():
        return _read(folder / f"{stem}.csv", ("image_id", *columns)).set_index("image_id")
    path = folder / f"{stem}.txt"
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{str(path)!r} cannot be read ({error}).") from error
    header = ["partition"] if stem.endswith("partition") else lines[1].split()
    body = [line.split() for line in lines[0 if stem.endswith("partition") else 2 :] if line.strip()]
    table = pd.DataFrame([row[1:] for row in body], index=[row[0] for row in body], columns=header)
    return table[list(columns)].astype(int)


def _urbancars(folder: Path) -> pd.DataFrame:
    rows = []
    for split in SPLITS:
        for path in list_images(folder / split):
            match = _URBAN.fullmatch(path.parent.name)
            if match is not None:
                rows.append((path, match[1], f"{match[2]}, {match[3]}", split))
    return pd.DataFrame(rows, columns=["path", "y", "a", "split"])


def _subpopbench(folder: Path, metadata: Path) -> pd.DataFrame:
    table = _read(metadata, ("split", "filename", "y", "a"))
    return _rows(folder, table["filename"], table["y"], table["a"], table["split"])


_LAYOUTS: Mapping[str, tuple[Callable[[Path], bool], Callable[[Path], pd.DataFrame]]] = {
    "waterbirds": (lambda folder: (folder / "metadata.csv").is_file(), _waterbirds),
    "celeba": (lambda folder: any(folder.glob("list_attr_celeba.*")), _celeba),
    "urbancars": (lambda folder: any((folder / "train").glob("obj-*_bg-*_co_occur_obj-*")), _urbancars),
}


def _read(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{str(path)!r} cannot be read ({error}).") from error
    missing = [name for name in columns if name not in table]
    if missing:
        raise InputError(f"{str(path)!r} lacks the column {missing[0]!r}: it needs {', '.join(columns)}.")
    return table


def _rows(folder: Path, files: pd.Series, y: pd.Series, a: pd.Series, split: pd.Series) -> pd.DataFrame:
    numbers = split.to_numpy()
    if not np.isin(numbers, (0, 1, 2)).all():
        raise InputError("a split is 0 for training, 1 for validation or 2 for testing in every row.")
    paths = [folder / str(name) for name in files]
    names = [SPLITS[int(number)] for number in numbers]
    return pd.DataFrame({"path": paths, "y": y.astype(str).to_numpy(), "a": a.astype(str).to_numpy(), "split": names})


def _checked(table: pd.DataFrame, name: str) -> Subpopulations:
    missing = next((path for path in table["path"] if not path.is_file()), None)
    if missing is not None:
        raise InputError(f"the data set names {str(missing)!r}, which is not there.")
    if not len(table):
        raise InputError("the data set names no images.")
    return Subpopulations(table, name)
