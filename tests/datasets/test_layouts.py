"""Names of masks and folders in other data sets of the layout of MVTec AD, and categories without masks."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from chinspect.datasets import categories, load_category, load_mvtec
from chinspect.errors import ImageWarning, InputError


def test_mvtec_loco_has_a_folder_of_masks_an_image(root: Path) -> None:
    truth = root / "tile/ground_truth/crack"
    for number in ("000", "001"):
        first = Image.open(truth / f"{number}_mask.png").convert("L")
        (truth / f"{number}_mask.png").unlink()
        (truth / number).mkdir()
        first.point(lambda value: 251 * (value > 0)).save(truth / number / "000.png")  # LOCO's values are 240 to 255
        second = Image.new("L", (20, 16))
        second.paste(252, (10, 10, 12, 13))
        second.save(truth / number / "001.png")
    tile = load_mvtec(root, "tile")
    assert tile.masks[2] == truth / "000"
    assert tile.mask(2).sum() == 16 + 6
    assert len(tile.mask_files) == 6
    tile.check()
    for mask in (truth / "000").iterdir():
        mask.unlink()
    with pytest.raises(InputError, match="000' holds no images"):
        load_mvtec(root, "tile").mask(2)


@pytest.mark.parametrize("suffix", [".PNG", ".Png", ".bmp"])
@pytest.mark.parametrize("ending", ["_mask", ""])
def test_names_of_masks(root: Path, suffix: str, ending: str) -> None:
    """MVTec's in capitals; BTAD and VisA call a mask as its image."""
    truth = root / "wood/ground_truth/hole"
    for path in list(truth.iterdir()):
        image = Image.open(path)
        image.load()
        path.unlink()
        image.save(truth / (path.stem.removesuffix("_mask") + ending + suffix), format="PNG")
    wood = load_category(root / "wood")
    assert [path.name for path in wood.masks[2:] if path] == [f"00{i}{ending}{suffix}" for i in range(2)]
    assert wood.mask(3).sum() == 16


def test_btad_calls_good_ok(root: Path) -> None:
    for split in ("train", "test"):
        (root / "wood" / split / "good").rename(root / "wood" / split / "ok")
    wood = load_mvtec(root, "wood")
    assert wood.types == ("good", "good", "hole", "hole")
    assert wood.labels.tolist() == [0, 0, 1, 1]
    assert len(wood.train) == 3
    assert categories(root) == ["tile", "wood"]


def test_masks_of_class_indices_as_visa_has_them(root: Path) -> None:
    tile = load_mvtec(root, "tile")
    values = np.zeros((16, 20), np.uint8)
    values[2:4, 3:8] = 1
    values[4, 3:8] = 3
    Image.fromarray(values).save(tile.masks[2])  # type: ignore[arg-type]
    assert tile.mask(2).sum() == 15


def test_a_category_without_masks(root: Path) -> None:
    shutil.rmtree(root / "tile/ground_truth")
    tile = load_category(root / "tile")
    assert tile.labels.tolist() == [0, 0, 1, 1, 1, 1]
    assert tile.defect_types == ("crack", "glue")
    assert tile.masks == (None,) * 6
    tile.check()
    with pytest.raises(InputError, match="has no mask for"):
        tile.mask(2)


def test_several_masks_that_may_be_meant_are_refused(root: Path) -> None:
    truth = root / "tile/ground_truth/crack"
    shutil.copy(truth / "000_mask.png", truth / "000.png")
    with pytest.raises(InputError, match=r"several masks, '.*000\.png' and '.*000_mask\.png'"):
        load_mvtec(root, "tile")


def test_an_inverted_mask_is_told(root: Path) -> None:
    tile = load_mvtec(root, "tile")
    mask = Image.open(tile.masks[2]).convert("L")  # type: ignore[arg-type]
    mask.point(lambda value: 255 - value).save(tile.masks[2])  # type: ignore[arg-type]
    with pytest.warns(ImageWarning, match="marks 95% of its image: if it is inverted, invert it"):
        assert tile.mask(2).sum() == 16 * 20 - 16
