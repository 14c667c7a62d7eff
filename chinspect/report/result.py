"""What every result of the package is: it tells itself in words, tables, arrays and a figure, and is saved in one way.

A result class says what it holds; how that is written, printed, drawn and shown in a notebook stands here, once:

    class Proof(Result):
        stem = "proof"                                   # proof.json, proof.npz, proof.png
        drawing = "chinspect.proof.figure"
        effects: pd.DataFrame                            # effects.csv, effects.parquet
        def document(self): ...                          # JSON values; of a result without one, its tables

Figures import results, and no result imports a figure: a result names the module whose function ``draw(result)`` gives
its `matplotlib.figure.Figure`. That is imported when the result is drawn, so that results load without matplotlib. In
the same way it names the module whose function ``compose(result)`` gives its `chinspect.report.Page`.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any, ClassVar, overload

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from chinspect.errors import InputError
from chinspect.files import output_folder, replacing
from chinspect.report.blocks import Page
from chinspect.report.documents import write_json
from chinspect.report.tables import print_table, records, write_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = (".png", ".svg", ".pdf")
_DPI = 120  # fine enough to read the labels of a figure at its size on a screen
_LINE = 160  # characters of a representation, which stands in a list or after a prompt


class Result:
    """The base of all results. A subclass has a `stem`; all else is optional."""

    stem: ClassVar[str]
    """Name of the result's files, without their endings."""
    drawing: ClassVar[str] = ""
    """The module that draws it; empty for results that have no figure."""
    composing: ClassVar[str] = ""
    """The module whose function ``compose(result)`` gives its page; empty for results that have none."""

    @property
    def sentence(self) -> str:
        """The result in words."""
        return ""

    def document(self) -> dict[str, Any]:
        """Everything but arrays, as JSON values. By default the rows of all `tables`, by name."""
        return {name: records(table) for name, table in self.tables().items()}

    def tables(self) -> Mapping[str, pd.DataFrame]:
        """Tables by the names of their files. By default all attributes that are tables, by their own names."""
        return {name: value for name, value in vars(self).items() if isinstance(value, pd.DataFrame)}

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """Arrays by name."""
        return {}

    def page(self) -> Page | None:
        """The result as people open it, see `chinspect.report.Page`; None for results that have none."""
        if not self.composing:
            return None
        made: Page = import_module(self.composing).compose(self)
        return made

    def overview(self) -> Mapping[str, pd.DataFrame]:
        """What is printed: tables by title. By default all of `tables`."""
        return self.tables()

    def figure(self) -> Figure:
        """The result drawn. Raises `InputError` for results that have no figure."""
        if not self.drawing:
            raise InputError(f"{type(self).__name__} has no figure: see its tables.")
        from chinspect.report.glyphs import with_known_glyphs  # here, so that matplotlib is loaded where it draws

        return with_known_glyphs(import_module(self.drawing).draw(self))

    @overload
    def plot(self, path: None = None) -> Figure: ...

    @overload
    def plot(self, path: str | Path) -> Path: ...

    def plot(self, path: str | Path | None = None) -> Figure | Path:
        """Draws to a PNG, SVG or PDF file, and returns its path; without one returns the figure, as `figure` does.

        Raises `InputError` for another kind of file.
        """
        if path is None:
            return self.figure()
        target = Path(path)
        if target.suffix.lower() not in FORMATS:
            raise InputError(f"a figure is written as {', '.join(FORMATS)}, not as {target.name!r}.")
        figure = self.figure()
        with replacing(target) as temporary:
            figure.savefig(temporary, format=target.suffix[1:].lower(), dpi=_DPI, facecolor="white")
        return target

    def save(self, folder: str | Path) -> list[Path]:
        """Writes ``STEM.json``, each table as CSV and Parquet, arrays as ``STEM.npz``, figure and page as PNG and HTML.

        The document is written last: where it is, all is. Returns the files, the document first. Raises `InputError`
        where the folder cannot be written to.
        """
        target = output_folder(folder)
        written = self._save_rest(target)
        for name, table in self.tables().items():
            written += write_table(target, name, table)
        arrays = self.arrays()
        if arrays:
            written.append(target / f"{self.stem}.npz")
            with replacing(written[-1]) as temporary, temporary.open("wb") as file:
                np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
        if self.drawing:
            written.append(self.plot(target / f"{self.stem}.png"))
        written += self._save_page(target / f"{self.stem}.html")
        return [write_json(target / f"{self.stem}.json", self.document()), *written]

    def show(self) -> None:
        """Prints the tables of `overview` and the sentence."""
        for title, table in self.overview().items():
            print_table(table, title)
        if self.sentence:
            print(self.sentence)  # noqa: T201, this is what it is for

    def __repr__(self) -> str:
        """One line: the beginning of the sentence."""
        first = (self.sentence or self.stem).partition("\n")[0]
        return f"<{type(self).__name__}: {shorten(first, _LINE, placeholder=' ...')}>"

    def _repr_html_(self) -> str:
        """What a notebook shows: the sentence, the tables, the figure."""
        blocks = [f"<p>{html.escape(line)}</p>" for line in self.sentence.splitlines()]
        for title, table in self.overview().items():
            blocks.append(f"<h4>{html.escape(title)}</h4>{table.to_html(index=False, escape=True)}")
        if self.drawing:
            buffer = io.BytesIO()
            self.figure().savefig(buffer, format="png", dpi=_DPI, facecolor="white")
            picture = base64.b64encode(buffer.getvalue()).decode("ascii")
            blocks.append(f'<img alt="{html.escape(self.sentence, quote=True)}" src="data:image/png;base64,{picture}">')
        return "\n".join(blocks)

    def _save_rest(self, target: Path) -> list[Path]:  # noqa: ARG002, for subclasses
        """Writes what is neither table nor array; the files."""
        return []

    def _save_page(self, path: Path) -> list[Path]:
        """Writes the page as HTML, if there is one."""
        page = self.page()
        return [] if page is None else [write_page(path, page)]


def write_page(path: Path, page: Page) -> Path:
    """Writes a page as HTML, whole or not at all."""
    from chinspect.report.html import page_html  # here, as most results have no page, and templates take time to load

    with replacing(path) as temporary:
        temporary.write_text(page_html(page), encoding="utf-8")
    return path
