"""What files of masks mark, drawn as editors and data sets draw them: one truth, or a refusal."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from chinspect.errors import InputError
from chinspect.images import open_mask

TRUTH = np.zeros((64, 64), bool)
TRUTH[10:20, 30:50] = True  # 200 of 4,096 pixels
CLASSES = TRUTH.astype(np.uint8)
CLASSES[10:19, 30:50] = 3  # class 1 is a tenth of the mark


def rgba(ground: tuple[int, ...], mark: tuple[int, ...]) -> Image.Image:
    return Image.fromarray(np.where(TRUTH[..., None], np.uint8(mark), np.uint8(ground)))


def palette(*colours: tuple[int, int, int], values: np.ndarray = CLASSES) -> Image.Image:
    image = Image.fromarray(values)
    image.putpalette([level for colour in colours for level in colour])
    return image


WHITE = (255, 255, 255)
BLACK = (0, 0, 0)
WRITTEN: dict[str, Callable[[], Image.Image]] = {
    "black-and-white.png": lambda: Image.fromarray(TRUTH),
    "grey.png": lambda: Image.fromarray(TRUTH.astype(np.uint8) * 255),
    "one.png": lambda: Image.fromarray(TRUTH.astype(np.uint8)),
    "class-indices.png": lambda: Image.fromarray(CLASSES),
    "class-indices.tiff": lambda: Image.fromarray(CLASSES),
    "class-indices.bmp": lambda: Image.fromarray(CLASSES),
    "16-bit.png": lambda: Image.fromarray(CLASSES.astype(np.uint16)),
    "32-bit.tiff": lambda: Image.fromarray(CLASSES.astype(np.int32)),
    "floats.tiff": lambda: Image.fromarray(CLASSES.astype(np.float32) / 7),
    "palette.png": lambda: palette(BLACK, (128, 0, 0), (0, 128, 0), (128, 128, 0)),
    "palette.gif": lambda: palette(BLACK, (128, 0, 0), (0, 128, 0), (128, 128, 0)),
    "red.png": lambda: rgba((0, 0, 0), (255, 0, 0)),
    "quality-50.jpg": lambda: Image.fromarray(TRUTH.astype(np.uint8) * 255),
    "lossy.webp": lambda: Image.fromarray(TRUTH.astype(np.uint8) * 255),
    "white-on-transparent.png": lambda: rgba((255, 255, 255, 0), (255, 255, 255, 255)),
    "white-on-transparent-black.png": lambda: rgba((0, 0, 0, 0), (255, 255, 255, 255)),
    "black-on-transparent.png": lambda: rgba((0, 0, 0, 0), (0, 0, 0, 255)),
    "faint.png": lambda: rgba((255, 0, 0, 0), (255, 0, 0, 1)),
    "opaque.png": lambda: rgba((0, 0, 0, 255), (1, 0, 0, 255)),
    "half-transparent.png": lambda: rgba((0, 0, 0, 128), (255, 255, 255, 200)),
    "grey-and-alpha.png": lambda: rgba((255, 255, 255, 0), (255, 255, 255, 255)).convert("LA"),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_the_same_mask_in_every_way_to_write_it(tmp_path: Path, name: str) -> None:
    options = {"quality": 50} if name.endswith((".jpg", ".webp")) else {}
    WRITTEN[name]().save(tmp_path / name, **options)
    marked = open_mask(tmp_path / name)
    assert marked.dtype == bool
    wrong = int((marked != TRUTH).sum())
    assert wrong <= (60 if options else 0)  # a blurred edge of 60 pixels; lossless ones are exact


def test_a_transparent_palette_index(tmp_path: Path) -> None:
    palette(WHITE, WHITE, WHITE, WHITE).save(tmp_path / "a.gif", transparency=0)
    assert np.array_equal(open_mask(tmp_path / "a.gif"), TRUTH)


MIXED = np.zeros((64, 64, 4), np.uint8)
MIXED[:32, :, 3] = 255
MIXED[:16, :, :3] = 255  # white and black marks on a transparent ground


AMBIGUOUS: dict[str, Callable[[], Image.Image]] = {
    "white-index-0": lambda: palette(WHITE, BLACK, BLACK, BLACK),
    "two-black-indices": lambda: palette(BLACK, BLACK, WHITE, WHITE),
    "two-inks": lambda: Image.fromarray(MIXED),
    "invisible": lambda: rgba((0, 0, 0, 0), (255, 255, 255, 0)),
    "degrees": lambda: rgba((255, 255, 255, 100), (255, 255, 255, 255)),
}


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_what_can_be_read_in_two_ways_is_refused(tmp_path: Path, name: str) -> None:
    AMBIGUOUS[name]().save(tmp_path / f"{name}.png")
    with pytest.raises(
        InputError, match=rf"{name}\.png': the mask .* cannot be told; save it in black and white"
    ) as error:
        open_mask(tmp_path / f"{name}.png")
    assert "\n" not in str(error.value)


def test_a_mask_that_is_not_finite_or_damaged(tmp_path: Path) -> None:
    Image.fromarray(np.where(TRUTH, np.float32("nan"), np.float32(0))).save(tmp_path / "nan.tiff")
    with pytest.raises(InputError, match="not finite"):
        open_mask(tmp_path / "nan.tiff")
    Image.fromarray(TRUTH).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:60])
    with pytest.raises(InputError, match="damaged"):
        open_mask(tmp_path / "cut.png")
