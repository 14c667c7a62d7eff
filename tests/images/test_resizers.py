"""The semantics of every resizer, against its definition and the library that names it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from chinspect.errors import InputError
from chinspect.images import RESIZERS, load_inputs, resize, to_input

NAMES = [
    "opencv-nearest",
    "opencv-linear",
    "opencv-cubic",
    "opencv-area",
    "opencv-nearest-exact",
    "pillow-nearest",
    "pillow-bilinear",
    "pillow-bicubic",
    "pillow-lanczos",
    "torch-bilinear",
    "torch-bilinear-aa",
    "torch-bicubic-aa",
]
ANTIALIASED = [name for name in NAMES if name.startswith("pillow-b") or name.endswith(("-aa", "lanczos", "area"))]


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)


def far(a: np.ndarray, b: np.ndarray) -> int:
    return int(np.abs(a.astype(int) - b).max())


def test_the_registry_has_these_names() -> None:
    assert list(RESIZERS) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_pictures_and_arrays_give_the_same_pixels(name: str) -> None:
    pixels = noise(50, 41)
    given, kept = resize(pixels, 24, name), pixels.copy()
    assert (given.shape, given.dtype) == ((24, 24, 3), np.uint8)
    assert np.array_equal(given, resize(Image.fromarray(pixels), 24, name))
    assert np.array_equal(pixels, kept)


@pytest.mark.parametrize("name", NAMES)
def test_the_own_size_changes_nothing_and_grey_stays_grey(name: str) -> None:
    pixels = noise(33, 33)
    assert np.array_equal(resize(pixels, 33, name), pixels)
    assert (resize(np.full((71, 40, 3), 77, np.uint8), 16, name) == 77).all()


@settings(max_examples=30, deadline=None)
@given(height=st.integers(8, 300), width=st.integers(8, 300), size=st.integers(1, 64))
def test_opencv_nearest_reads_the_pixel_at_floor_of_i_times_s(height: int, width: int, size: int) -> None:
    pixels, at = noise(height, width), np.arange(size)
    rows, columns = (at * side // size for side in (height, width))
    # where i s is a whole number, rounding of s decides
    sure = np.ix_(*((at == 0) | (at * side % size != 0) for side in (height, width)))
    given = resize(pixels, size, "opencv-nearest")
    assert np.array_equal(given[sure], pixels[rows][:, columns][sure])
    batch = torch.from_numpy(pixels).permute(2, 0, 1)[None].float()
    by_torch = torch.nn.functional.interpolate(batch, (size, size), mode="nearest")[0].permute(1, 2, 0)
    assert np.array_equal(given[sure], by_torch.numpy()[sure])


@pytest.mark.parametrize("name", ["opencv-nearest-exact", "pillow-nearest"])
@pytest.mark.parametrize("sides", [(1009, 733), (100, 613)])  # primes to the size: no ties
def test_the_other_nearest_resizers_read_centres(name: str, sides: tuple[int, int]) -> None:
    pixels = noise(*sides)
    rows, columns = ((2 * np.arange(23) + 1) * side // 46 for side in sides)
    assert np.array_equal(resize(pixels, 23, name), pixels[rows][:, columns])


def test_torch_and_pillow_antialias_alike_and_torch_and_opencv_alias_alike() -> None:
    pixels = noise(300, 517)
    assert far(resize(pixels, 224, "torch-bilinear-aa"), resize(pixels, 224, "pillow-bilinear")) <= 1
    cubic = [resize(pixels, 224, name) for name in ("torch-bicubic-aa", "pillow-bicubic")]
    assert far(*cubic) <= 8  # Pillow clips after the columns, too
    assert np.abs(cubic[0].astype(int) - cubic[1]).mean() < 0.3
    assert far(resize(pixels, 224, "torch-bilinear"), resize(pixels, 224, "opencv-linear")) <= 1


def test_area_is_the_mean_of_a_block() -> None:
    pixels = noise(64, 64)
    means = pixels.reshape(16, 4, 16, 4, 3).mean((1, 3))
    assert np.abs(resize(pixels, 16, "opencv-area") - means).max() <= 0.5


@pytest.mark.parametrize("name", NAMES)
def test_only_antialiasing_removes_what_would_alias(name: str) -> None:
    stripes = np.zeros((448, 448, 3), np.uint8)
    stripes[:, ::2] = 255  # the finest pattern there is; grey from afar
    spread = int(np.ptp(resize(stripes, 75, name)))
    assert (spread < 40) == (name in ANTIALIASED)


def test_inputs_and_levels() -> None:
    pixels = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 16, 16, 3)
    x = to_input(pixels)
    assert (x.shape, x.dtype) == ((1, 3, 16, 16), torch.float32)
    assert (float(x.min()), float(x.max())) == (-1.0, 1.0)
    assert np.array_equal(((x + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy(), pixels)


def test_files_are_loaded_like_pictures(tmp_path: Path) -> None:
    paths = [tmp_path / f"{side}.png" for side in (20, 31)]
    for path, side in zip(paths, (20, 31), strict=True):
        Image.fromarray(noise(side, side)).save(path)
    x = load_inputs(paths, "pillow-bilinear", 16)
    expected = to_input(np.stack([resize(noise(side, side), 16, "pillow-bilinear") for side in (20, 31)]))
    assert torch.equal(x, expected)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: resize(noise(9, 9), 4, "pil-nearest"), "'pil-nearest' is not known"),
        (lambda: resize(noise(9, 9), 0, "opencv-area"), "resized to 0 pixels"),
        (lambda: resize(noise(9, 9), 10**6, "opencv-area"), "1000000"),
        (lambda: resize(noise(9, 9)[..., 0], 4, "opencv-area"), r"uint8 \(9, 9\)"),
        (lambda: resize(noise(9, 9).astype(float), 4, "opencv-area"), "float64"),
        (lambda: resize(Image.new("L", (9, 9)), 4, "opencv-area"), "not L"),
        (lambda: to_input(noise(9, 9)), r"uint8 \(9, 9, 3\)"),
        (lambda: load_inputs([], "opencv-area", 4), "no images"),
    ],
)
def test_what_cannot_be_resized_is_refused(call, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=message):
        call()


def test_the_registry_is_read_without_torch_and_opencv() -> None:
    code = "import sys, chinspect.images; sys.exit(any(name in sys.modules for name in ('torch', 'cv2')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
