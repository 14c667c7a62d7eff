"""Which images a data set consists of: a folder, a list, or a table.

The digest of the samples covers their names and contents, so that an image that was added, renamed or edited is
noticed. Contents are worth their reading: it takes milliseconds an image, and explaining it seconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any, TypeAlias

import pandas as pd
from PIL import Image

from chinspect.digests import digest, digest_of_file
from chinspect.errors import InputError
from chinspect.execute.columns import read_frame
from chinspect.images import AnyImage, as_picture, is_image, list_images, open_image, to_rgb

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
    in_memory: bool = False
    """Whether the images were no files, so that their folder says nothing of them."""

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
        folder = "in memory" if self.in_memory else str(self.root.resolve())
        return {"folder": folder, "images": list(self.names), "contents": self.digest}


Source: TypeAlias = str | Path | Samples | Sequence[AnyImage]
"""Images of a data set: a folder, a list or table of paths, a sequence of images, or the samples themselves."""


def load_samples(source: Source) -> Samples:
    """The images of a folder, of a text file with one path a line, of a table (.csv, .parquet), or of a sequence.

    A folder is read recursively, in the order of its paths. A table has a column ``path`` and may have a column
    ``label``. Relative paths start at the folder of the list or table. A sequence holds paths, pictures, arrays and
    tensors (see `chinspect.images.pixels`); those in memory are written as PNG to a temporary folder, which is there as
    long as the process, so that all that is done with files is done with them.

    Raises `InputError` if ``source`` does not exist or cannot be read, lists nothing, lists a file that is not there or
    one twice, has no column ``path``, or has a row without a path or, where there is a column ``label``, without one.
    """
    if isinstance(source, Samples):
        return source
    if not isinstance(source, str | Path):
        return _in_memory(source)
    path = Path(source).absolute()  # workers may run in another folder
    if path.is_dir():
        return Samples(path, tuple(image.relative_to(path).as_posix() for image in list_images(path)))
    if not path.is_file():
        raise InputError(f"{str(source)!r} does not exist; give a folder of images, a list of paths, or a table.")
    names, labels = _read_table(path) if path.suffix.lower() in _TABLES else (_read_list(path), None)
    samples = Samples(path.parent, names, labels)
    _check(path, samples)
    return samples


def _in_memory(images: Sequence[AnyImage]) -> Samples:
    """The images of a sequence. Names of those that are no files are their numbers."""
    if is_image(images):
        raise InputError(
            f"A data set is a folder, a list or table of paths, or a list of images, not one {type(images).__name__}."
        )
    files = [isinstance(image, str | Path) for image in images]
    root = Path.cwd() if all(files) else Path(mkdtemp(dir=_temporary().name))
    names = []
    for i, image in enumerate(images):
        if isinstance(image, str | Path):
            names.append(str(image if all(files) else Path(image).absolute()))
        else:
            names.append(f"image-{i:05}.png")
            to_rgb(as_picture(image)).save(root / names[-1])
    samples = Samples(root, tuple(names), in_memory=not any(files))
    _check("the list of images", samples)
    return samples


@cache
def _temporary() -> TemporaryDirectory[str]:
    """The folder of the images in memory, which goes when the process ends."""
    return TemporaryDirectory(prefix="chinspect-")


def _read_list(path: Path) -> tuple[str, ...]:
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, ValueError) as error:
        raise InputError(f"{str(path)!r} is no text file with one path a line ({error}).") from error
    return tuple(line.strip() for line in lines if line.strip())


def _read_table(path: Path) -> tuple[tuple[str, ...], tuple[str, ...] | None]:
    table = read_frame(path)
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


def _check(source: str | Path, samples: Samples) -> None:
    if not samples.names:
        raise InputError(f"{str(source)!r} lists no images.")
    name, count = Counter(samples.names).most_common(1)[0]
    if count > 1:
        raise InputError(f"{str(source)!r} lists {name!r} {count} times: list each image once.")
    for path in samples.paths:
        if "\0" in str(path) or not path.is_file():
            raise InputError(f"{str(source)!r} lists {str(path)!r}, which is no file: check the path.")
