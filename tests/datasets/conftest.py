"""A small data set in the layout of MVTec AD."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def save(path: Path, *, value: int = 128, size: tuple[int, int] = (20, 16)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((size[1], size[0], 3), value, np.uint8)).save(path)
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two categories: `tile` in PNG with two types of defects, `wood` in JPEG with one."""
    for i in range(3):
        save(tmp_path / f"tile/train/good/{i:03d}.png")
        save(tmp_path / f"wood/train/good/{i:03d}.jpg")
    for category, suffix, kinds in (("tile", "png", ("crack", "glue")), ("wood", "jpg", ("hole",))):
        for kind in ("good", *kinds):
            for i in range(2):
                save(tmp_path / category / "test" / kind / f"{i:03d}.{suffix}")
        for kind in kinds:
            for i in range(2):
                mask = np.zeros((16, 20), np.uint8)
                mask[4:8, 5:9] = 255
                path = tmp_path / category / "ground_truth" / kind / f"{i:03d}_mask.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(mask).save(path)
    return tmp_path
