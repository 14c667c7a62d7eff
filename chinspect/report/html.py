"""A page as one self-contained HTML file: it opens from disk, without a network, and under a strict policy.

The policy is in the page: ``default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'``.
All that the page needs lies in it: pictures as data URIs, thumbnails as sprite sheets, styles and scripts as text, and
the chart library once, if any block needs it. Everything but thumbnails over a chart, the pair viewer and the charts is
there without scripts. Templates escape all text, and scripts write text as text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from chinspect.report import charts
from chinspect.report.blocks import (
    Block,
    Comparison,
    Gallery,
    Histogram,
    Intervals,
    Page,
    PairViewer,
    Paragraph,
    Picture,
    Scatter,
    Table,
)
from chinspect.report.documents import plain
from chinspect.report.sprites import Sprites, sprite_sheet, webp
from chinspect.report.values import cells, facts, shown

LIBRARY = "plotly/plotly-cartesian.min.js"
"""The chart library among the page's files."""
SIGNS = {"bad": "✖", "unsure": "?", "good": "✔", "plain": ""}
"""Of a tone, beside its colour."""
TONES = {"bad": "Against the model:", "unsure": "Open:", "good": "For the model:", "plain": ""}
"""Of a tone, for those who hear a page."""
_ROWS = 500  # of a table: nobody reads more in a page
_LARGEST = 1_024  # pixels of a picture's longer side
_PICTURE = 88  # quality of WebP: letters in figures stay sharp
_PAIR = 448  # pixels of the longer side of a viewer's image: twice what most models see
_DENSE = 60  # tiles: the names of more stand in their titles only
_THUMBNAIL = 64  # pixels of the largest thumbnail over a chart


@dataclass
class _Assets:
    """What blocks need beside their own text: rules of the style sheet, and scripts."""

    rules: list[str] = field(default_factory=list)
    scripts: dict[str, None] = field(default_factory=dict)
    count: int = 0

    def number(self) -> int:
        self.count += 1
        return self.count

    def sheet(self, number: int, sheet: Sprites) -> None:
        self.rules.append(f".sheet-{number}{{background-image:url({sheet.sheet});background-size:{sheet.size}}}")
        if sheet.maps:
            self.rules.append(f".maps-{number}{{background-image:url({sheet.maps});background-size:{sheet.size}}}")


def page_html(page: Page) -> str:
    """The page as the text of an HTML file."""
    assets = _Assets()
    sections = [
        {
            "title": section.title,
            "note": section.note,
            "tone": section.tone,
            "blocks": [_block(block, assets) for block in section.blocks],
        }
        for section in page.sections
    ]
    return (
        _environment()
        .get_template("page.html")
        .render(
            page=page,
            sections=sections,
            made=facts(page.made),
            style=Markup(asset("style.css") + "\n".join(assets.rules)),
            scripts=[Markup(asset(name)) for name in ("page.js", *assets.scripts)],
        )
    )


def asset(name: str) -> str:
    """The text of one of the page's files."""
    return files("chinspect.report").joinpath("page", *name.split("/")).read_text(encoding="utf-8")


def _block(block: Block, assets: _Assets) -> Markup:
    return _BLOCKS[type(block)](block, assets)


def _paragraph(block: Paragraph, assets: _Assets) -> Markup:  # noqa: ARG001
    return _macro("paragraph", block)


def _table(block: Table, assets: _Assets) -> Markup:  # noqa: ARG001
    columns, rows, numeric = cells(block.table, _ROWS)
    left = len(block.table) - len(rows)
    caption = f"{block.caption} ({left:,} more rows are in the files beside this page)" if left else block.caption
    return _macro("table", caption, columns, rows, numeric)


def _picture(block: Picture, assets: _Assets) -> Markup:  # noqa: ARG001
    return _macro("picture", block, webp(_reduced(block.image, _LARGEST), _PICTURE), block.image.size)


def _gallery(block: Gallery, assets: _Assets) -> Markup:
    if not block.tiles:
        return _macro("empty", block.caption, "There are no images.")
    number = assets.number()
    sheet = sprite_sheet(block.tiles)
    assets.sheet(number, sheet)
    return _macro("gallery", block, number, sheet, len(block.tiles) > _DENSE)


def _comparison(block: Comparison, assets: _Assets) -> Markup:
    if not block.pairs:
        return _macro("empty", block.caption, "There are no images.")
    number = assets.number()
    sheet = sprite_sheet([tile for pair in block.pairs for tile in pair])
    assets.sheet(number, sheet)
    return _macro("comparison", block, number, sheet)


def _intervals(block: Intervals, assets: _Assets) -> Markup:  # noqa: ARG001
    return _macro("intervals", block, charts.forest(block))


def _histogram(block: Histogram, assets: _Assets) -> Markup:
    assets.scripts |= dict.fromkeys((LIBRARY, "charts.js", "histogram.js"))
    data = charts.histogram(block)
    columns = {"name": "group", "count": "images", "median": "median"}
    if block.threshold is not None:
        columns |= {"above": "at or above the threshold"}
    rows = [[shown(group[key]) for key in columns] for group in data["groups"]]
    return _macro("histogram", block, list(columns.values()), rows, _json(data))


def _scatter(block: Scatter, assets: _Assets) -> Markup:
    assets.scripts |= dict.fromkeys((LIBRARY, "charts.js", "scatter.js"))
    data, indices, count = charts.scatter(block)
    number = assets.number()
    sheet = None
    if block.tiles and indices:
        sheet = sprite_sheet([block.tiles[i] for i in indices], _THUMBNAIL)
        assets.sheet(number, sheet)
        data |= {"sheet": number, "maps": bool(sheet.maps), "columns": sheet.columns, "rows": sheet.rows}
        data["side"] = sheet.side
    return _macro("scatter", block, data, _json(data), number, count, sheet)


def _pair(block: PairViewer, assets: _Assets) -> Markup:
    assets.scripts |= {"pair.js": None}
    pictures = [webp(_reduced(image, _PAIR), _PICTURE) for image in block.images]
    return _macro("pair", block, pictures, _json(charts.pair(block)), assets.number())


_BLOCKS: dict[type, Callable[[Any, _Assets], Markup]] = {
    Paragraph: _paragraph,
    Table: _table,
    Picture: _picture,
    Gallery: _gallery,
    Comparison: _comparison,
    Intervals: _intervals,
    Histogram: _histogram,
    Scatter: _scatter,
    PairViewer: _pair,
}


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("chinspect.report", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
    )
    environment.globals |= {"SIGNS": SIGNS, "TONES": TONES}
    return environment


def _macro(name: str, *arguments: Any) -> Markup:
    module = _environment().get_template("blocks.html").module
    rendered: Markup = getattr(module, name)(*arguments)
    return rendered


# Control characters, characters that turn the direction of what follows (a name could seem to end in another way), and
# halves of characters, as file names that are no UTF-8 have them: these cannot be written.
_UNSEEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    """The text with a sign for each character that cannot be seen or written."""
    return _UNSEEN.sub("\ufffd", text)


def _finalize(value: Any) -> Any:
    return visible(value) if type(value) is str else value


def _json(document: Any) -> Markup:
    """JSON that can stand in an element ``script``: no character of it opens or closes anything there."""
    text = visible(json.dumps(plain(document), ensure_ascii=False, allow_nan=False, separators=(",", ":")))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _reduced(image: Image.Image, side: int) -> Image.Image:
    small = image.convert("RGB")
    small.thumbnail((side, side))
    return small
