"""The directive `room`: all that a room of chinspect offers, as its `__init__.pyi` lists it.

Rooms load their names when these are first asked for, so that a module's own members do not tell what belongs to it;
and the text behind a constant stands in the module that defines it. Both are read here from the sources.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.errors import PycodeError
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.docutils import SphinxDirective

_INHERITED = re.compile(r"set_\w+_request|get_metadata_routing")  # of scikit-learn, about which it tells itself
_SEVERAL = re.compile(r":ivar (\w+(?:, \w+)+):")
_rooms: set[str] = set()
"""The rooms that a page describes."""
_texts: dict[str, list[str]] = {}
"""What stands behind fields and constants, as it was written."""


def public_names(room: str) -> dict[str, str]:
    """The public names of a room, in alphabetical order, each with the module that defines it."""
    package = importlib.import_module(room)
    stub = Path(str(package.__file__)).with_suffix(".pyi").read_text(encoding="utf-8")
    origins = {
        alias.asname or alias.name: f"{room}.{node.module}"
        for node in ast.parse(stub).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    return {name: origins[name] for name in sorted(package.__all__, key=str.lower)}


class Room(SphinxDirective):
    """`.. room:: chinspect.NAME` describes a room and each of its public names."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        room = self.arguments[0]
        _rooms.add(room)
        lines = [f".. automodule:: {room}", "   :no-members:", ""]
        for name in public_names(room):
            lines += _described(room, name)
        return self.parse_text_to_nodes(StringList(lines, source=room), allow_section_headings=True)


def _described(room: str, name: str) -> list[str]:
    """The lines that describe a name, or that say where it is described."""
    value = getattr(importlib.import_module(room), name)
    home = ".".join((getattr(value, "__module__", None) or room).split(".")[:2])
    if home.startswith("chinspect.") and home != room and name in getattr(importlib.import_module(home), "__all__", ()):
        return [f".. py:data:: {name}", f"   :module: {room}", "", f"   The same as :py:obj:`{home}.{name}`.", ""]
    if inspect.isclass(value):
        return [f".. autoclass:: {room}.{name}", "   :members:", ""]
    if inspect.isfunction(value):
        return [f".. autofunction:: {room}.{name}", ""]
    return [f".. autodata:: {room}.{name}", "   :no-value:", ""]


def _remember(app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:  # noqa: ARG001
    """Notes the text of a field as it is, and of a constant the text that stands behind it instead of its type's."""
    room, _, constant = name.rpartition(".")
    if what == "data" and room in _rooms:
        try:
            texts = ModuleAnalyzer.for_module(public_names(room)[constant]).find_attr_docs()
        except PycodeError:
            texts = {}
        lines[:] = texts.get(("", constant), [])
    if what in ("data", "attribute"):
        _texts[name] = list(lines)


def _restore(app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:  # noqa: ARG001
    """Mends what napoleon has made: of what is before a colon a type, and of the first of several names another one."""
    if what in ("data", "attribute"):
        lines[:] = _texts[name]
    for number, line in enumerate(lines):
        if several := _SEVERAL.match(line):
            lines[number] = f":ivar {several[1].replace(' ', '')}:{line[several.end() :]}"


def _skip(app: Sphinx, what: str, name: str, value: Any, skip: bool, options: Any) -> bool | None:  # noqa: ARG001
    return True if _INHERITED.fullmatch(name) else None


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("room", Room)
    app.connect("autodoc-process-docstring", _remember, priority=100)  # before napoleon
    app.connect("autodoc-process-docstring", _restore, priority=900)  # after it
    app.connect("autodoc-skip-member", _skip)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
