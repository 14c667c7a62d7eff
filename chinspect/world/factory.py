"""A generated industrial inspection task in the layout of MVTec AD.

All variants share the light, the sensor and the defects. They differ in where the fine structure comes from:

* ``image-grain``: grain and sensor noise, new in each image of an aligned flange. Whatever averages pixels removes it:
  after a switch to an antialiased resizer all distances shrink, scores fall and defects are missed. This is the
  direction in Kauffmann et al. 2025.
* ``scene-texture``: the very same fine structure in each image of the aligned flange. It cancels in distances until
  another resizer samples it differently: scores rise, and normal ones raise alarms.
* ``unaligned``: a sheet that passes the camera, a new place in each image. Distances of pixels tell next to nothing.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Literal, get_args

import cv2
import numpy as np
from numpy.random import Generator, default_rng
from numpy.typing import NDArray

from chinspect.errors import InputError
from chinspect.files import output_folder
from chinspect.world.scene import check_range
from chinspect.world.surfaces import DEFECTS, RADIUS, Picture, defect_at, exposure, flange, grain, sheet

Variant = Literal["image-grain", "scene-texture", "unaligned"]
Split = Literal["train", "good", "defect"]
Pixels = NDArray[np.uint8]

GRAIN = 3.0
"""Standard deviation of the fine structure, in grey levels."""
SENSOR = 1.5
"""Standard deviation of the noise that each image has in each variant, in grey levels."""
LIGHT = 0.008
"""Standard deviation of the exposure and of its slopes across the image, relative."""
GOOD = "good"
_QUALITY = 97  # of JPEG: keeps the grain, and is ten times faster than PNG
_SIZES = (64, 4096)  # of an image in pixels: below defects vanish, above a split takes minutes


def industrial(root: str | Path, *, variant: Variant, n_train: int, n_test: int, seed: int, size: int = 1000) -> Path:
    """Write a data set of `size` x `size` pixels, JPEG with PNG masks, to `root/variant`, and return that folder.

    A quarter of the `n_test` test images is good, as in MVTec AD; the others show one defect each, of the types in
    turn, with its mask. Each image depends on the variant, the seed and its number only. Nothing is left behind if
    writing fails.

    Raises `InputError` for an unknown variant, fewer than 1 training or 4 test images, a negative seed, a size outside
    64..4096, or a folder that exists already.
    """
    if variant not in get_args(Variant):
        raise InputError(f"There is no variant {variant!r}; choose from {', '.join(get_args(Variant))}.")
    if n_train < 1 or n_test < 4 or seed < 0:
        raise InputError(
            f"At least 1 training and 4 test images and a seed from 0 are needed, not {n_train}, {n_test} and {seed}."
        )
    check_range("size of an image", size, *_SIZES, " pixels")
    target = output_folder(root) / variant
    if target.exists():
        raise InputError(f"{str(target)!r} exists already; choose another folder.")
    temporary = Path(tempfile.mkdtemp(prefix=f".{variant}.", dir=target.parent))
    try:
        _write(temporary, variant, n_train, n_test, seed, size)
        temporary.chmod(0o755)
        temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def inspection(
    variant: Variant, split: Split, index: int, *, seed: int, size: int = 1000
) -> tuple[Pixels, NDArray[np.bool_], str]:
    """One image (size, size, 3), the mask of its defect (size, size), and the type of the defect, `good` if none.

    The defect has random numbers of its own: without it every pixel would stay.
    """
    number = get_args(Split).index(split)
    scene, fine, sensor, fault = (default_rng([seed, number, index, stream]) for stream in range(4))
    surface = _surface(variant, scene, seed, size)
    factor = exposure(scene, size, LIGHT)
    structure = grain(default_rng([seed, 91]) if variant == "scene-texture" else fine, size, GRAIN)
    structure += SENSOR * sensor.standard_normal((size, size), dtype=np.float32)
    mask = np.zeros((size, size), dtype=bool)
    kind = GOOD
    if split == "defect":
        kind = list(DEFECTS)[index % len(DEFECTS)]
        change, mask = defect_at(DEFECTS[kind](fault, size), size, *_somewhere(fault, size))
        structure += change
    planes = [cv2.add(cv2.multiply(plane, factor), structure, dtype=cv2.CV_8U) for plane in surface]
    return np.asarray(cv2.merge(planes)), mask, kind


def _surface(variant: str, rng: Generator, seed: int, size: int) -> Picture:
    """The flange, a pixel or two beside its place, or any piece of the sheet."""
    picture = sheet(size, seed) if variant == "unaligned" else flange(size)
    left, top = rng.integers(0, picture.shape[1] - size + 1, 2)
    return picture[:, top : top + size, left : left + size]


def _somewhere(rng: Generator, size: int) -> tuple[float, float]:
    """A point on the flange, evenly over its area."""
    radius = 0.85 * RADIUS * np.sqrt(rng.random())  # the root, since rings grow with their radius
    angle = rng.uniform(0, 2 * np.pi)
    return size * (0.5 + radius * np.cos(angle)), size * (0.5 + radius * np.sin(angle))


def _write(folder: Path, variant: Variant, n_train: int, n_test: int, seed: int, size: int) -> None:
    n_good = n_test // 4
    counts: dict[Split, int] = {"train": n_train, "good": n_good, "defect": n_test - n_good}
    for split, count in counts.items():
        for index in range(count):
            pixels, mask, kind = inspection(variant, split, index, seed=seed, size=size)
            _save(folder / ("train" if split == "train" else "test") / kind / f"{index:03d}.jpg", pixels[..., ::-1])
            if kind != GOOD:
                _save(folder / "ground_truth" / kind / f"{index:03d}_mask.png", 255 * mask.astype(np.uint8))


def _save(path: Path, pixels: Pixels) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    options = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY] if path.suffix == ".jpg" else []
    done, data = cv2.imencode(path.suffix, pixels, options)
    if not done:
        raise RuntimeError(f"OpenCV cannot encode {pixels.shape} pixels as {path.suffix}.")
    path.write_bytes(data.tobytes())
