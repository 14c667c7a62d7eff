"""A text logo, really rendered, with a prevalence that depends on the class."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType

import numpy as np

from chinspect.errors import InputError
from chinspect.images import MARGIN, rendered_text
from chinspect.world.prevalence import check_prevalence
from chinspect.world.scene import Image, Mask
from chinspect.world.sketch import blend

INKS = ((255, 255, 255), (255, 236, 120), (190, 240, 255))
PLACES = ("bottom-left", "random")


@dataclass(frozen=True)
class Logo:
    """Which scenes carry a text, which text, and where.

    `classes` gives the probability for some classes, `elsewhere` that for all others; all in [0, 1]. The text is one
    of `words`, each as likely. `place` is "bottom-left" (Kauffmann et al. 2025) or "random". `width` is the width of
    the text as a share of the image's side, in (0, 0.9].
    """

    words: tuple[str, ...] = ("WASTECO",)
    classes: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({"garbage truck": 0.5}))
    elsewhere: float = 0.05
    place: str = "bottom-left"
    width: float = 0.45

    def __post_init__(self) -> None:
        check_prevalence(self.classes, self.elsewhere)
        if not self.words or not all(word.strip() for word in self.words):
            raise InputError(f"A logo needs at least one word and no blank ones, not {self.words!r}.")
        if self.place not in PLACES:
            raise InputError(f"The place of a logo must be one of {', '.join(PLACES)}, not {self.place!r}.")
        if not 0 < self.width <= 0.9:
            raise InputError(f"The width of a logo must lie in (0, 0.9], not {self.width}.")


def paint_logo(rng: np.random.Generator, image: Image, logo: Logo, word: str) -> tuple[Image, Mask]:
    """Write the word over a square image; also return the bounding box of the text as a mask."""
    size = image.shape[0]
    ink = INKS[rng.integers(len(INKS))]
    layer, cover = _text(word, round(logo.width * size), ink)
    height, width = cover.shape
    margin = round(MARGIN * size)
    left, top = margin, size - margin - height
    if logo.place == "random":
        left, top = (int(rng.integers(margin, max(size - margin - side, margin) + 1)) for side in (width, height))
    region = slice(top, top + height), slice(left, left + width)
    result, mask = image.copy(), np.zeros(image.shape[:2], dtype=bool)
    result[region] = blend(image[region], layer, cover)
    mask[region] = True
    return result, mask


@lru_cache(maxsize=256)
def _text(word: str, width: int, ink: tuple[int, int, int]) -> tuple[Image, Image]:
    letters, outline = rendered_text(word, width)
    lit = letters[..., None] * (np.array(ink) / 255) + (outline.astype(float) - letters)[..., None].clip(0) * 0.06
    return lit.round().astype(np.uint8), np.maximum(letters, outline)
