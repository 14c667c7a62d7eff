"""The layout of MVTec AD, as it lies on disk and as it is when something is missing."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from chinspect.datasets import categories, load_category, load_folder, load_mvtec
from chinspect.errors import InputError


def test_a_category_is_listed_with_labels_types_and_masks(root: Path) -> None:
    tile = load_mvtec(root, "tile")
    assert (tile.name, len(tile.train), len(tile.test)) == ("tile", 3, 6)
    assert tile.types == ("good", "good", "crack", "crack", "glue", "glue")
    assert tile.labels.tolist() == [0, 0, 1, 1, 1, 1]
    assert tile.defect_types == ("crack", "glue")
    assert tile.masks[:2] == (None, None)
    assert [path.name for path in tile.masks[2:] if path] == ["000_mask.png", "001_mask.png"] * 2
    tile.check()


def test_masks_have_the_size_of_their_image(root: Path) -> None:
    tile = load_mvtec(root, "tile")
    assert tile.mask(2).shape == (16, 20)
    assert tile.mask(2).sum() == 16
    assert not tile.mask(0).any()
    Image.new("L", (9, 9)).save(tile.masks[3])  # type: ignore[arg-type]
    with pytest.raises(InputError, match="but its image has"):
        tile.check()


@pytest.mark.parametrize("white", [1, 255])
def test_masks_mark_with_any_value_but_zero(root: Path, white: int) -> None:
    tile = load_mvtec(root, "tile")
    drawn = Image.new("L", (20, 16))
    drawn.paste(white, (2, 3, 7, 9))
    drawn.save(tile.masks[2])  # type: ignore[arg-type]
    assert tile.mask(2).sum() == 30
    assert tile.mask(2)[3:9, 2:7].all()
    Image.new("L", (20, 16)).save(tile.masks[2])  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"000_mask\.png.* marks nothing"):
        tile.check()


def test_jpeg_images_and_a_root_that_is_one_category(root: Path) -> None:
    assert load_mvtec(root / "wood") == load_mvtec(root, "wood")
    assert load_mvtec(root / "wood").test[0].suffix == ".jpg"
    assert categories(root) == ["tile", "wood"]


def remove(*parts: str) -> Callable[[Path], None]:
    def damage(root: Path) -> None:
        for part in parts:
            path = root / part
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    return damage


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (remove("tile/ground_truth/crack/001_mask.png"), "001_mask.png.* is missing"),
        (remove("tile/ground_truth/glue"), "glue/000_mask.png.* is missing"),
        (remove("tile/train"), "no folder 'train/good'"),
        (remove("tile/test/good"), "no folder 'test/good'"),
        (remove("tile/test/glue/000.png", "tile/test/glue/001.png"), "glue' holds no images"),
        (remove("tile/test/glue", "tile/test/crack"), "at least one type of defect"),
        (remove("tile/train/good/000.png", "tile/train/good/001.png", "tile/train/good/002.png"), "holds no images"),
        (remove("tile"), "no category 'tile'; it has: wood"),
    ],
)
def test_what_is_missing_is_named_in_one_sentence(root: Path, damage: Callable[[Path], None], message: str) -> None:
    damage(root)
    with pytest.raises(InputError, match=message) as error:
        load_mvtec(root, "tile")
    assert "\n" not in str(error.value)


def test_a_missing_root_and_a_root_without_categories(tmp_path: Path) -> None:
    for call in (load_mvtec, categories, load_folder, load_category):
        with pytest.raises(InputError, match="does not exist"):
            call(tmp_path / "nowhere")
    with pytest.raises(InputError, match="no category"):
        categories(tmp_path)


def test_damaged_files_are_named(root: Path) -> None:
    path = root / "tile/test/crack/000.png"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(InputError, match=r"crack/000\.png.* damaged"):
        load_mvtec(root, "tile").check()
    with pytest.raises(InputError, match="damaged"):
        load_mvtec(root, "tile").mask(2)


def test_a_plain_folder(root: Path) -> None:
    plain = root / "plain"
    shutil.copytree(root / "tile/train/good", plain / "train")
    shutil.copytree(root / "tile/test/good", plain / "test/good")
    shutil.copytree(root / "tile/test/crack", plain / "test/bad")
    folder = load_folder(plain)
    assert folder.labels.tolist() == [0, 0, 1, 1]
    assert folder.defect_types == ("bad",)
    assert load_category(plain) == folder
    assert load_category(root / "tile") == load_mvtec(root, "tile")
    with pytest.raises(InputError, match="has no mask"):
        folder.mask(3)
    shutil.rmtree(plain / "test/bad")
    with pytest.raises(InputError, match="bad' does not exist"):
        load_folder(plain)
