import base64
import hashlib
import html.parser
import io
import re
from importlib.resources import files

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from chinspect.report import (
    Gallery,
    Histogram,
    Intervals,
    Page,
    Paragraph,
    Picture,
    Result,
    Scatter,
    Section,
    Table,
    Tile,
    page_html,
    page_markdown,
)
from chinspect.report.charts import forest, histogram, nice_ticks, pair, scatter
from chinspect.report.html import LIBRARY, asset
from chinspect.report.sprites import sprite_sheet
from tests.report.pages import HOSTILE, example_page, images


class Reader(html.parser.HTMLParser):
    """Elements with their attributes, and all text outside scripts and styles."""

    def __init__(self, text):
        super().__init__()
        self.elements = []
        self.text = ""
        self.raw = False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self.raw = tag in ("script", "style")

    def handle_endtag(self, tag):
        self.raw = False

    def handle_data(self, data):
        self.text += "" if self.raw else data


@pytest.fixture(scope="module")
def text():
    return page_html(example_page())


def page_of(*blocks, made=None):
    return Page("title", "nothing", "good", "All is well.", [Section("One", blocks)], made or {})


def test_names_from_strangers_are_text_in_every_block(text):
    reader = Reader(text)
    assert not [attributes for _, attributes in reader.elements if any(name.startswith("on") for name in attributes)]
    sources = [attributes["src"] for _, attributes in reader.elements if "src" in attributes]
    assert sources
    assert all(source.startswith("data:image/webp;base64,") for source in sources)
    links = [attributes["href"] for _, attributes in reader.elements if "href" in attributes]
    assert all(link.startswith("#") or link == "data:," for link in links)
    assert not {"iframe", "svg", "object", "b"} & {tag for tag, _ in reader.elements}
    for name in (HOSTILE[0], HOSTILE[1], HOSTILE[3], HOSTILE[5], HOSTILE[6]):
        assert name in reader.text
    assert "\u202e" not in text
    assert "\ufffdgpj.exe" in reader.text
    assert "broken \ufffd name\ufffd.png" in reader.text
    text.encode("utf-8")


def test_the_file_asks_for_nothing_from_elsewhere(text):
    own = text.replace(asset(LIBRARY), "")
    assert not re.search(r"(?:src|href|action)\s*=\s*[\"']?\s*(?:https?:)?//", own)
    assert not re.search(r"@import|url\((?!data:)", own)
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'" in own


def test_the_verdict_comes_first_and_how_it_was_computed_last(text):
    reader = Reader(text)
    order = [reader.text.index(part) for part in ("The model relies on", "Contents", "It is confirmed", "seeds")]
    assert order == sorted(order)
    headings = [attributes.get("scope") for tag, attributes in reader.elements if tag == "th"]
    assert set(headings) == {"row", "col"}
    assert all(attributes.get("alt") for tag, attributes in reader.elements if tag == "img")
    for word in ("Against the model:", "Open:", "For the model:"):  # a tone is never a colour alone
        assert word in reader.text


def test_the_chart_library_is_the_one_that_its_folder_names_and_is_there_once_and_only_where_it_is_drawn_with(text):
    folder = files("chinspect.report") / "page" / "plotly"
    digest = hashlib.sha256((folder / "plotly-cartesian.min.js").read_bytes()).hexdigest()
    assert digest in (folder / "README.md").read_text()
    assert "MIT License" in (folder / "LICENSE").read_text()
    assert text.count("plotly.js (cartesian - minified)") == 1
    assert "</script" not in asset(LIBRARY)
    plain = page_html(page_of(Paragraph("one"), Gallery([], "empty")))
    assert "plotly" not in plain
    assert len(plain) < 40_000


def test_a_map_is_red_where_it_raises_and_blue_where_it_lowers():
    relevance = np.array([[1.0, 0.0], [-1.0, 0.0]])
    tile = Tile(images(1)[0], "a", "", relevance)
    sheet = sprite_sheet([tile, Tile(images(1)[0], "b")])
    assert (sheet.columns, sheet.rows, sheet.position(1)) == (2, 1, "100.0% 0.0%")
    picture = Image.open(io.BytesIO(base64.b64decode(sheet.maps.split(",")[1]))).convert("RGBA")
    pixels = np.asarray(picture).astype(int)
    assert pixels.shape == (2, 4, 4)  # two maps of 2 x 2 side by side
    red, blue = pixels[0, 0], pixels[1, 0]
    assert red[0] > red[2] + 50
    assert blue[2] > blue[0] + 50
    assert red[3] > 200
    assert (pixels[:, 1:, 3] == 0).all()


def test_maps_of_nan_and_of_other_sizes_are_drawn():
    maps = [np.full((3, 3), np.nan), np.ones((50, 60)), np.zeros((7, 7)), None]
    sheet = sprite_sheet([Tile(picture, "a", "", one) for picture, one in zip(images(4), maps, strict=True)])
    assert sheet.maps.startswith("data:image/png;base64,")


def test_ticks_are_round_and_include_the_range():
    rng = np.random.default_rng(0)
    for _ in range(200):
        low, width = rng.normal() * 10.0 ** rng.integers(-6, 6), 10.0 ** rng.uniform(-6, 6)
        ticks = nice_ticks(low, low + width)
        assert 2 <= len(ticks) <= 7
        assert ticks[0] <= low + 1e-9 * width
        assert ticks[-1] >= low + width * (1 - 1e-9)
    assert nice_ticks(0.0, 0.0)


def test_a_forest_stands_on_one_axis_with_the_zero():
    rows = pd.DataFrame(
        {"name": ["a", "b"], "estimate": [2.0, np.nan], "low": [1.0, np.nan], "high": [3.0, np.inf], "control": False}
    )
    drawn = forest(Intervals(rows, "effect", ""))
    first, second = drawn["rows"]
    assert drawn["zero"] < first["start"] < first["at"] < first["end"] <= 100
    assert second["at"] is None
    assert first["told"] == "2 [1, 3]"


def test_measures_without_a_zero_have_no_line_that_says_no_effect():
    rows = pd.DataFrame({"name": ["a"], "estimate": [0.5], "low": [0.4], "high": [0.6], "control": False})
    for zero, lines in ((0.0, 1), (None, 0)):
        page = page_of(Intervals(rows, "rate", "Rates", zero=zero))
        assert page_html(page).count('class="zero"') == page_html(page).count("dashed: no effect") == lines
        assert page_markdown(page).count("No effect: 0.") == lines


def test_a_histogram_counts_every_finite_score_once_and_has_its_threshold_on_the_axis():
    scores = {"a": np.array([0.0, 1.0, 1.0, np.nan]), "b": np.array([5.0]), "empty": np.array([])}
    drawn = histogram(Histogram(scores, "score", "", threshold=9.0))
    assert [sum(group["fractions"]) for group in drawn["groups"]] == pytest.approx([1, 1, 0], abs=1e-4)
    assert drawn["centres"][-1] + drawn["width"] / 2 == pytest.approx(9, rel=1e-3)
    assert [group["count"] for group in drawn["groups"]] == [3, 1, 0]
    assert histogram(Histogram(scores, "score", "", threshold=1.0))["groups"][0]["above"] == "66.7%"


def test_of_many_points_all_that_belong_to_a_group_are_drawn():
    count = 30_000
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, count))
    x[5] = np.nan
    groups = ["candidate 1" if i % 100 == 0 else "" for i in range(count)]
    data, shown, usable = scatter(Scatter(x, y, [str(i) for i in range(count)], groups, ""))
    assert usable == count - 1
    assert len(shown) == len(data["x"]) == 10_000
    assert data["group"].count(0) == 300
    assert data["names"][0] == str(shown[0])


def test_relevance_of_pairs_arrives_up_to_rounding():
    block = example_page().sections[1].blocks[0]
    band = pair(block)["bands"][0]
    values = np.frombuffer(base64.b64decode(band["values"]), "<i2").reshape(band["shape"]) / 32767 * band["largest"]
    np.testing.assert_allclose(values, block.relevance["all"], atol=1e-4)


def test_two_thousand_images_stay_under_fifteen_megabytes():
    """Noise is the hardest to compress: photographs take a third of it."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (50, 96, 96, 3), dtype=np.uint8)
    pictures = [Image.fromarray(one) for one in noise]
    relevance = rng.normal(size=(50, 14, 14))
    tiles = [Tile(pictures[i % 50], f"image {i}.png", "", relevance[i % 50]) for i in range(2_000)]
    names = [tile.name for tile in tiles]
    x, y = rng.normal(size=(2, 2_000))
    galleries = [Gallery(tiles[:24], "members") for _ in range(8)]
    text = page_html(page_of(*galleries, Scatter(x, y, names, [""] * 2_000, "plane", tiles)))
    assert len(text.encode()) < 15e6


def test_of_a_long_table_the_first_rows_are_shown_and_the_rest_is_told():
    text = page_html(page_of(Table(pd.DataFrame({"row": [f"r{i}" for i in range(600)]}), "Many")))
    assert text.count('<th scope="row"') == 500
    assert "Many (100 more rows are in the files beside this page)" in text


def test_pages_without_anything_are_pages():
    empty = Scatter(np.array([np.nan]), np.array([0.0]), ["a"], [""], "nothing to see")
    blank = Picture(Image.new("L", (3, 2_000)), "a strip")
    text = page_html(page_of(empty, blank, Gallery([], "none"), made={"a": {}, "b": [{"c": [1, 2]}]}))
    assert "There are no images." in text
    assert "b / 1 / c" in text
    assert page_html(Page("title", "nothing", "plain", "", []))


def test_a_result_with_a_page_writes_it(tmp_path):
    class Paged(Result):
        stem = "paged"

        def page(self):
            return example_page()

    class Bare(Result):
        stem = "bare"

    assert [path.name for path in Paged().save(tmp_path)] == ["paged.json", "paged.html"]
    assert (tmp_path / "paged.html").read_text(encoding="utf-8") == page_html(example_page())
    assert [path.name for path in Bare().save(tmp_path)] == ["bare.json"]


@pytest.mark.parametrize("value", [0.0, 1.0, -0.5, 1e-9])
def test_an_axis_of_a_single_number_has_a_length(value):
    rows = pd.DataFrame({"name": ["a"], "estimate": [value], "low": [value], "high": [value], "control": [False]})
    block = Intervals(rows, "effect", "Alike", zero=value)
    told = forest(block)
    assert 0 <= told["zero"] <= 100
    assert told["rows"][0]["at"] == told["zero"]
    ticks = nice_ticks(value, value)
    assert ticks[0] <= value <= ticks[-1]
    assert ticks[0] < ticks[-1]
    assert page_html(Page("title", "x", "plain", "", [Section("One", [block])]))


@pytest.mark.parametrize("values", [[], [1.0, 1.0], [1e9, 1e9 + 1e-7], [0.0, 1e-300], [np.nan, np.inf]])
def test_bins_of_scores_that_hardly_differ(values):
    block = Histogram({"scores": np.array(values)}, "score", "Alike")
    assert np.isfinite(histogram(block)["centres"]).all()
    assert page_html(Page("title", "x", "plain", "", [Section("One", [block])]))
