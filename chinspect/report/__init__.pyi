from .blocks import (
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
    Section,
    Table,
    Tile,
    Tone,
)
from .documents import json_text, plain, write_json
from .figures import as_picture
from .glyphs import drawable, with_known_glyphs
from .html import page_html
from .markdown import page_markdown
from .palette import CONTROL, EFFECT, INK, PALE, VARIANT
from .result import Result, write_page
from .tables import cell, print_table, records, write_table
from .words import GLOSSARY

__all__ = [
    "CONTROL",
    "EFFECT",
    "GLOSSARY",
    "INK",
    "PALE",
    "VARIANT",
    "Block",
    "Comparison",
    "Gallery",
    "Histogram",
    "Intervals",
    "Page",
    "PairViewer",
    "Paragraph",
    "Picture",
    "Result",
    "Scatter",
    "Section",
    "Table",
    "Tile",
    "Tone",
    "as_picture",
    "cell",
    "drawable",
    "json_text",
    "page_html",
    "page_markdown",
    "plain",
    "print_table",
    "records",
    "with_known_glyphs",
    "write_json",
    "write_page",
    "write_table",
]
