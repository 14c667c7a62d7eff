"""Changes that should not matter: small, seeded, and what they say they are."""

import numpy as np
import pytest

from chinspect.errors import InputError
from chinspect.stress import CHANGES, change

PIXELS = np.random.default_rng(0).integers(0, 256, (24, 20, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", CHANGES)
def test_every_change_is_seeded_and_leaves_its_input_alone(name: str) -> None:
    before = PIXELS.copy()
    one, again = (change(PIXELS, name, seed=4, index=2) for _ in range(2))
    assert one.dtype == np.uint8
    assert one.tobytes() == again.tobytes()
    assert (before == PIXELS).all()
    assert one.shape == PIXELS.shape or name == "exif-ignored"
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


def test_an_unknown_change_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="'sepia' is not known; use one of jpeg-90"):
        change(PIXELS, "sepia", seed=0, index=0)
