"""What a page of a report consists of: a verdict in words, and sections of blocks. Pages say nothing of how they look.

Any result that people open describes itself as a `Page`; `chinspect.report.html` makes one self-contained HTML file of
it, and `chinspect.report.markdown` the same for places that show no HTML. All text is data: file names and labels come
from strangers, and whatever renders them escapes them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

Tone = Literal["plain", "bad", "unsure", "good"]
"""Of a sentence: a verdict against the model, one that is open, one for it, or none of these."""


@dataclass(frozen=True)
class Paragraph:
    """A sentence or more, as plain text."""

    text: str
    tone: Tone = "plain"


@dataclass(frozen=True, eq=False)
class Table:
    """Numbers by rows; NaN is shown as nothing."""

    table: pd.DataFrame
    caption: str


@dataclass(frozen=True, eq=False)
class Picture:
    """One image; ``text`` is what stands for it where it cannot be seen."""

    image: Image.Image
    text: str
    caption: str = ""


@dataclass(frozen=True, eq=False)
class Tile:
    """An image of a gallery.

    Attributes:
        image: as the model sees it.
        name: of its file.
        caption: a few words.
        relevance: its map (h, w), positive and negative, in any unit, which can be laid over the image.
    """

    image: Image.Image
    name: str
    caption: str = ""
    relevance: NDArray[np.floating[Any]] | None = None


@dataclass(frozen=True, eq=False)
class Gallery:
    """Thumbnails, which are stored as one sprite sheet."""

    tiles: Sequence[Tile]
    caption: str


@dataclass(frozen=True, eq=False)
class Comparison:
    """The same images twice, such as with an artefact and without it."""

    pairs: Sequence[tuple[Tile, Tile]]
    titles: tuple[str, str]
    caption: str


@dataclass(frozen=True, eq=False)
class Intervals:
    """Effects with their intervals, one below the other.

    Attributes:
        rows: ``name``, ``estimate``, ``low``, ``high``, and ``control``, whether it is one.
        axis: what is measured, with its unit.
        zero: where there is no effect; None of measures that are to be compared with their controls only.
    """

    rows: pd.DataFrame
    axis: str
    caption: str
    zero: float | None = 0.0


@dataclass(frozen=True, eq=False)
class Histogram:
    """Distributions of scores by name, and a threshold that was frozen before they were seen."""

    groups: Mapping[str, NDArray[np.floating[Any]]]
    axis: str
    caption: str
    threshold: float | None = None


@dataclass(frozen=True, eq=False)
class Scatter:
    """All images of a data set in a plane; a point has a thumbnail, points can be chosen, and their names be copied.

    Attributes:
        x, y: (N,); NaN is left out.
        names: (N,) of files.
        groups: (N,) what a point belongs to, such as ``candidate 1``; empty for the rest.
        tiles: (N,) thumbnails, or none.
    """

    x: NDArray[np.floating[Any]]
    y: NDArray[np.floating[Any]]
    names: Sequence[str]
    groups: Sequence[str]
    caption: str
    tiles: Sequence[Tile] = ()


@dataclass(frozen=True, eq=False)
class PairViewer:
    """Two images, and what makes them similar: a patch of one points to its matches in the other.

    Attributes:
        images: both, as the model sees them.
        names: of both files.
        relevance: by name of a band of frequencies, ``all`` first: (h_a, w_a, h_b, w_b), of each patch of the first
            image together with each of the second one.
        similarity: that they are the parts of.
    """

    images: tuple[Image.Image, Image.Image]
    names: tuple[str, str]
    relevance: Mapping[str, NDArray[np.floating[Any]]]
    similarity: float
    caption: str


Block = Paragraph | Table | Picture | Gallery | Comparison | Intervals | Histogram | Scatter | PairViewer


@dataclass(frozen=True, eq=False)
class Section:
    """Blocks under a title.

    Attributes:
        note: what the section says in a few words, for the list of contents; its ``tone`` is that of the section.
    """

    title: str
    blocks: Sequence[Block]
    note: str = ""
    tone: Tone = "plain"


@dataclass(frozen=True, eq=False)
class Page:
    """A report.

    Attributes:
        title: what was looked at.
        verdict: one word or two, such as ``confirmed``, whose ``tone`` colours it beside its sign.
        sentence: the verdict in plain words, with evidence and uncertainty.
        sections: most important first.
        made: how it was computed: versions, seeds, hashes, commands; JSON values.
    """

    title: str
    verdict: str
    tone: Tone
    sentence: str
    sections: Sequence[Section]
    made: Mapping[str, Any] = field(default_factory=dict)
