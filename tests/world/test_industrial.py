"""The generated inspection task: reproducible, with masks, and with variants that differ in one thing."""

from pathlib import Path

import numpy as np
import pytest

from chinspect.datasets import load_mvtec
from chinspect.digests import digest
from chinspect.errors import InputError
from chinspect.images import open_image
from chinspect.images.resizers import resize
from chinspect.world import DEFECTS, Variant, industrial, inspection

VARIANTS = ("image-grain", "scene-texture", "unaligned")
SPLITS = ("train", "good", "defect")


def test_it_lies_on_disk_in_the_layout_of_mvtec(tmp_path: Path) -> None:
    folder = industrial(tmp_path, variant="image-grain", n_train=3, n_test=8, seed=1, size=96)
    data = load_mvtec(tmp_path, "image-grain")
    assert folder == tmp_path / "image-grain"
    assert (len(data.train), data.labels.tolist()) == (3, [0] * 2 + [1] * 6)
    assert data.defect_types == tuple(sorted(DEFECTS))
    data.check()
    assert all(data.mask(i).any() for i in range(2, 8))
    assert {open_image(path).size for path in data.test} == {(96, 96)}


def test_files_hold_what_is_drawn(tmp_path: Path) -> None:
    folder = industrial(tmp_path, variant="unaligned", n_train=2, n_test=4, seed=1, size=96)
    stored = np.asarray(open_image(folder / "train/good/001.jpg")).astype(int)
    drawn, _, kind = inspection("unaligned", "train", 1, seed=1, size=96)
    assert kind == "good"
    assert np.abs(stored - drawn).mean() < 1.5


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_image_depends_on_its_seed_and_number_only(variant: Variant) -> None:
    one, other = (inspection(variant, "defect", 4, seed=2, size=96) for _ in range(2))
    assert one[0].tobytes() == other[0].tobytes()
    assert (one[1] == other[1]).all()
    assert (inspection(variant, "defect", 4, seed=3, size=96)[0] != one[0]).any()
    assert (inspection(variant, "good", 4, seed=2, size=96)[0] != one[0]).any()


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_mask_holds_the_defect(monkeypatch: pytest.MonkeyPatch, variant: Variant) -> None:
    for index in range(6):
        defective, mask, kind = inspection(variant, "defect", index, seed=5, size=200)
        with monkeypatch.context() as patch:
            patch.setitem(DEFECTS, kind, lambda rng, size: np.zeros((9, 9), np.float32))
            sound = inspection(variant, "defect", index, seed=5, size=200)[0]
        change = np.abs(defective.astype(int) - sound).max(2)
        assert change[mask].mean() > change[~mask].max()
        assert 0 < mask.mean() < 0.1
        assert change[~mask].sum() < 0.35 * change.sum()


def test_variants_differ_in_their_fine_structure_only() -> None:
    """Differences of two normal images, at all pixels and after averaging blocks of 8 x 8."""
    fine, coarse = {}, {}
    for variant in VARIANTS:
        a, b = (inspection(variant, "train", i, seed=0, size=512)[0].astype(float) for i in (0, 1))
        difference = a - b
        blocks = difference.reshape(64, 8, 64, 8, 3).mean((1, 3))
        fine[variant], coarse[variant] = difference.std(), blocks.std()
    assert fine["image-grain"] > 1.5 * fine["scene-texture"]
    assert coarse["image-grain"] < 1.5
    assert coarse["unaligned"] > 8


def test_antialiasing_takes_grain_away_and_leaves_the_part() -> None:
    image = inspection("image-grain", "train", 0, seed=0)[0]
    other = inspection("image-grain", "train", 1, seed=0)[0]
    noise = [
        (resize(image, 224, name).astype(float) - resize(other, 224, name)).std()
        for name in ("opencv-nearest", "pillow-bilinear")
    ]
    assert noise[1] < 0.5 * noise[0]
    assert resize(image, 224, "pillow-bilinear").std() > 20


@pytest.mark.parametrize(
    "arguments", [{"variant": "wood"}, {"n_train": 0}, {"n_test": 3}, {"seed": -1}, {"size": 10}, {"size": 9999}]
)
def test_hostile_parameters_give_one_sentence(tmp_path: Path, arguments: dict[str, object]) -> None:
    valid = {"variant": "unaligned", "n_train": 2, "n_test": 4, "seed": 0, "size": 96}
    with pytest.raises(InputError) as error:
        industrial(tmp_path, **{**valid, **arguments})  # type: ignore[arg-type]
    assert "\n" not in str(error.value)
    assert not any(tmp_path.iterdir())


def test_a_folder_that_exists_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "unaligned").mkdir()
    with pytest.raises(InputError, match="exists already"):
        industrial(tmp_path, variant="unaligned", n_train=2, n_test=4, seed=0, size=96)


def test_nothing_is_left_behind_if_writing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path, pixels: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("chinspect.world.factory._save", fail)
    with pytest.raises(OSError, match="disk full"):
        industrial(tmp_path, variant="unaligned", n_train=2, n_test=4, seed=0, size=96)
    assert not any(tmp_path.iterdir())


def test_earlier_versions_drew_the_same_pixels() -> None:
    """On other releases of OpenCV a pixel may differ: measured results then do as well."""
    drawn = [inspection(variant, split, i, seed=3, size=96) for variant in VARIANTS for split in SPLITS for i in (0, 4)]
    assert digest(*[part for image, mask, kind in drawn for part in (image, mask, kind)])[:16] == "42dd7205e370032b"
