"""What an explanation tells of an image: its file, score, threshold and decision, and the training image beside it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from chinspect.anomaly import Detector, PatchCore, explain_anomaly, load_detector, save_detector
from chinspect.anomaly.images import shortened
from chinspect.images import resize

SIZE = 96


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiles") / "good"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(4):
        coarse = Image.fromarray(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8))
        coarse.resize((120, 100), Image.Resampling.BICUBIC).save(folder / f"tile-{i}.png")
    return folder


@pytest.fixture(scope="module")
def detector(folder: Path) -> Detector:
    return PatchCore(backbone="tiny-supervised", size=SIZE).fit(str(folder))


def read(path: Path) -> np.ndarray:
    return resize(np.asarray(Image.open(path)), SIZE, "opencv-nearest")


def test_a_patch_core_shows_the_training_image_by_name_and_the_patches(
    folder: Path, detector: Detector, tmp_path: Path
) -> None:
    odd = tmp_path / "odd.png"
    Image.fromarray(np.full((100, 120, 3), 200, np.uint8)).save(odd)
    found = explain_anomaly(load_detector(save_detector(detector, tmp_path / "d.st")), str(odd), check=False)
    name = found.training_name(int(found.nearest[0, 0]))
    assert Path(name).parent == folder
    np.testing.assert_array_equal(found.nearest_images[0, 0], read(Path(name)))
    row = found.document()["images"][0]
    assert (row["image"], row["nearest_image"]) == (str(odd), name)
    for square in (found.squares[0], found.nearest_squares[0]):
        x0, y0, x1, y1 = square
        assert 0 <= x0 < x1 <= SIZE
        assert 0 <= y0 < y1 <= SIZE
    axes = found.figure().axes
    numbers = f"score {found.score[0]:.4g}, threshold {found.threshold:.4g}"
    assert axes[0].get_title().split("\n")[1:] == [numbers, found.decision(0).upper()]
    assert axes[0].get_title().startswith(shortened(str(odd), 24))
    assert axes[-1].get_title().split("\n")[1] == shortened(name, 24)


@pytest.mark.parametrize("edit", ["gone", "another"])
def test_a_training_image_that_is_not_what_it_was_is_shown_small(
    folder: Path, tmp_path: Path, edit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies = tmp_path / "train"
    copies.mkdir()
    originals = [read(path) for path in sorted(folder.iterdir())]
    for path in folder.iterdir():
        (copies / path.name).write_bytes(path.read_bytes())
    monkeypatch.chdir(tmp_path)
    detector = PatchCore(backbone="tiny-supervised", size=SIZE).fit("train")
    for path in copies.iterdir():
        path.unlink() if edit == "gone" else Image.fromarray(255 - originals[0]).save(path)
    found = explain_anomaly(detector, torch.zeros(1, 3, SIZE, SIZE), components="neighbours")
    index = int(found.nearest[0, 0])
    assert found.training_name(index) == f"train/tile-{index}.png"
    shown = found.nearest_images[0, 0].astype(float)
    assert np.corrcoef(shown.ravel(), originals[index].ravel())[0, 1] > 0.95


def test_names_keep_both_ends() -> None:
    assert shortened("a/b/c.png", 20) == "b/c.png"
    first, second = (shortened(f"data/recorded_on_the_4th_of_may_{i:04}.png", 24) for i in (1, 2))
    assert len(first) == 24
    assert first != second
