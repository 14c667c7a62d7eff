"""Which images a data set consists of: a folder, a list, or a table.

The digest of the samples covers their names and contents, so that an image that was added, renamed or edited is
noticed. Contents are worth their reading: it takes milliseconds an image, and explaining it seconds.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from chinspect.digests import digest, digest_of_file
from chinspect.errors import InputError
from chinspect.images import list_images, open_image

_TABLES = (".csv", ".parquet")


@dataclass(frozen=True)
class Samples:
    """Images of a data set, in order."""

    root: Path
    """The folder that relative names start from: the data set's own, or that of the list or table."""
    names: tuple[str, ...]
    """Paths as listed, relative to ``root`` or absolute."""
    labels: tuple[str, ...] | None = None
    """One text an image, of a table with a column ``label``."""

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Image.Image:
        """One image, see `chinspect.images.open_image`."""
        return open_image(self.root / self.names[index])

    @property
    def paths(self) -> list[Path]:
        """Where the images lie."""
        return [self.root / name for name in self.names]

    @cached_property
    def digest(self) -> str:
        """sha256 over the names, labels and contents of all files, 64 hexadecimal digits."""
        contents = []
        for path in self.paths:
            try:
                contents.append(bytes.fromhex(digest_of_file(path)))
            except OSError as error:
                raise InputError(f"the image {str(path)!r} cannot be read ({error.strerror}).") from error
        return digest(repr((self.names, self.labels)), *contents)

    @property
    def description(self) -> dict[str, Any]:
        """Folder, names and contents, for the description of a job."""
        return {"folder": str(self.root.resolve()), "images": list(self.names), "contents": self.digest}


def load_samples(source: str | Path) -> Samples:
    """The images of a folder, of a text file with one path a line, or of a table (.csv, .parquet).

    A folder is read recursively, in the order of its paths. A table has a column ``path`` and may have a column
    ``label``. Relative paths start at the folder of the list or table.

    Raises `InputError` if ``source`` does not exist or cannot be read, lists nothing, lists a file that is not there or
    one twice, has no column ``path``, or has a row without a path or, where there is a column ``label``, without one.
    """
    path = Path(source).absolute()  # workers may run in another folder
    if path.is_dir():
        return Samples(path, tuple(image.relative_to(path).as_posix() for image in list_images(path)))
    if not path.is_file():
        raise InputError(f"{str(source)!r} does not exist; give a folder of images, a list of paths, or a table.")
    names, labels = _read_table(path) if path.suffix.lower() in _TABLES else (_read_list(path), None)
    samples = Samples(path.parent, names, labels)
    _check(path, samples)
    return samples


def _read_list(path: Path) -> tuple[str, ...]:
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, ValueError) as error:
        raise InputError(f"{str(path)!r} is no text file with one path a line ({error}).") from error
    return tuple(line.strip() for line in lines if line.strip())


def _read_table(path: Path) -> tuple[tuple[str, ...], tuple[str, ...] | None]:
    try:
        if path.suffix.lower() == ".csv":
            table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
        else:
            table = pd.read_parquet(path)
    except (OSError, ValueError) as error:  # pandas' and pyarrow's own errors are among them
        raise InputError(f"the table {str(path)!r} cannot be read ({error}).") from error
    if "path" not in table.columns:
        raise InputError(f"the table {str(path)!r} has no column 'path', only {', '.join(map(str, table.columns))}.")
    for column in ("path", "label"):
        for row, value in enumerate(table[column] if column in table.columns else ()):
            # a label may be a number, a path may not
            usable = isinstance(value, str) if column == "path" else not pd.isna(value)
            if not usable or not str(value).strip():
                raise InputError(
                    f"row {row} of the table {str(path)!r} has no {column} but {value!r}: fill it in or remove it."
                )
    labels = tuple(map(str, table["label"])) if "label" in table.columns else None
    return tuple(table["path"]), labels


def _check(source: Path, samples: Samples) -> None:
    if not samples.names:
        raise InputError(f"{str(source)!r} lists no images.")
    name, count = Counter(samples.names).most_common(1)[0]
    if count > 1:
        raise InputError(f"{str(source)!r} lists {name!r} {count} times: list each image once.")
    for path in samples.paths:
        if "\0" in str(path) or not path.is_file():
            raise InputError(f"{str(source)!r} lists {str(path)!r}, which is no file: check the path.")
