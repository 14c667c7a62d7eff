"""Deletion: what a score loses when the most relevant components are replaced by what a reference has there.

A map that says what a score depends on names components without which the score falls: further than without as many
random ones, and much further than without the least relevant. The fall is told as a fraction of

    score(x) - score(x0),

what the image has over its reference, for that is what replacing all components takes away. As a fraction of the score
itself nothing would ever fall far where most of it is common to all images, as in the similarity of embeddings that are
nowhere negative.

Components are removed in one order, so the first 5 % are among the first 10 %; so are random ones. Each order is then
one number, its mean fall over all fractions, and a map does better than random where the number of its own order lies
above what one more random order would reach with probability .05 (the prediction interval of a normal distribution).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.special import stdtrit
from torch import Tensor

from chinspect.errors import InputError
from chinspect.faithfulness.changed import Score, scores_of
from chinspect.relevance import Components, Partition, Reference, reference_images
from chinspect.report import Result
from chinspect.report.tables import records

TOLD = 0.1  # the fraction of components that the sentence is about, or the nearest
_LEVEL = 0.05  # of a random order that is said to do better than random ones


@dataclass(frozen=True, eq=False, repr=False)
class Deletion(Result):
    """Falls of a score without components of the image; see `deletion`.

    Attributes:
        score, baseline: of the image and of its reference.
        components: what they are, in words.
        fractions: of the components that are replaced (F,).
        counts: how many components that is (F,).
        most, least: the falls without the most and the least relevant components, in units of the score (F,).
        random: the falls without random ones, of several orders (F, K).
    """

    stem: ClassVar[str] = "deletion"
    score: float
    baseline: float
    components: str
    fractions: NDArray[np.float64]
    counts: NDArray[np.int64]
    most: NDArray[np.float64]
    least: NDArray[np.float64]
    random: NDArray[np.float64]

    @property
    def explained(self) -> float:
        """What the image has over its reference, ``score - baseline``."""
        return self.score - self.baseline

    @cached_property
    def better_than_random(self) -> bool:
        """Whether the map names components that the score depends on, at a level of .05; see the module."""
        orders = self.random.mean(0)
        count = len(orders)
        quantile = float(stdtrit(count - 1, 1 - _LEVEL))
        return bool(self.most.mean() > orders.mean() + quantile * orders.std(ddof=1) * np.sqrt(1 + 1 / count))

    @property
    def table(self) -> pd.DataFrame:
        """A row a fraction: the falls, as fractions of `explained`, and the spread of the random ones (one sigma)."""
        unit = abs(self.explained) or np.nan
        return pd.DataFrame(
            {
                "fraction": self.fractions,
                "components": self.counts,
                "most_relevant": self.most / unit,
                "random": self.random.mean(1) / unit,
                "random_spread": self.random.std(1, ddof=1) / unit,
                "least_relevant": self.least / unit,
            }
        )

    def tables(self) -> dict[str, pd.DataFrame]:
        """The table, as ``deletion``."""
        return {self.stem: self.table}

    def document(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return {
            "score": self.score,
            "baseline": self.baseline,
            "better_than_random": self.better_than_random,
            "sentence": self.sentence,
            "falls": records(self.table),
        }

    @property
    def sentence(self) -> str:
        """The result in words."""
        return self.told("the image", "the score")

    @property
    def _told_row(self) -> int:
        """The fraction that is told: the usual one, or where it says another thing than all together, the clearest."""
        row = int(np.abs(self.fractions - TOLD).argmin())
        ahead = self.most - self.random.mean(1)
        return int(ahead.argmax()) if self.better_than_random and ahead[row] <= 0 else row

    def told(self, image: str, score: str) -> str:
        """The result in words, with a name for the image and for the score."""
        row = self._told_row
        if not self.explained > 0:
            return (
                f"{score.capitalize()} of {image} ({self.score:.3g}) is not above that of its reference "
                f"({self.baseline:.3g}): there is nothing that its components could lose."
            )
        fraction = f"{self.fractions[row]:.0%}"
        most, random = (self.table[column][row] for column in ("most_relevant", "random"))
        text = (
            f"Without its {fraction} most relevant {self.components} {image} {change(most)} of {score}; "
            f"without random {fraction} {f'{abs(random):.0%}' if random * most > 0 else f'it {change(random)}'}."
        )
        if self.better_than_random:
            return text
        if self.most.mean() > self.random.mean():
            return f"{text} Random ones differ so much that the map may do no better than they do."
        return f"{text} The map does no better than random ones."


def deletion(
    score: Score,
    x: Tensor,
    relevance: Tensor,
    components: Components,
    reference: Reference | str = "blur",
    *,
    fractions: Sequence[float] = (0.05, 0.1, 0.2, 0.4),
    random_sets: int = 3,
    random_state: int = 0,
) -> Deletion:
    """What a score loses without the most relevant components of an image, without random and the least relevant ones.

    With the defaults the score is asked of 22 images; of several references, of as many for each.

    Args:
        score: from images (n, C, H, W) to numbers (n,): the similarity to another image, an output, an anomaly score.
        x: one image (1, C, H, W), preprocessed.
        relevance: of each component for this score (P,).
        components: those that the relevance is of; they partition the pixels.
        reference: what stands in the place of removed components; over several references falls are averaged.
        fractions: of the components that are removed, at least one component each.
        random_sets: random orders, at least 2.
        random_state: decides them.

    Raises:
        InputError: the relevance is not one finite number a component, the components overlap, a fraction does not lie
            in (0, 1), or the scores are not finite numbers (n,).
    """
    partition = components.on(x.shape)
    if not isinstance(partition, Partition):
        raise InputError(f"{components.name} overlap in the pixels: deletion needs patches, segments or channels.")
    count = partition.count
    if relevance.shape != (count,) or not bool(relevance.isfinite().all()):
        raise InputError(f"deletion needs finite relevance of {count} components, not {tuple(relevance.shape)}.")
    if not fractions or not all(0 < fraction < 1 for fraction in fractions):
        raise InputError(f"fractions of components lie in (0, 1), not {tuple(fractions)}.")
    if random_sets < 2:
        raise InputError(f"{random_sets} random orders have no spread: choose at least 2.")
    counts = np.maximum(np.round(np.array(fractions) * count), 1).astype(int)
    order = relevance.detach().cpu().double().numpy().argsort(kind="stable")
    generator = np.random.default_rng(random_state)
    orders = np.stack([order[::-1], order, *(generator.permutation(count) for _ in range(random_sets))])
    ranks = orders.argsort(1)  # a permutation's argsort is its inverse
    removed = (ranks[None] < counts[:, None, None]).reshape(-1, count)  # of each fraction, of each order
    sets = torch.from_numpy(np.concatenate([np.zeros((1, count), bool), np.ones((1, count), bool), removed]))
    scores = np.mean([scores_of(score, partition.mixed(x, x0, ~sets)) for x0 in reference_images(reference, x)], 0)
    falls = scores[0] - scores[2:].reshape(len(counts), -1)
    return Deletion(
        score=float(scores[0]),
        baseline=float(scores[1]),
        components=components.name.split()[0],
        fractions=np.array(fractions, dtype=float),
        counts=counts,
        most=falls[:, 0],
        least=falls[:, 1],
        random=falls[:, 2:],
    )


def change(fall: float, down: str = "loses", up: str = "gains") -> str:
    """A fall in words: ``loses 31%``."""
    return f"{down} {fall:.0%}" if fall >= 0 else f"{up} {-fall:.0%}"
