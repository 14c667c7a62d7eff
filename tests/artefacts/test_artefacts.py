"""Artefacts: what adding and removing do to pixels, on any size, and artefacts on disk."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from chinspect.artefacts import (
    ARTEFACTS,
    Artefact,
    annotation,
    artefact_named,
    border,
    colour_patch,
    imagenet_w,
    rounded_corners,
    text_logo,
)
from chinspect.artefacts.artefact import CANVAS
from chinspect.errors import InputError
from chinspect.world import Logo, paint_logo, scenes

SIZES = [(224, 224), (96, 96), (130, 300), (501, 333), (40, 24)]


def picture(size: tuple[int, int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def plain(alpha: np.ndarray, colour: float = 1.0, anchor: tuple[float, float] | None = None) -> Artefact:
    return Artefact("plain", np.full((*alpha.shape, 3), colour), alpha, anchor)


@pytest.mark.parametrize("name", ARTEFACTS)
@pytest.mark.parametrize("size", SIZES)
def test_edits_stay_within_the_mask(name: str, size: tuple[int, int]) -> None:
    artefact, image = ARTEFACTS[name](), picture(size)
    mask = artefact.mask(size)
    assert mask.any()
    assert not mask.all()
    added = artefact.add(image)
    assert added.shape == image.shape
    assert added.dtype == np.uint8
    np.testing.assert_array_equal(added[~mask], image[~mask])
    rows, columns = np.nonzero(mask)
    near = np.zeros_like(mask)
    for y, x in [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)]:
        near[(rows + y).clip(0, size[0] - 1), (columns + x).clip(0, size[1] - 1)] = True
    np.testing.assert_array_equal(artefact.remove(image)[~near], image[~near])


@given(seed=st.integers(0, 2**32 - 1), height=st.integers(2, 24), width=st.integers(2, 24))
@settings(max_examples=40, deadline=None)
def test_adding_is_the_matting_equation(seed: int, height: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    artefact = Artefact("any", rng.random((height, width, 3)), rng.random((height, width)))
    image = picture((height, width), seed)
    for y, x in [(0, 0), (height - 1, width // 2)]:
        alpha, colour = float(artefact.alpha[y, x]), artefact.rgb[y, x].astype(float)
        expected = alpha * 255 * colour + (1 - alpha) * image[y, x]
        assert np.abs(artefact.add(image)[y, x] - expected).max() <= 0.5 + 1e-3


@pytest.mark.parametrize("size", SIZES[1:])
def test_a_flat_artefact_keeps_its_colour_on_every_size(size: tuple[int, int]) -> None:
    alpha = np.zeros((100, 100))
    alpha[:, :50] = 1
    artefact = plain(alpha, 0.4)
    added = artefact.add(picture(size))
    inside = np.s_[:, : size[1] // 2 - 3]
    np.testing.assert_array_equal(added[inside], round(0.4 * 255))
    assert abs(artefact.mask(size).mean() - 0.5) < 3 / size[1]


def test_an_anchor_keeps_the_aspect_and_the_place() -> None:
    alpha = np.zeros((64, 64))
    alpha[48:, :16] = 1
    rows, columns = np.nonzero(plain(alpha, anchor=(0, 1)).layer((128, 512))[1] > 0.5)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (96, 127, 0, 31)
    rows, columns = np.nonzero(plain(alpha, anchor=(1, 1)).layer((128, 512))[1] > 0.5)
    assert (columns.min(), columns.max()) == (384, 415)
    rows, columns = np.nonzero(plain(alpha).layer((128, 512))[1] > 0.5)
    assert (rows.min(), columns.max()) == (96, 127)  # stretched


def test_the_view_is_what_lies_under_the_canvas() -> None:
    image = picture((128, 512))
    anchored = plain(np.ones((64, 64)), anchor=(0, 1))
    expected = image[:, :128].astype(float).reshape(64, 2, 64, 2, 3).mean(axis=(1, 3)) / 255
    np.testing.assert_allclose(anchored.view(image), expected, atol=1e-5)


def test_removal_restores_a_smooth_background() -> None:
    ramp = np.linspace(60, 180, 224).round().astype(np.uint8)
    image = np.broadcast_to(ramp[None, :, None], (224, 224, 3)).copy()
    artefact = text_logo()
    restored = artefact.remove(artefact.add(image)).astype(int)
    mask = artefact.mask((224, 224))
    before = np.abs(artefact.add(image)[mask].astype(int) - image[mask]).mean()
    assert np.abs(restored - image)[mask].mean() < 0.05 * before


def test_the_text_logo_is_that_of_the_generated_world() -> None:
    image = scenes(1, seed=0, size=CANVAS)[0].image
    rng = np.random.default_rng(1)
    painted, _ = paint_logo(rng, image, Logo(), "WASTECO")
    first = np.random.default_rng(1).integers(3)
    ink = ((1, 1, 1), (1, 236 / 255, 120 / 255), (190 / 255, 240 / 255, 1))[first]
    ours = text_logo(ink=ink).add(image)
    assert np.abs(ours.astype(int) - painted).max() <= 3


def test_ready_made_artefacts_lie_where_they_say() -> None:
    size = (200, 200)
    frame = border(0.1).mask(size)
    assert frame[:20].all()
    assert not frame[21:-21, 21:-21].any()
    corners = rounded_corners(0.2).mask(size)
    assert [corners[0, 0], corners[0, 100], corners[100, 0], corners[199, 199]] == [True, False, False, True]
    assert abs(rounded_corners(0.2).layer(size)[1].mean() - (4 - np.pi) * 0.04) < 0.001
    for anchor, corner in (((0, 0), np.s_[:100, :100]), ((1, 0), np.s_[:100, 100:]), ((1, 1), np.s_[100:, 100:])):
        for artefact in (colour_patch(anchor=anchor), annotation("L", width=0.1, anchor=anchor)):
            mask = artefact.mask(size)
            assert mask[corner].sum() == mask.sum() > 0


@pytest.mark.parametrize("anchor", [None, (0.25, 1.0)])
def test_a_stored_artefact_is_the_same_one(tmp_path: Path, anchor: tuple[float, float] | None) -> None:
    rng = np.random.default_rng(0)
    artefact = Artefact("näme", rng.random((20, 30, 3)), rng.random((20, 30)), anchor)
    again = Artefact.load(artefact.save(tmp_path / "a.png"))
    np.testing.assert_array_equal(again.rgb, artefact.rgb)
    np.testing.assert_array_equal(again.alpha, artefact.alpha)
    assert (again.name, again.anchor) == (artefact.name, artefact.anchor)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "a.png"]


def test_a_file_of_any_origin_is_stretched_or_placed(tmp_path: Path) -> None:
    values = np.zeros((20, 40, 4), np.uint8)
    values[:, :20] = (250, 10, 20, 255)
    Image.fromarray(values, "RGBA").save(tmp_path / "stamp.png")
    whole = Artefact.from_file(tmp_path / "stamp.png")
    assert whole.name == "stamp"
    assert whole.mask((50, 60)).mean() == pytest.approx(0.5, abs=0.02)
    small = Artefact.from_file(tmp_path / "stamp.png", width=0.5, anchor=(1, 1))
    mask = small.mask((CANVAS, CANVAS))
    assert mask.sum() == pytest.approx(CANVAS**2 / 16, rel=0.05)
    assert not mask[: CANVAS // 2].any()
    np.testing.assert_array_equal(small.add(picture((CANVAS, CANVAS)))[mask][0], (250, 10, 20))


def test_files_that_are_no_artefacts_are_refused(tmp_path: Path) -> None:
    Image.new("RGB", (20, 20)).save(tmp_path / "opaque.png")
    Image.new("RGBA", (20, 20)).save(tmp_path / "nothing.png")
    Image.new("RGB", (20, 20)).save(tmp_path / "photo.jpg")
    (tmp_path / "text.png").write_text("no picture")
    for name, word in (("opaque.png", "transparency"), ("nothing.png", "transparent"), ("photo.jpg", "transparency")):
        with pytest.raises(InputError, match=word):
            Artefact.from_file(tmp_path / name)
    for name in ("text.png", "missing.png"):
        with pytest.raises(InputError, match=name):
            Artefact.from_file(tmp_path / name)
    with pytest.raises(InputError, match=r"\.png"):
        text_logo().save(tmp_path / "a.jpg")
    path = text_logo().save(tmp_path / "a.png")
    for text in ("", "[]", '{"name": "a"}', '{"name": 3, "anchor": null}', '{"name": "a", "anchor": ["x", 1]}'):
        (tmp_path / "a.json").write_text(text)
        with pytest.raises(InputError):
            Artefact.load(path)
    (tmp_path / "a.json").write_text('{"name": "a", "anchor": [0, 7]}')
    with pytest.raises(InputError, match="anchor"):
        Artefact.load(path)


def test_hostile_values_are_refused() -> None:
    good = np.zeros((4, 4))
    for rgb, alpha in [
        (np.zeros((4, 5, 3)), good),
        (np.zeros((4, 4)), good),
        (np.full((4, 4, 3), np.nan), good),
        (np.zeros((4, 4, 3)), good + 1.5),
        (np.zeros((0, 4, 3)), np.zeros((0, 4))),
    ]:
        with pytest.raises(InputError):
            Artefact("bad", rgb, alpha)
    artefact = text_logo()
    for image in (picture((20, 20)).astype(float), picture((20, 20))[..., 0], np.zeros((0, 5, 3), np.uint8), "a.png"):
        with pytest.raises(InputError):
            artefact.add(image)
    with pytest.raises(InputError, match="whole image"):
        plain(np.ones((8, 8))).remove(picture((20, 20)))
    for make in (
        lambda: text_logo(" "),
        lambda: text_logo(width=0),
        lambda: text_logo(opacity=2),
        lambda: text_logo("I", width=1),
        lambda: border(0.5),
        lambda: rounded_corners(0),
        lambda: colour_patch(side=1.5),
    ):
        with pytest.raises(InputError):
            make()


def test_an_empty_artefact_changes_nothing() -> None:
    artefact, image = plain(np.zeros((8, 8))), picture((30, 20))
    assert artefact.empty
    np.testing.assert_array_equal(artefact.add(image), image)
    np.testing.assert_array_equal(artefact.remove(image), image)


def test_artefacts_have_names_and_files(tmp_path: Path) -> None:
    for name in ARTEFACTS:
        assert artefact_named(name).name == name
    stored = artefact_named(str(border(0.2).save(tmp_path / "mine.png")))
    np.testing.assert_array_equal(stored.alpha, border(0.2).alpha)
    Image.new("RGBA", (20, 10), (250, 10, 20, 255)).save(tmp_path / "stamp.png")
    stamp = artefact_named(str(tmp_path / "stamp.png"))
    rows, columns = np.nonzero(stamp.alpha)
    assert stamp.name == "stamp"
    assert columns.max() - columns.min() + 1 == round(0.4 * CANVAS)
    assert rows.min() > CANVAS / 2
    with pytest.raises(InputError, match=r"no artefact 'sticker': name a PNG file, or one of logo, watermark"):
        artefact_named("sticker")


def test_the_watermark_of_imagenet_w_lies_where_it_was_published() -> None:
    # text of 36 pixels at (.01 W, .4 H), opacity .5; strokes of an extra light font reach no full opacity
    artefact = imagenet_w()
    rows, columns = np.nonzero(artefact.alpha)
    assert (rows.min(), columns.min()) == pytest.approx((0.4 * 224, 0.01 * 224), abs=12)
    assert 30 <= rows.max() - rows.min() <= 42
    assert columns.max() - columns.min() == pytest.approx(6 * 36, abs=6)
    assert 0.4 < artefact.alpha.max() <= 0.502
    grey = np.full((224, 224, 3), 100, dtype=np.uint8)
    added = artefact.add(grey)
    assert added.max() == pytest.approx(100 + 155 * float(artefact.alpha.max()), abs=1)
    assert added.min() == 100


def test_they_load_fast() -> None:
    """Neither torch nor any room but that of images."""
    script = (
        "import sys, json, chinspect.artefacts as artefacts; artefacts.Artefact; artefacts.ARTEFACTS; "
        "print(json.dumps([name for name in sys.modules if name.split('.')[0] in ('chinspect', 'torch')]))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    modules = json.loads(done.stdout)
    assert "chinspect.artefacts.ready" in modules
    assert "torch" not in modules
    assert len(modules) <= 40
