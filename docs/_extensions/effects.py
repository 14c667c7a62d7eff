"""The directive `effects`: the known effects with their published numbers, as `chinspect.known.EFFECTS` has them."""

from __future__ import annotations

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from chinspect.known import EFFECTS, Effect


class Effects(SphinxDirective):
    """A section for each effect: what it is, what it needs, and a table of what is published."""

    def run(self) -> list[nodes.Node]:
        lines = [line for effect in EFFECTS.values() for line in _described(effect)]
        return self.parse_text_to_nodes(StringList(lines, source="chinspect.known"), allow_section_headings=True)


def _described(effect: Effect) -> list[str]:
    """The lines of a section, in Markdown."""
    lines = [f"## `{effect.name}`", "", f"{effect.title[0].upper()}{effect.title[1:]}. Needs {effect.needs}."]
    lines += [f"Data: {effect.data}.", "", f"Source: {effect.source}.", ""]
    if not effect.published:
        return [*lines, "No published numbers are stored with it.", ""]
    measures = list(dict.fromkeys(name for published in effect.published for name in published.values))
    lines += ["| published | " + " | ".join(measures) + " |", "|---|" + "---|" * len(measures)]
    for published in effect.published:
        values = [f"{published.values[name]:.3f}" if name in published.values else "" for name in measures]
        lines.append(f"| {published.model} | " + " | ".join(values) + " |")
    return [*lines, ""]


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("effects", Effects)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
