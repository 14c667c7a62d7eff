"""A similarity explanation in plain words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chinspect.relevance import Method

Array = NDArray[np.floating[Any]]
_VERTICAL = ("top", "middle", "bottom")
_HORIZONTAL = ("left", "centre", "right")


_TOLD = 0.05  # of the similarity: a smaller constant changes no reading of a picture


def constant_in_words(similarity: float, constant: float, method: Method) -> str:
    """What of a similarity no patch holds; empty where that is next to nothing."""
    if similarity == 0 or abs(constant) < _TOLD * abs(similarity):
        return ""
    if method.name == "lrp":
        if not 0 < constant / similarity <= 1:
            return (
                f"The patches hold {1 - constant / similarity:.3g} times this similarity, and constants of the network "
                "take the difference back: these rules do not fit the network."
            )
        return (
            f"{constant / similarity:.0%} of this similarity is what the network says of any image: its own constants "
            "hold it, no patch does."
        )
    explained = similarity - constant
    beyond = f"have in common beyond their references ({method.reference_name})"
    if 0 < constant / similarity < 1:
        return (
            f"{explained / similarity:.0%} of this similarity is what the images {beyond}, and is explained; the rest "
            "the network says of the references as well."
        )
    return (
        f"Explained is what the images {beyond}: {explained:.4g}. The similarity itself is {similarity:.4g}, since it "
        "holds what the network says of the references, too."
    )


def describe(relevance: Array, name_a: str, name_b: str) -> str:
    """How concentrated relevance (h, w, h', w') is, and where in both images it lies; a few sentences."""
    positive = np.clip(relevance.reshape(-1).astype(float), 0, None)
    if positive.sum() == 0:
        return "No pair of patches makes these images similar."
    top = max(1, round(0.01 * positive.size))
    strongest = np.sort(positive)[-top:].sum() / positive.sum()
    return (
        f"The strongest {top:,} of {positive.size:,} patch pairs carry {strongest:.0%} of what makes the images "
        f"similar (evenly spread it would be {top / positive.size:.1%}). {_location(name_a, relevance.sum((2, 3)))} "
        f"{_location(name_b, relevance.sum((0, 1)))} "
        "This is what the similarity rests on, not yet a proof that it is wrong: change these patches and see whether "
        "the similarity survives."
    )


def _location(name: str, marginal: Array) -> str:
    """In how many patches half of an image's positive relevance lies, and in which ninth of the image most of it is."""
    positive = np.clip(marginal.astype(float), 0, None)
    order = np.argsort(-positive.reshape(-1), kind="stable")
    running = np.cumsum(positive.reshape(-1)[order])
    half = int(np.searchsorted(running, running[-1] / 2)) + 1
    rows, columns = np.divmod(order[:half], marginal.shape[1])
    ninths = np.zeros((3, 3))
    np.add.at(ninths, (rows * 3 // marginal.shape[0], columns * 3 // marginal.shape[1]), positive[rows, columns])
    row, column = np.unravel_index(int(ninths.argmax()), ninths.shape)
    concentrated = ninths.max() / ninths.sum() > 0.5
    where = f", most of them at the {_VERTICAL[row]} {_HORIZONTAL[column]}" if concentrated else ""
    return f"In {Path(name).name} half of it lies in {half} of {marginal.size} patches{where}."
