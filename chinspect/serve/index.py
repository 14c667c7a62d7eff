"""An index of similarity as a run: its images, those that are nearest, and where the similarity to all others lies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from chinspect.errors import InputError
from chinspect.execute import Store
from chinspect.images import Preprocessing
from chinspect.serve.listing import Listing
from chinspect.serve.run import Run
from chinspect.serve.words import Verdict
from chinspect.similarity import SimilarityIndex

_MEANING = "An index holds what each patch of each image contributes to its embedding; nothing was tested."
_MAPS = "A map shows where in an image its similarity to the mean of all images lies."


class _Marginals:
    """Maps (N, h, w), each made from the stored table of its image when it is asked for."""

    def __init__(self, index: SimilarityIndex) -> None:
        self._index = index
        self._mean = index.explained.mean(0)
        self.shape = (len(index), *index.grid)

    def __getitem__(self, i: int, /) -> NDArray[np.floating[Any]]:
        return (self._index.contributions(i) @ self._mean).reshape(self._index.grid)


def open_index(home: Path) -> Run:
    """Raises `InputError` for a folder that holds no complete index."""
    index = SimilarityIndex.open(home)
    made = Store.open(home).description
    try:
        preprocessing = Preprocessing(**{**made["preprocessing"], **_colours(made["preprocessing"])})
        folder = Path(made["folder"])
        title = f"{made['encoder']} on {folder.name}"
    except (KeyError, TypeError) as error:
        raise InputError(f"{str(home)!r} is an index of another version ({error}): build it again.") from error
    norms = np.linalg.norm(index.embeddings, axis=1, keepdims=True)
    listing = Listing(
        names=pa.array(index.names, pa.large_string()),
        paths=pa.array([str(folder / name) for name in index.names], pa.large_string()),
        vectors=index.embeddings / np.maximum(norms, np.finfo(np.float32).tiny),
    )
    left_out = index.unreadable()
    return Run(
        home=home,
        analysis=home,
        kind="index",
        title=title,
        verdict=Verdict("Index", "plain", _MEANING, f"{len(index)} images, {index.method.name} maps."),
        made={name: value for name, value in made.items() if name not in ("images", "contents")},
        listing=listing,
        maps=_Marginals(index),
        preprocessing=preprocessing,
        facts=[_MAPS, *([f"{len(left_out)} images could not be read and were left out."] if left_out else [])],
        nearness="embedding of the images, by the distance of unit vectors",
    )


def _colours(fields: dict[str, Any]) -> dict[str, Any]:
    """Means and standard deviations, which JSON holds as lists."""
    return {name: tuple(fields[name]) for name in ("mean", "std")}
