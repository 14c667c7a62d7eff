"""The directive `room`: all that a room of chinspect offers, as its `__init__.pyi` lists it.

Rooms load their names when these are first asked for, so that a module's own members do not tell what belongs to it;
and the text behind a constant stands in the module that defines it. Both are read here from the sources.
"""

from __future__ import annotations

import ast
import importlib
import inspect
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.errors import PycodeError
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.docutils import SphinxDirective


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


_rooms: set[str] = set()
"""The rooms that a page describes."""


class Room(SphinxDirective):
    """`.. room:: chinspect.NAME` describes a room and each of its public names."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        room = self.arguments[0]
        _rooms.add(room)
        lines = [f".. automodule:: {room}", "   :no-members:", ""]
        for name in public_names(room):
            kind, *options = _directive(getattr(importlib.import_module(room), name))
            lines += [f".. {kind}:: {room}.{name}", *(f"   {option}" for option in options), ""]
        return self.parse_text_to_nodes(StringList(lines, source=room), allow_section_headings=True)


def _directive(value: Any) -> tuple[str, ...]:
    """What documents an object, with its options."""
    if inspect.isclass(value):
        return "autoclass", ":members:"
    if inspect.isfunction(value):
        return ("autofunction",)
    return "autodata", ":no-value:"


def _constant(app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:  # noqa: ARG001
    """Puts the text that stands behind a constant in the place of that of its type."""
    room, _, constant = name.rpartition(".")
    if what != "data" or room not in _rooms:
        return
    try:
        texts = ModuleAnalyzer.for_module(public_names(room)[constant]).find_attr_docs()
    except PycodeError:
        texts = {}
    lines[:] = texts.get(("", constant), [])


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("room", Room)
    app.connect("autodoc-process-docstring", _constant, priority=100)  # before napoleon
    return {"parallel_read_safe": True, "parallel_write_safe": True}
