"""What a folder of images is, and which links are refused."""

from pathlib import Path

import pytest

from chinspect.errors import InputError
from chinspect.images import list_images


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def test_lists_images_recursively_in_order(tmp_path: Path) -> None:
    names = ["a/2.PNG", "a/1.jpg", "b/c/3.webp", "0.tiff"]
    touch(*(tmp_path / name for name in names))
    touch(tmp_path / "notes.txt", tmp_path / ".hidden.png", tmp_path / ".cache" / "x.png", tmp_path / "a" / "._1.jpg")
    (tmp_path / "folder.png").mkdir()
    assert list_images(tmp_path) == sorted(tmp_path / name for name in names)
    assert list_images(str(tmp_path)) == list_images(tmp_path)


def test_an_empty_folder_a_file_and_a_missing_folder(tmp_path: Path) -> None:
    touch(tmp_path / "file.png", tmp_path / "empty" / "readme.md")
    for name, words in (("empty", "holds no images"), ("file.png", "is a file"), ("missing", "does not exist")):
        with pytest.raises(InputError, match=words):
            list_images(tmp_path / name)


def test_links_that_stay_inside_are_listed_once(tmp_path: Path) -> None:
    touch(tmp_path / "all" / "1.png")
    (tmp_path / "picked").mkdir()
    (tmp_path / "picked" / "link.png").symlink_to(tmp_path / "all" / "1.png")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert list_images(tmp_path) == [tmp_path / "all" / "1.png", tmp_path / "picked" / "link.png"]


@pytest.mark.parametrize("target", ["outside", "outside/secret.png", "outside/gone.png"])
def test_links_that_leave_are_refused(tmp_path: Path, target: str) -> None:
    touch(tmp_path / "outside" / "secret.png", tmp_path / "root" / "1.png")
    (tmp_path / "root" / "link.png").symlink_to(tmp_path / target)
    with pytest.raises(InputError, match="leads out of its folder"):
        list_images(tmp_path / "root")
