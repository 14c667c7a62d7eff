"""Changes that should not matter: small, seeded, and what they say they are."""

import numpy as np
import pytest
from PIL import Image, ImageFilter

from chinspect.errors import InputError
from chinspect.stress import CHANGES, TRACES, change

PIXELS = np.random.default_rng(0).integers(0, 256, (24, 20, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", CHANGES)
def test_every_change_is_seeded_and_leaves_its_input_alone(name: str) -> None:
    before = PIXELS.copy()
    one, again = (change(PIXELS, name, seed=4, index=2) for _ in range(2))
    assert one.dtype == np.uint8
    assert one.tobytes() == again.tobytes()
    assert (before == PIXELS).all()
    assert one.shape == PIXELS.shape or name in ("exif-ignored", "rescale-0.5")
    assert one.shape != PIXELS.shape or (one != PIXELS).any()


def test_chance_differs_between_images() -> None:
    shifts = {change(PIXELS, "shift-1px", seed=0, index=i).tobytes() for i in range(60)}
    assert len(shifts) == 8


def test_a_shift_moves_by_one_pixel() -> None:
    for index in range(20):
        moved = change(PIXELS, "shift-1px", seed=1, index=index)
        inner = moved[1:-1, 1:-1]
        places = [(y, x) for y in range(3) for x in range(3) if (inner == PIXELS[y : y + 22, x : x + 18]).all()]
        assert len(places) == 1
        assert places != [(1, 1)]


def test_curves_are_as_defined() -> None:
    expected = np.round(255 * (PIXELS / 255) ** 0.9).astype(int)
    assert (change(PIXELS, "gamma-0.9", seed=0, index=0) == expected).all()
    assert (change(PIXELS, "brightness-1.05", seed=0, index=0) == np.minimum(np.round(PIXELS * 1.05), 255)).all()


def test_channels_and_orientation() -> None:
    assert (change(PIXELS, "bgr", seed=0, index=0)[..., 0] == PIXELS[..., 2]).all()
    turned = change(PIXELS, "exif-ignored", seed=0, index=0)
    assert (np.rot90(turned, -1) == PIXELS).all()


def test_truncation_moves_some_pixels_by_one_level() -> None:
    lost = PIXELS.astype(int) - change(PIXELS, "16-bit-truncated", seed=0, index=0)
    assert np.abs(lost).max() == 1
    assert 0.15 < (lost != 0).mean() < 0.5


def test_jpeg_is_closer_at_higher_quality() -> None:
    smooth = np.repeat(np.linspace(0, 255, 64).astype(np.uint8)[:, None, None], 64, 1).repeat(3, 2)
    errors = [np.abs(change(smooth, f"jpeg-{q}", seed=0, index=0).astype(int) - smooth).mean() for q in (90, 50)]
    assert errors[0] < errors[1] < 6


def test_traces_are_as_defined() -> None:
    rng = np.random.default_rng(0)
    made = {name: trace(PIXELS, rng) for family in TRACES.values() for name, trace in family.items()}
    assert (made["unchanged"] == PIXELS).all()
    smooth = np.asarray(Image.fromarray(PIXELS).filter(ImageFilter.SMOOTH)).astype(float)
    inner = np.s_[1:-1, 1:-1]  # Pillow leaves the edge as it is
    for factor in (2, 4):
        expected = (smooth + factor * (PIXELS - smooth)).clip(0, 255)
        assert np.abs(made[f"sharpen-{factor}"][inner] - expected[inner]).max() <= 1
    assert made["rescale-2"].shape == (48, 40, 3)
    box = PIXELS.reshape(12, 2, 10, 2, 3).mean((1, 3))
    assert np.abs(made["rescale-0.5-box"] - box).max() <= 1
    assert len({made[f"rescale-0.5-{by}"].tobytes() for by in ("box", "bilinear", "bicubic", "lanczos")}) == 4
    errors = {name: np.abs(pixels.astype(int) - PIXELS).mean() for name, pixels in made.items() if "jpeg" in name}
    assert errors["jpeg-95-4:4:4"] == min(errors.values())
    assert errors["jpeg-75-4:2:0"] == max(errors.values())
    for quality in (75, 85, 95):
        assert errors[f"jpeg-{quality}-4:4:4"] < errors[f"jpeg-{quality}-4:2:0"]


def test_an_unknown_change_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="'sepia' is not known; use one of jpeg-90"):
        change(PIXELS, "sepia", seed=0, index=0)
