"""Text in figures that the font cannot draw: it is named by its length, where matplotlib would draw boxes.

matplotlib comes with a font for European scripts only, and whether a machine has others is not known. What a sign or a
file name says in another script stands in full in the tables and documents.
"""

from __future__ import annotations

import re
from functools import cache

from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.text import Text


def with_known_glyphs(figure: Figure) -> Figure:
    """The figure itself, in whose texts runs of characters without a glyph are replaced: ``[6 characters]``."""
    for text in figure.findobj(Text):
        text.set_text(drawable(text.get_text(), text.get_fontproperties()))
    return figure


def drawable(text: str, font: FontProperties | None = None) -> str:
    """The text as a font can draw it, by default matplotlib's.

    >>> drawable("STOP 止まれ")
    'STOP [3 characters]'
    """
    known = _characters(findfont(font or FontProperties()))
    runs = re.findall(r"\s+|\S", text)
    result = ""
    missing = 0
    for piece in [*runs, ""]:
        if piece and not piece.isspace() and ord(piece) not in known:
            missing += 1
            continue
        if missing:
            result += f"[{missing} character{'s' if missing > 1 else ''}]"
            missing = 0
        result += piece
    return result


@cache
def _characters(path: str) -> frozenset[int]:
    return frozenset(get_font(path).get_charmap())
