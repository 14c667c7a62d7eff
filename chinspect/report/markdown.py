"""A page as Markdown (GitHub's), for places that block scripts: tables and sentences, pictures as their text.

File names and labels come from strangers: no character of a text makes a tag, a link, an address, a mention or the end
of a cell.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from chinspect.report import charts
from chinspect.report.blocks import (
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
    Tone,
)
from chinspect.report.html import SIGNS, visible
from chinspect.report.values import cells, facts

_LISTED = 20  # names of a gallery or of a group
_ROWS = 200  # of a table: a comment of a pull request holds 65,536 characters
_MARKS = re.compile(r"[\\`*_{}\[\]<>&|~#$!]")
_JOINER = "\u2060"  # has no width: what is written as an address or a mention is none, and reads the same


def page_markdown(page: Page) -> str:
    """The page as the text of a Markdown file."""
    lines = [f"# {escaped(page.title)}", f"**{_signed(page.tone)}{escaped(page.verdict)}**", escaped(page.sentence)]
    if page.sections:
        lines.append("\n".join(f"* {_entry(section.title, section.note, section.tone)}" for section in page.sections))
    for section in page.sections:
        lines.append(f"## {escaped(section.title)}")
        if section.note:
            lines.append(f"**{_signed(section.tone)}{escaped(section.note)}**")
        lines += [_BLOCKS[type(block)](block) for block in section.blocks]
    if page.made:
        lines += ["## How it was computed", _grid(["what", "value"], facts(page.made), [False, False])]
    return "\n\n".join(filter(None, lines)) + "\n"


def escaped(text: str) -> str:
    """The text on one line, as text whatever it holds.

    >>> escaped("<b>a|b</b> [x](y)")
    '&lt;b&gt;a&#124;b&lt;/b&gt; &#91;x&#93;(y)'
    """
    line = " ".join(visible(str(text)).split())
    line = _MARKS.sub(_entity, line)
    line = re.sub(r"(?i)(www)\.|(:)(?=//)|(@)(?=\w)", lambda match: _broken(match.group()), line)
    # what would begin a list, a rule or a heading
    return re.sub(r"^(\d*)([-+=.)])(?=[-+=\s]|$)", r"\1\\\2", line)


def _entity(match: re.Match[str]) -> str:
    names = {"<": "&lt;", ">": "&gt;", "&": "&amp;"}
    return names.get(match.group(), f"&#{ord(match.group())};")


def _broken(text: str) -> str:
    return f"{text[:-1]}{_JOINER}{text[-1]}" if text.lower().startswith("www") else f"{text}{_JOINER}"


def _signed(tone: Tone) -> str:
    return f"{SIGNS[tone]} " if SIGNS[tone] else ""


def _entry(title: str, note: str, tone: Tone) -> str:
    return f"{escaped(title)}: {_signed(tone)}{escaped(note)}" if note else escaped(title)


def _paragraph(block: Paragraph) -> str:
    lines = [escaped(line) for line in block.text.splitlines()]
    return _signed(block.tone) + "  \n".join(filter(None, lines))


def _table(block: Table) -> str:
    columns, rows, numeric = cells(block.table, _ROWS)
    left = len(block.table) - len(rows)
    more = f"\n\n{left} more rows are left out here." if left else ""
    return f"**{escaped(block.caption)}**\n\n{_grid(columns, rows, numeric)}{more}"


def _picture(block: Picture) -> str:
    return " ".join(filter(None, [f"*Picture: {escaped(block.text)}*", escaped(block.caption)]))


def _gallery(block: Gallery) -> str:
    names = [f"{tile.name} ({tile.caption})" if tile.caption else tile.name for tile in block.tiles]
    return f"**{escaped(block.caption)}** {_names(names)}"


def _comparison(block: Comparison) -> str:
    rows = [(first.name, first.caption, second.caption) for first, second in block.pairs[:_LISTED]]
    left = len(block.pairs) - len(rows)
    more = f"\n\n{left} more are left out here." if left else ""
    return f"**{escaped(block.caption)}**\n\n{_grid(['image', *block.titles], rows, [False] * 3)}{more}"


def _intervals(block: Intervals) -> str:
    rows = [
        (row["name"], "control" if row["control"] else "effect", row["told"]) for row in charts.forest(block)["rows"]
    ]
    columns = ["what", "kind", f"{block.axis}: estimate [interval]"]
    zero = "" if block.zero is None else f" No effect: {block.zero:g}."
    return f"**{escaped(block.caption)}**{zero}\n\n{_grid(columns, rows, [False] * 3)}"


def _histogram(block: Histogram) -> str:
    groups = charts.histogram(block)["groups"]
    columns = ["group", "images", "median"]
    rows = [[group["name"], str(group["count"]), group["median"]] for group in groups]
    if block.threshold is not None:
        columns.append(f"at or above the frozen threshold {block.threshold:.4g}")
        rows = [[*row, group["above"]] for row, group in zip(rows, groups, strict=True)]
    return f"**{escaped(block.caption)}** ({escaped(block.axis)})\n\n{_grid(columns, rows, [False, True, True, True])}"


def _scatter(block: Scatter) -> str:
    lines = [f"**{escaped(block.caption)}**"]
    for group in dict.fromkeys(filter(None, block.groups)):
        names = [name for name, own in zip(block.names, block.groups, strict=True) if own == group]
        lines.append(f"* {escaped(group)}, {len(names)} images: {_names(names)}")
    return "\n".join([lines[0], "", *lines[1:]])


def _pair(block: PairViewer) -> str:
    first, second = (escaped(name) for name in block.names)
    return f"**{escaped(block.caption)}** {first} and {second}: the viewer is in the HTML page."


_BLOCKS: dict[type[Any], Callable[[Any], str]] = {
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


def _names(names: Sequence[str]) -> str:
    left = len(names) - _LISTED
    return ", ".join(escaped(name) for name in names[:_LISTED]) + (f" and {left} more" if left > 0 else "")


def _grid(columns: Sequence[str], rows: Iterable[Sequence[str]], numeric: Sequence[bool]) -> str:
    head = "| " + " | ".join(escaped(column) or " " for column in columns) + " |"
    rule = "|" + "|".join("---:" if number else "---" for _, number in zip(columns, numeric, strict=False)) + "|"
    return "\n".join([head, rule, *("| " + " | ".join(escaped(value) for value in row) + " |" for row in rows)])
