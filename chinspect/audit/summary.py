"""An audit in a few lines of Markdown, for a pull request or the summary of a CI job.

All text that comes from files, labels or options is data: it is escaped so that it shows as it is, starts no link, no
image, no HTML and no table cell, and so that nobody is notified by a file name that holds an ``@``.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from textwrap import shorten

from chinspect.audit.baseline import Changes, Difference
from chinspect.audit.finding import TONES, AuditFinding
from chinspect.audit.result import Audit
from chinspect.report import Tone

_ROWS = 20  # findings of a table: what a reviewer reads, and the report has all
_LETTERS = 300  # of a sentence in a table
_SIGNS: dict[Tone, str] = {"bad": "❌", "unsure": "❔", "good": "✅", "plain": ""}
_SPECIAL = re.compile(r"([\\`*_\[\]<>#|~$&]|^[-+=]|(?<=^\d)[.)])")
"""What Markdown, or GitHub's extensions of it, may read as more than a letter; some of it only where a line begins."""
_LIVE = re.compile(r"(@|#(?=\d)|:(?=//)|:(?=\w+:)|www(?=\.))", re.IGNORECASE)
"""Where GitHub starts a mention, a reference or a link in plain text, and a backslash does not stop it."""
_JOINER = "\u2060"  # invisible, no space, and no part of a name, a number or an address


def summary_markdown(audit: Audit, changes: Changes | None = None) -> str:
    """The verdict, the findings, gravest first, and what is new, gone or changed since a baseline.

    An invisible word joiner (U+2060) stands behind an ``@`` and where else plain text would come alive.
    """
    tone = TONES.get(audit.verdict, "unsure")
    lines = [f"## {_SIGNS[tone]} {escaped(audit.title)}: {_words(audit.verdict)}", "", escaped(audit.sentence), ""]
    lines += _findings(audit.findings)
    if changes is not None:
        lines += _changes(changes)
    lines += ["", f"At most {audit.level:.0%} of audits confirm anything where there is nothing to find."]
    return "\n".join(lines).rstrip() + "\n"


def escaped(text: str, letters: int | None = None) -> str:
    """Text as one line of Markdown that shows it and does nothing else; shortened where ``letters`` says so.

    Control characters and those that turn the direction of writing are shown by their numbers.
    """
    line = " ".join(text.split())
    if letters is not None and len(line) > letters:
        line = shorten(line, letters, placeholder=" …") if " " in line[:letters] else line[: letters - 1] + "…"
    visible = "".join(ascii(letter)[1:-1] if _is_hidden(letter) else letter for letter in line)
    return _LIVE.sub(rf"\1{_JOINER}", _SPECIAL.sub(r"\\\1", visible))


def _is_hidden(letter: str) -> bool:
    """Control and format characters, surrogates, and code points that are no letters."""
    return unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Co", "Cn")


def _findings(findings: Sequence[AuditFinding]) -> list[str]:
    """The table of findings."""
    if not findings:
        return ["Nothing was looked at."]
    rows = [
        f"| {_SIGNS[TONES.get(one.status, 'unsure')]} {_words(one.status)} | {escaped(one.title, _LETTERS)} | "
        f"{escaped(one.sentence, _LETTERS)} | {escaped(one.advice, _LETTERS)} |"
        for one in findings[:_ROWS]
    ]
    table = ["| status | finding | evidence | what to do |", "|---|---|---|---|", *rows]
    left = len(findings) - _ROWS
    return table + (["", f"and {left} more, none of them graver."] if left > 0 else [])


def _changes(changes: Changes) -> list[str]:
    """What differs from the baseline, worse first."""
    lines = ["", f"### Since {escaped(changes.baseline, _LETTERS)}", ""]
    groups = {"new": changes.new, "changed": changes.changed, "gone": changes.gone}
    ordered = [(name, one) for name, group in groups.items() for one in group]
    ordered.sort(key=lambda entry: not entry[1].is_worse)
    for name, one in ordered[:_ROWS]:
        lines.append(f"* {'**worse**, ' if one.is_worse else ''}{name}: {escaped(one.title, _LETTERS)}{_turn(one)}")
    if not ordered:
        lines.append("Nothing new, nothing gone, nothing changed.")
    if len(ordered) > _ROWS:
        lines.append(f"* and {len(ordered) - _ROWS} more, none of them graver.")
    return lines + [line for note in changes.notes for line in ("", escaped(note, _LETTERS))]


def _turn(one: Difference) -> str:
    """From which status to which."""
    if one.before is None or one.after is None:
        return f" ({_words(one.after or one.before or '')})"
    if one.before != one.after:
        return f" (was {_words(one.before)}, is {_words(one.after)})"
    return f" ({_words(one.after)}, {one.estimate_before:.3g} before, {one.estimate_after:.3g} now)"


def _words(status: str) -> str:
    """A status in words."""
    return status.replace("_", " ")
