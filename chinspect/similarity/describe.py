"""A similarity explanation in plain words."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from chinspect.similarity.explanation import Array, SimilarityExplanation

_DOWN, _ACROSS = ("top", "middle", "bottom"), ("left", "centre", "right")


def describe(explanation: SimilarityExplanation) -> str:
    """How concentrated the similarity is, and where in both images it lies; a few sentences."""
    positive = np.clip(explanation.relevance.reshape(-1).astype(float), 0, None)
    if positive.sum() == 0:
        return "No pair of patches makes these images similar."
    top = max(1, round(0.01 * positive.size))
    share = np.sort(positive)[-top:].sum() / positive.sum()
    places = [
        _place(Path(image.name).name, marginal)
        for image, marginal in zip((explanation.a, explanation.b), explanation.marginals(), strict=True)
    ]
    return (
        f"The strongest {top:,} of {positive.size:,} patch pairs carry {share:.0%} of what makes the images similar "
        f"(evenly spread it would be {top / positive.size:.1%}). {' '.join(places)} "
        "This is what the similarity rests on, not yet a proof that it is wrong: change these patches and see whether "
        "the similarity survives."
    )


def _place(name: str, marginal: Array) -> str:
    """In how many patches half of an image's positive relevance lies, and in which ninth of the image most of it is."""
    positive = np.clip(marginal.astype(float), 0, None)
    order = np.argsort(-positive.reshape(-1), kind="stable")
    running = np.cumsum(positive.reshape(-1)[order])
    half = int(np.searchsorted(running, running[-1] / 2)) + 1
    rows, columns = np.divmod(order[:half], marginal.shape[1])
    ninths = np.zeros((3, 3))
    np.add.at(ninths, (rows * 3 // marginal.shape[0], columns * 3 // marginal.shape[1]), positive[rows, columns])
    down, across = np.unravel_index(int(ninths.argmax()), ninths.shape)
    most = ninths.max() / ninths.sum()
    where = f", most of them at the {_DOWN[down]} {_ACROSS[across]}" if most > 0.5 else ""
    return f"In {name} half of it lies in {half} of {marginal.size} patches{where}."
