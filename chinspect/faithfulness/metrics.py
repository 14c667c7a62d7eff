"""The metrics that maps are judged by, by name, and what of an image and of a map they have in common.

A metric is a function of a map on an image, whether it needs more than both (a mask of the cause, or the function that
made the map), and which way is good. Those that are neither are no metrics of quality: they say how much a map marks,
and what the others may have rewarded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from chinspect.faithfulness.agreement import shapley_agreement
from chinspect.faithfulness.changed import Score, as_mask, enlarged, pixel_order
from chinspect.faithfulness.composed import adcc, arcc, coherency
from chinspect.faithfulness.curves import deletion_curve, insertion_curve
from chinspect.faithfulness.debiased import road
from chinspect.faithfulness.drops import drop, gain, increase, masked_score
from chinspect.faithfulness.extents import complexity, entropy
from chinspect.faithfulness.localisation import pointing_game, relevance_mass
from chinspect.faithfulness.removal import deletion
from chinspect.relevance import Components, Partition, Reference, patches, reference_images, shapley_map

Remap = Callable[[Tensor], ArrayLike | Tensor]
"""From an image (1, C, H, W) to its map by the same method (h, w)."""
_CELLS = 7  # rows and columns of the patches of `removal` and of the Shapley values: each is 2 % of an image
_RESAMPLES = 2  # of the agreement with Shapley values, whose interval over patches is not used here


@dataclass(frozen=True, eq=False)
class JudgedImage:
    """An image that maps are judged on.

    Attributes:
        score: that the maps explain, from images (n, C, H, W) to numbers (n,).
        x: the image (1, C, H, W), preprocessed.
        reference: what comes in the place of removed pixels.
        mask: where the cause of the score lies (H, W), booleans, if it is known.
        random_state: decides the noise of ROAD, random orders, and the sets of Shapley values.
    """

    score: Score
    x: Tensor
    reference: Reference | str
    mask: NDArray[np.bool_] | None
    random_state: int

    @cached_property
    def components(self) -> Components:
        """At most 7 x 7 patches."""
        return patches(-(-max(self.x.shape[2:]) // _CELLS))

    @cached_property
    def shapley_values(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Two independent estimates of the Shapley values of the patches (P,)."""
        first, second = (self._shapley(2 * self.random_state + half) for half in range(2))
        return first, second

    def _shapley(self, seed: int) -> NDArray[np.float64]:
        made = shapley_map(
            lambda images: self.score(images)[:, None], self.x, self.components, self.reference, random_state=seed
        )
        values: NDArray[np.float64] = made.values[:, 0].double().cpu().numpy()
        return values


@dataclass(frozen=True, eq=False)
class JudgedMap:
    """A map (h, w) of an image, and if it is known the function that gives the map of another one."""

    image: JudgedImage
    relevance: ArrayLike | Tensor
    remap: Remap | None = None

    @cached_property
    def pixels(self) -> Tensor:
        """The map at the pixels of the image (H, W)."""
        return enlarged(self.relevance, tuple(self.image.x.shape[2:]))

    @cached_property
    def patch_relevance(self) -> Tensor:
        """The sum over each patch (P,)."""
        partition = self.image.components.on(self.image.x.shape)
        assert isinstance(partition, Partition)
        return partition.sums(self.pixels[None])

    @cached_property
    def scores(self) -> tuple[float, float]:
        """Of the image, and of the image behind the mask of the map."""
        return masked_score(self.image.score, self.image.x, self.pixels)

    @cached_property
    def road(self) -> float:
        """Combined."""
        return road(self.image.score, self.image.x, self.pixels, random_state=self.image.random_state).combined

    @cached_property
    def coherency(self) -> float:
        """With the map of the image behind the mask."""
        assert self.remap is not None  # of metrics that need it
        x = self.image.x
        grey = reference_images("grey", x)[0]
        behind = self.remap(grey + as_mask(self.pixels).to(x) * (x - grey))
        return coherency(self.pixels, enlarged(behind, tuple(x.shape[2:])))

    def curve(self, name: Literal["insertion", "deletion"]) -> float:
        """The area under a curve."""
        function = insertion_curve if name == "insertion" else deletion_curve
        image = self.image
        return function(image.score, image.x, self.pixels, image.reference, random_state=image.random_state).area

    def removal(self) -> float:
        """How much further the score falls without the most relevant patches than without random ones, in the mean."""
        image = self.image
        order = pixel_order(self.patch_relevance, image.random_state)  # equal ones at random, not row by row
        made = deletion(
            image.score,
            image.x,
            -order.argsort(),
            image.components,
            image.reference,
            random_state=image.random_state,
        )
        return float(made.most.mean() - made.random.mean())

    def shapley(self) -> float:
        """The correlation of patches with their Shapley values, not corrected; 0 for a map of equal values."""
        relevance = self.patch_relevance.double().numpy()
        if not np.ptp(relevance) > 0:
            return 0.0
        return shapley_agreement(relevance, *self.image.shapley_values, n_resamples=_RESAMPLES).correlation


@dataclass(frozen=True)
class Metric:
    """A number that says how good a map is.

    Attributes:
        measure: of a map.
        better: which way is good; empty for what says how much a map marks.
        needs: what it needs beyond image and map: the mask of the cause, or the function that made the map.
        slow: whether it is left out unless it is asked for.
    """

    measure: Callable[[JudgedMap], float]
    better: Literal["higher", "lower", ""]
    needs: Literal["", "mask", "remap"] = ""
    slow: bool = False

    @property
    def sign(self) -> int:
        """1 where higher is better, -1 where lower is."""
        return {"higher": 1, "lower": -1, "": 0}[self.better]


def _mask(judged: JudgedMap) -> NDArray[np.bool_]:
    assert judged.image.mask is not None  # of metrics that need it
    return judged.image.mask


METRICS: Mapping[str, Metric] = {
    "insertion": Metric(lambda judged: judged.curve("insertion"), "higher"),
    "deletion": Metric(lambda judged: judged.curve("deletion"), "lower"),
    "removal": Metric(JudgedMap.removal, "higher"),
    "ROAD": Metric(lambda judged: judged.road, "higher"),
    "drop": Metric(lambda judged: float(drop(*judged.scores)[0]), "lower"),
    "absolute drop": Metric(lambda judged: float(drop(*judged.scores, "absolute")[0]), "lower"),
    "increase": Metric(lambda judged: float(increase(*judged.scores)[0]), "higher"),
    "gain": Metric(lambda judged: float(gain(*judged.scores)[0]), "higher"),
    "absolute gain": Metric(lambda judged: float(gain(*judged.scores, "absolute")[0]), "higher"),
    "ADCC": Metric(
        lambda judged: adcc(judged.coherency, complexity(judged.pixels), float(drop(*judged.scores)[0])),
        "higher",
        needs="remap",
    ),
    "ARCC": Metric(
        lambda judged: arcc(judged.coherency, complexity(judged.pixels), judged.road), "higher", needs="remap"
    ),
    "Shapley": Metric(JudgedMap.shapley, "higher", slow=True),
    "pointing game": Metric(lambda judged: pointing_game(judged.pixels, _mask(judged)), "higher", needs="mask"),
    "relevance mass": Metric(lambda judged: relevance_mass(judged.pixels, _mask(judged)), "higher", needs="mask"),
    "coherency": Metric(lambda judged: judged.coherency, "", needs="remap"),
    "complexity": Metric(lambda judged: complexity(judged.pixels), ""),
    "entropy": Metric(lambda judged: entropy(judged.pixels), ""),
}
