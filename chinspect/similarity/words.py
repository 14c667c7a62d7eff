"""A similarity explanation in plain words."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from chinspect.relevance import Method

Array = NDArray[np.floating[Any]]
Tendency = Literal["similar", "dissimilar", "neither similar nor dissimilar"]
"""What is explained: a positive number, a negative one, or one that is next to nothing of what cancels in it."""
_SIDE = {"similar": 1, "dissimilar": -1}
_VERTICAL = ("top", "middle", "bottom")
_HORIZONTAL = ("left", "centre", "right")
_TOLD = 0.05  # of the similarity: a smaller constant changes no reading of a picture
_STANDS_OUT = 5
# times what an even spread would give, of the strongest percent of pairs: of normal numbers, as sums of many random
# products are, those above 0 carry 3.6 times
_BORDER = 4  # times an even spread, which one patch of an image of one colour must hold to be told


def constant_in_words(similarity: float, constant: float, method: Method) -> str:
    """What of a similarity no patch holds; empty where that is next to nothing."""
    if similarity == 0 or abs(constant) < _TOLD * abs(similarity):
        return ""
    noun = "similarity" if similarity > 0 else "dissimilarity"
    if method.name == "lrp":
        if not 0 < constant / similarity <= 1:
            return (
                f"The patches hold {1 - constant / similarity:.3g} times this {noun}, and constants of the network "
                "take the difference back: these rules do not fit the network."
            )
        return (
            f"{constant / similarity:.0%} of this {noun} is what the network says of any image: its own constants "
            "hold it, no patch does."
        )
    explained = similarity - constant
    beyond = f"beyond their references ({method.reference_name})"
    if 0 < constant / similarity < 1:
        what = "have in common" if similarity > 0 else "differ by"
        return (
            f"{percent(explained / similarity)} of this {noun} is what the images {what} {beyond}, and is explained; "
            "the rest the network says of the references as well."
        )
    what = "have in common" if explained > 0 else "differ by"
    return (
        f"Explained is what the images {what} {beyond}: {explained:.4g}. The similarity itself is {similarity:.4g}, "
        "since it holds what the network says of the references, too."
    )


def describe(relevance: Array, names: tuple[str, str], tendency: Tendency) -> str:
    """How concentrated relevance (h, w, h', w') is, and where in both images it lies; a few sentences."""
    values = _towards(relevance.reshape(-1), tendency)
    if values.sum() == 0:
        return f"No pair of patches makes these images {tendency}."
    top = max(1, round(0.01 * values.size))
    even = top / values.size
    carried = np.sort(values)[-top:].sum() / values.sum()
    what = f"what makes the images {tendency}" if tendency in _SIDE else "all relevance, signs aside"
    lines = [
        f"The strongest {top:,} of {values.size:,} patch pairs carry {carried:.0%} of {what} (evenly spread it would "
        f"be {even:.1%})."
    ]
    if tendency not in _SIDE:
        lines.insert(0, "What the images have in common and what they differ by nearly cancel.")
    if carried < _STANDS_OUT * even:
        return " ".join([*lines, "Nothing stands out: it lies all over both images."])
    marginals = (relevance.sum((2, 3)), relevance.sum((0, 1)))
    lines += [_location(name, _towards(marginal, tendency)) for name, marginal in zip(names, marginals, strict=True)]
    doubt = "similarity" if tendency == "similar" else "dissimilarity" if tendency == "dissimilar" else "number"
    lines.append(
        f"This is what the {doubt} rests on, not yet a proof that it is wrong: change these patches and see whether "
        f"the {doubt} survives."
    )
    return " ".join(filter(None, lines))


def blank_in_words(names: list[str], reference: str) -> str:
    """That images are nothing beyond their references."""
    are = "is no more than its reference" if len(names) == 1 else "are no more than their references"
    return (
        f"To the network {' and '.join(names)} {are} ({reference}), as an image of one colour is: there is nothing to "
        "explain, and no patch stands out."
    )


def border_in_words(name: str, marginal: Array, one_colour: Array) -> str:
    """What the network's padding does at the border, of an image and of one of its mean colour: (h, w) each."""
    fractions = np.abs(one_colour) / (np.abs(one_colour).sum() or 1)
    row, column = np.unravel_index(int(fractions.argmax()), fractions.shape)
    if fractions[row, column] < _BORDER / fractions.size:
        return ""
    own = abs(marginal[row, column]) / (np.abs(marginal).sum() or 1)
    place = f"patch in row {row + 1}, column {column + 1} of {one_colour.shape[0]} x {one_colour.shape[1]}"
    return (
        f"An image of one colour in place of {name} would have {fractions[row, column]:.0%} of its relevance on one "
        f"patch, an effect of the network and no content ({place}); of {name} it has {own:.0%}."
    )


def percent(fraction: float) -> str:
    """With one digit that is not zero: ``0.2%``, never ``0%``."""
    return f"{fraction:.0%}" if abs(fraction) >= 0.01 or fraction == 0 else f"{100 * fraction:.1g}%"


def _towards(values: Array, tendency: Tendency) -> Array:
    """Relevance that speaks for a tendency, not below 0; where it is neither, all of it."""
    side = _SIDE.get(tendency)
    return np.abs(values.astype(float)) if side is None else np.clip(side * values.astype(float), 0, None)


def _location(name: str, values: Array) -> str:
    """In how many patches half of an image's relevance (h, w), not below 0, lies, and in which ninth most of it is."""
    total = values.sum()
    if total == 0:
        return ""
    order = np.argsort(-values.reshape(-1), kind="stable")
    running = np.cumsum(values.reshape(-1)[order])
    half = int(np.searchsorted(running, total / 2)) + 1
    rows, columns = np.divmod(order[:half], values.shape[1])
    ninths = np.zeros((3, 3))
    np.add.at(ninths, (rows * 3 // values.shape[0], columns * 3 // values.shape[1]), values[rows, columns])
    row, column = np.unravel_index(int(ninths.argmax()), ninths.shape)
    concentrated = ninths.max() / ninths.sum() > 0.5
    where = f", most of them at the {_VERTICAL[row]} {_HORIZONTAL[column]}" if concentrated else ""
    return f"In {name} half of it lies in {half} of {values.size} patches{where}."
