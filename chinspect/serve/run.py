"""A run that is served: what it says, which images it has, where their maps are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from chinspect.digests import digest_of_json
from chinspect.images import Preprocessing
from chinspect.report import plain
from chinspect.serve.listing import Listing
from chinspect.serve.words import Verdict

Document = Mapping[str, Any]


class Maps(Protocol):
    """Maps by the number of their image."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, h, w)."""

    def __getitem__(self, i: int, /) -> NDArray[np.floating[Any]]:
        """(h, w) of image ``i``."""


@dataclass(frozen=True, eq=False)
class Run:
    """What is served.

    Attributes:
        home: the folder that was named.
        analysis: the folder of the analysis of maps, whose figures belong to candidates; ``home`` of an index.
        kind: ``analysis``, ``audit`` or ``index``.
        title: of all pages.
        verdict: with its sentence.
        made: how it was computed, as JSON values.
        listing: the images; none in an audit without an analysis.
        maps: theirs, in the order of the listing.
        preprocessing: what the model sees of an image, in whose frame the map lies; None for the image as a square.
        candidates: a document each, by number.
        findings: of an audit, gravest first.
        steps: of an audit.
        facts: sentences beside the verdict.
        nearness: what the distances of `Listing.nearest` are of.
    """

    home: Path
    analysis: Path
    kind: str
    title: str
    verdict: Verdict
    made: Document
    listing: Listing | None = None
    maps: Maps | None = None
    preprocessing: Preprocessing | None = None
    candidates: Mapping[int, Document] = field(default_factory=dict)
    findings: Sequence[Document] = ()
    steps: Sequence[Document] = ()
    facts: Sequence[str] = ()
    nearness: str = "embedding of the maps"

    @property
    def spectra(self) -> bool:
        """Whether the maps are spectra (1, B), which have no position in an image."""
        return self.maps is not None and self.maps.shape[1] == 1

    @property
    def version(self) -> str:
        """Hexadecimal digits that are others for another run: pictures are asked for by them, and stay in caches."""
        changed = self.home.stat().st_mtime_ns  # also by a run that is written over this one
        identity = {"home": str(self.home.resolve()), "changed": changed, "title": self.title, "made": self.made}
        return digest_of_json(plain(identity))[:12]
