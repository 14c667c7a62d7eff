"""The pages of the documentation: their snippets, and what it takes to run them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md"))
_BLOCK = re.compile(r"(?:<!-- (?P<note>[^>]*?) -->\n)?```(?P<language>python|sh)\n(?P<code>.*?)```", re.DOTALL)


@dataclass(frozen=True)
class Snippet:
    """A block of code of a page.

    Attributes:
        reason: why it is not run, where a comment in front of it says so: ``<!-- not run: ... -->``.
        status: the exit status of its commands: ``<!-- exit status: 1 -->``.
    """

    page: Path
    language: str
    code: str
    reason: str
    status: int

    @property
    def commands(self) -> list[list[str]]:
        """The words of each command of a shell block, comments left out, lines that end with a backslash joined."""
        lines = self.code.replace("\\\n", " ").splitlines()
        return [words for line in lines if (words := shlex.split(line, comments=True))]


def snippets(page: Path) -> Iterator[Snippet]:
    """The Python and shell blocks of a page, in their order."""
    for block in _BLOCK.finditer(page.read_text(encoding="utf-8")):
        note = block["note"] or ""
        reason = note.removeprefix("not run: ") if note.startswith("not run: ") else ""
        status = int(note.removeprefix("exit status: ")) if note.startswith("exit status: ") else 0
        yield Snippet(page, block["language"], block["code"], reason, status)


def studies(page: Path) -> list[list[str]]:
    """The words behind ``python`` of each command of a page that runs a study, in blocks and in the text."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    return [shlex.split(command) for command in re.findall(r"python (experiments/[^`\n]*)", text)]


def name(page: Path) -> str:
    return str(page.relative_to(DOCS))
