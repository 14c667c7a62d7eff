"""Chest X-rays of two sources, as in the COVID-19 study of Kauffmann et al. 2025 (10.1038/s42256-025-01000-2).

::

    nih/Data_Entry_2017.csv                         or Data_Entry_2017_v2020.csv; Wang et al. 2017, ChestX-ray8
    nih/images/00000001_000.png                     or nih/images_001/images/ ... nih/images_012/images/
    github/metadata.csv                             Cohen et al. 2020, COVID-19 image data collection
    github/images/auntminnie-a-2020_01_28.jpeg
    folders/github_covid19/000_name.jpg             the plain form, without tables: a folder is SOURCE_class
    folders/nih_no_findings/000_00000032_001.jpg

The label of an image is 1 if its finding is COVID-19. Patients are never divided by a split.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pandas as pd

from chinspect.datasets.xray import XrayImages
from chinspect.errors import InputError
from chinspect.images import list_images

NIH = "nih"
GITHUB = "github"
"""Names of the sources."""
VIEWS = ("PA", "AP")
"""Views that are read of the GitHub collection: frontal ones, without supine images. Its last version has 535 X-rays of
these views, 342 of them with COVID-19: the numbers of Kauffmann et al. 2025."""
_NIH_TABLES = ("Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv")
_NIH_COLUMNS = ("Image Index", "Finding Labels", "Patient ID")
_GITHUB_COLUMNS = ("patientid", "finding", "view", "modality", "folder", "filename")
_NIH_NAME = re.compile(r"(?:^|_)(\d{8})_\d{3}$")
_PREFIX = 10
"""Characters of a file name that tell patients apart: the figures of one article hardly differ before."""


def load_nih(root: str | Path) -> XrayImages:
    """The images that the table of NIH ChestX-ray8 lists; all are older than COVID-19, so all labels are 0.

    Raises `InputError` if the folder, its table, a column, or an image of the table is missing, or an image is listed
    twice.
    """
    folder = _existing(root)
    table = next((folder / name for name in _NIH_TABLES if (folder / name).is_file()), None)
    if table is None:
        raise InputError(f"{str(folder)!r} has no table {' or '.join(_NIH_TABLES)}.")
    rows = _read(table, _NIH_COLUMNS)
    known = {path.name: path for path in list_images(folder)}
    paths = _paths(table, rows["Image Index"], known.get)
    wrong = rows["Patient ID"][~rows["Patient ID"].str.fullmatch(r"\d+")]
    if len(wrong):
        raise InputError(f"The table {str(table)!r} has the patient {wrong.iloc[0]!r}, which is no number.")
    patients = tuple(f"{NIH}:{int(patient):08d}" for patient in rows["Patient ID"])
    return XrayImages(paths, (0,) * len(rows), (NIH,) * len(rows), patients, tuple(rows["Finding Labels"]))


def load_github(root: str | Path, *, metadata: str | Path | None = None, views: Sequence[str] = VIEWS) -> XrayImages:
    """The frontal X-rays of the COVID-19 image data collection; CT slices and other views are left out, and counted.

    Args:
        root: the repository, with its folder ``images``.
        metadata: its table; by default the ``metadata.csv`` there.
        views: which are read. ``AP Supine`` and ``AP Erect`` are frontal as well, and not in the published study.

    A finding such as ``Pneumonia/Viral/COVID-19`` is positive. Every other one is negative, ``Unknown`` too, as in the
    published numbers.

    Raises `InputError` if the folder, its table, a column, or an image of the table is missing, an image is listed
    twice, or a class is empty.
    """
    folder = _existing(root)
    table = folder / "metadata.csv" if metadata is None else Path(metadata)
    listed = _read(table, _GITHUB_COLUMNS)
    rows = listed[(listed["modality"] == "X-ray") & listed["view"].isin(list(views)) & (listed["finding"] != "")]
    names = rows["folder"].str.cat(rows["filename"], sep="/")
    paths = _paths(table, names, partial(_file, folder))
    labels = tuple(int(_is_covid(finding)) for finding in rows["finding"])
    if len({*labels}) < 2:
        raise InputError(f"{str(table)!r} lists no X-ray {'with' if 1 not in labels else 'without'} COVID-19.")
    patients = tuple(f"{GITHUB}:{patient}" for patient in rows["patientid"])
    note = f"{len(rows)} of {len(listed)} images of {GITHUB} are X-rays of the views {', '.join(views)} with a finding."
    return XrayImages(paths, labels, (GITHUB,) * len(rows), patients, tuple(rows["finding"]), (note,))


def load_xray_folders(root: str | Path) -> XrayImages:
    """Images of folders that are called SOURCE_class; a class whose name holds ``covid`` is positive.

    Patients are known where files keep NIH's names, such as ``00000032_001`` behind an ordinal number. Elsewhere they
    are guessed with caution: images of a source whose names begin with the same ten characters, an ordinal number left
    aside, are taken for one patient's, since the figures of one article are called alike. A note says so.

    Raises `InputError` if there is no such folder, one is empty, or there are no images of one class.
    """
    folder = _existing(root)
    classes = sorted(path for path in folder.iterdir() if path.is_dir() and "_" in path.name.strip("._"))
    listed = [(group.name.split("_", 1), path) for group in classes for path in list_images(group)]
    findings = tuple(finding.replace("_", " ") for (_, finding), _ in listed)
    labels = tuple(int("covid" in finding.lower()) for finding in findings)
    if len({*labels}) < 2:
        raise InputError(f"{str(folder)!r} needs folders SOURCE_class of both kinds, such as github_covid19, nih_sick.")
    sources = tuple(source for (source, _), _ in listed)
    patients = tuple(f"{source}:{_patient(path.stem)}" for (source, _), path in listed)
    note = f"Patients of {folder.name!r} are taken from file names: equal beginnings count as one patient."
    return XrayImages(tuple(path for _, path in listed), labels, sources, patients, findings, (note,))


def _existing(root: str | Path) -> Path:
    folder = Path(root)
    if not folder.is_dir():
        raise InputError(f"The folder of X-rays {str(root)!r} does not exist.")
    return folder


def _read(table: Path, columns: Sequence[str]) -> pd.DataFrame:
    """A table of texts with these columns, blanks around them removed."""
    try:
        with warnings.catch_warnings():  # rows may end with a comma more than the header, which makes no index
            warnings.simplefilter("ignore", pd.errors.ParserWarning)
            rows = pd.read_csv(table, dtype=str, keep_default_na=False, encoding="utf-8-sig", index_col=False)
    except (OSError, ValueError) as error:
        raise InputError(f"The table {str(table)!r} cannot be read ({error}).") from error
    missing = [name for name in columns if name not in rows.columns]
    if missing:
        raise InputError(f"The table {str(table)!r} has no column {missing[0]!r}, only {', '.join(rows.columns)}.")
    if rows.empty:
        raise InputError(f"The table {str(table)!r} lists no images.")
    return rows[list(columns)].apply(lambda column: column.str.strip())


def _paths(table: Path, names: pd.Series[str], find: Callable[[str], Path | None]) -> tuple[Path, ...]:
    """The file of each name; `InputError` where one is missing or comes twice."""
    twice = names[names.duplicated()]
    if len(twice):
        raise InputError(f"The table {str(table)!r} lists {twice.iloc[0]!r} twice: list each image once.")
    paths = {name: find(name) for name in names}
    missing = [name for name, path in paths.items() if path is None]
    if missing:
        raise InputError(
            f"{len(missing)} of {len(names)} images of the table {str(table)!r} are missing, such as {missing[0]!r}: "
            "complete the folder or remove their rows."
        )
    return tuple(path for path in paths.values() if path is not None)


def _file(folder: Path, name: str) -> Path | None:
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise InputError(f"The image {name!r} of the table lies outside of {str(folder)!r}.")
    return path if path.is_file() else None


def _is_covid(finding: str) -> bool:
    return "COVID-19" in (name.strip() for name in re.split("[/,]", finding))


def _patient(stem: str) -> str:
    known = _NIH_NAME.search(stem)
    return known[1] if known else re.sub(r"^\d+_", "", stem)[:_PREFIX]
