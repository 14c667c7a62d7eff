"""Which files of a folder are images."""

import os
from collections.abc import Iterator
from pathlib import Path

from chinspect.errors import InputError

_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".png", ".gif", ".bmp", ".tif", ".tiff", ".webp"})


def list_images(folder: str | Path) -> list[Path]:
    """All images below a folder, by their suffix, sorted by path; hidden files and folders are left out.

    Symbolic links may point elsewhere below the folder. Links to folders are not followed: what they show is
    listed where it lies.

    Raises `InputError` if the folder does not exist, holds no image, or holds a link that leads out of it.
    """
    root = Path(folder)
    if not root.exists():
        raise InputError(f"{str(root)!r} does not exist; check the path of the image folder.")
    if not root.is_dir():
        raise InputError(f"{str(root)!r} is a file; give a folder of images.")
    images = sorted(path for path in _walk(root) if path.is_file())
    if not images:
        raise InputError(f"The folder {str(root)!r} holds no images ({', '.join(sorted(_SUFFIXES))}).")
    return images


def _walk(root: Path) -> Iterator[Path]:
    inside = root.resolve()
    for parent, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        candidates = [name for name in files if not name.startswith(".") and Path(name).suffix.lower() in _SUFFIXES]
        for name in [*folders, *candidates]:
            _check_link(Path(parent, name), inside)
        yield from (Path(parent, name) for name in candidates)


def _check_link(path: Path, root: Path) -> None:
    if path.is_symlink():
        target = Path(os.path.realpath(path))
        if not target.is_relative_to(root):
            raise InputError(
                f"The link {str(path)!r} leads out of its folder, to {str(target)!r}; copy the file instead."
            )
