"""What candidates lie on is called by its name, and nothing is where there is nothing."""

import numpy as np
import pytest
from PIL import Image

from chinspect.artefacts import ARTEFACTS, resample
from chinspect.errors import InputError
from chinspect.images import can_read, read_text
from chinspect.images.reading import _engine
from chinspect.spray import SpRAy, SprayRun
from chinspect.spray.ground import basic_colours, ground_of, grounded
from chinspect.world import scenes

COUNT, MEMBERS, CELLS = 40, 16, 14
PICTURES = [scene.image for scene in scenes(COUNT, seed=3, logo=None)]
needs_reader = pytest.mark.skipif(not can_read(), reason="RapidOCR is not installed: pip install chinspect[text]")


def planted(name: str | None, surrogates: int = 0) -> SprayRun:
    """Maps of noise; those of members see an artefact, or the middle."""
    rng = np.random.default_rng(0)
    maps = rng.gamma(0.5, 1, (COUNT, CELLS, CELLS)).astype(np.float32)
    images = list(PICTURES)
    seen = np.zeros((CELLS, CELLS), np.float32)
    seen[5:9, 5:9] = 1
    if name is not None:
        artefact = ARTEFACTS[name]()
        images[:MEMBERS] = [artefact.add(image) for image in images[:MEMBERS]]
        seen = resample(artefact.closed().mask((224, 224)).astype(np.float32), (CELLS, CELLS))
    maps[:MEMBERS] += 6 * seen
    spray = SpRAy(n_surrogates=surrogates).fit(maps)
    names = [f"{i}" for i in range(COUNT)]
    return SprayRun(spray, maps, names, picture=lambda index: Image.fromarray(images[index]))


@pytest.mark.parametrize(
    ("name", "ground"), [("border", ["the border", "grey"]), ("patch", ["a corner", "red"]), (None, ["the centre"])]
)
def test_places_and_colours_have_names(name: str | None, ground: list[str]) -> None:
    run = planted(name)
    assert [word for word in ground_of(run, run.findings[0].candidate) if word != "text"] == ground


@needs_reader
def test_text_is_read_and_pictures_without_text_have_none() -> None:
    run = grounded(planted("logo", 19))
    words = run.findings[0].ground
    assert "WASTECO" in words["text"]
    assert "most of what they share lies on text ('wasteco'" in run.findings[0].sentence(COUNT).lower()
    assert run.candidates().lies_on[0].startswith("text")
    assert run.overview()[next(iter(run.overview()))]["lies on"][0].startswith("text")
    without = planted("patch")
    assert "text" not in ground_of(without, without.findings[0].candidate)


@needs_reader
def test_the_watermark_is_read_where_it_is(real_data) -> None:
    folder = real_data("imagenet_sample")
    watermark = ARTEFACTS["imagenet-w"]()
    plain = [
        np.asarray(Image.open(path).convert("RGB").resize((224, 224))) for path in sorted(folder.glob("*.jpg"))[:8]
    ]
    assert sum(bool(read_text(image)) for image in plain) <= 4  # some photographs show text
    lines = [line for image in plain for line in read_text(watermark.add(image))]
    assert sum("捷" in line.words for line in lines) >= 5
    rows, _ = np.nonzero(next(line.mask for line in lines if "捷" in line.words))
    assert 95 <= rows.mean() <= 140


def test_colours_are_those_of_their_names() -> None:
    pixels = {"red": (220, 20, 20), "green": (30, 160, 40), "blue": (30, 60, 200), "yellow": (240, 220, 40)}
    pixels |= {"white": (250, 250, 250), "black": (10, 12, 10), "grey": (128, 128, 130), "orange": (250, 140, 20)}
    pixels |= {"brown": (110, 70, 30), "purple": (130, 40, 190), "pink": (250, 100, 180)}
    assert basic_colours(np.array(list(pixels.values()), np.uint8)).tolist() == list(pixels)


def test_what_reading_needs_is_said(monkeypatch) -> None:
    monkeypatch.setattr("chinspect.images.reading.find_spec", lambda name: None)
    _engine.cache_clear()
    with pytest.raises(InputError, match=r"pip install chinspect\[text\]"):
        read_text(PICTURES[0])
    assert not can_read()
    run = planted("patch")
    assert list(ground_of(run, run.findings[0].candidate)) == ["a corner", "red"]


def test_without_images_nothing_is_said() -> None:
    maps = np.random.default_rng(0).random((20, 8, 8))
    run = SprayRun(SpRAy(n_surrogates=0).fit(maps), maps, [f"{i}" for i in range(20)])
    assert grounded(run) is run
    assert "lies on" not in run.overview()[next(iter(run.overview()))]
