"""What some scenes show beside their object, with a prevalence that depends on the class: a logo, or a person."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.random import Generator

from chinspect.errors import InputError
from chinspect.images import MARGIN, rendered_text
from chinspect.world.animals import FISH
from chinspect.world.scene import Image, Mask, check_range
from chinspect.world.sketch import Colour, Drawing, Pose, blend, box, ellipse, limb, shade, trapezoid

INKS = ((255, 255, 255), (255, 236, 120), (190, 240, 255))
PLACES = ("bottom-left", "random")
SKIN = ((244, 208, 178), (224, 172, 132), (172, 118, 80), (110, 72, 48))
HAIR = ((30, 24, 20), (92, 58, 30), (200, 160, 90), (130, 130, 130))
PATTERNS = ((245, 245, 240), (20, 20, 28))
SHOES = (40, 34, 30)


@dataclass(frozen=True)
class Prevalence:
    """How often something occurs in scenes of a class.

    `classes` gives the probability for some classes, `elsewhere` that for all others. Raises InputError for one outside
    0..1.
    """

    classes: Mapping[str, float]
    elsewhere: float = 0.05

    def __post_init__(self) -> None:
        for name, value in {**self.classes, "elsewhere": self.elsewhere}.items():
            check_range(f"prevalence for {name!r}", value)

    def occurs(self, rng: Generator, class_name: str) -> bool:
        """Draw whether it occurs in one scene of this class."""
        return rng.random() < self.classes.get(class_name, self.elsewhere)


@dataclass(frozen=True, kw_only=True)
class Logo(Prevalence):
    """Which scenes carry a text, which text, and where.

    The text is one of `words`, each as likely. `place` is "bottom-left" (Kauffmann et al. 2025) or "random". `width` is
    the width of the text as a fraction of the image's side, in (0, 0.9].
    """

    classes: Mapping[str, float] = field(default_factory=lambda: {"garbage truck": 0.5})
    words: tuple[str, ...] = ("WASTECO",)
    place: str = "bottom-left"
    width: float = 0.45

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.words or not all(word.strip() for word in self.words):
            raise InputError(f"A logo needs at least one word and no blank ones, not {self.words!r}.")
        if self.place not in PLACES:
            raise InputError(f"The place of a logo must be one of {', '.join(PLACES)}, not {self.place!r}.")
        if not 0 < self.width <= 0.9:
            raise InputError(f"The width of a logo must lie in (0, 0.9], not {self.width}.")


@dataclass(frozen=True)
class Person(Prevalence):
    """How often a person stands in the scene, behind the object.

    By default half of the fish and one in twenty of the other scenes show a person, as anglers do on photographs of
    fish.
    """

    classes: Mapping[str, float] = field(default_factory=lambda: dict.fromkeys(FISH, 0.5))


def paint_logo(rng: Generator, image: Image, logo: Logo, word: str) -> tuple[Image, Mask]:
    """Write the word over a square image; also return the bounding box of the text as a mask."""
    size = len(image)
    ink = INKS[rng.integers(len(INKS))]
    layer, cover = _inked(word, round(logo.width * size), ink)
    height, width = cover.shape
    margin = round(MARGIN * size)
    left = margin
    top = size - margin - height
    if logo.place == "random":
        # a text that is wider or higher than the image less its margins starts at the margin
        left, top = (int(rng.integers(margin, max(size - margin - side, margin) + 1)) for side in (width, height))
    region = slice(top, top + height), slice(left, left + width)
    result = image.copy()
    result[region] = blend(image[region], layer, cover)
    mask = np.zeros(image.shape[:2], dtype=bool)
    mask[region] = True
    return result, mask


@lru_cache(maxsize=256)
def _inked(word: str, width: int, ink: Colour) -> tuple[Image, Image]:
    """A coloured text with a dark outline, (h, w, 3), and its opacity, (h, w)."""
    letters, outline = rendered_text(word, width)
    # the outline is nearly black: 6 % of white
    lit = letters[..., None] * (np.array(ink) / 255) + (outline.astype(float) - letters)[..., None].clip(0) * 0.06
    return lit.round().astype(np.uint8), np.maximum(letters, outline)


def person_pose(rng: Generator, size: int, x: float) -> Pose:
    """Beside the object, whose centre lies at x: 0.7 to 1.1 of the image high, feet near the lower edge or below."""
    unit = rng.uniform(0.7, 1.1) * size
    away = rng.uniform(0.12, 0.3) * size * rng.choice((-1, 1))
    feet = max(rng.uniform(0.95, 1.1) * size, unit + 0.03 * size)
    angle = rng.uniform(-0.06, 0.06)
    mirrored = rng.random() < 0.5
    return Pose(unit, angle, mirrored, float(np.clip(x + away, 0.15 * size, 0.85 * size)), feet - unit)


def standing_person(rng: Generator, shirt: Colour, trousers: Colour) -> Drawing:
    """A figure of height 1, its crown at y = 0, its feet at y = 1."""
    skin = SKIN[rng.integers(len(SKIN))]
    hair = HAIR[rng.integers(len(HAIR))]
    stride = rng.uniform(0.02, 0.12)
    swing = rng.uniform(0.1, 0.3)
    arms = (
        ((-0.11, 0.24), (-0.2, 0.36), (-0.16 - swing / 3, 0.5 - swing / 2)),
        ((0.11, 0.24), (0.19, 0.37), (0.2, 0.5 - swing)),
    )
    return [
        limb(trousers, (-0.05, 0.52), (-0.05 - stride, 0.94), 0.1),
        limb(shade(trousers, 0.85), (0.05, 0.52), (0.05 + stride, 0.94), 0.1),
        *[ellipse(SHOES, x, 0.965, 0.075, 0.035, 10) for x in (-0.03 - stride, 0.07 + stride)],
        trapezoid(shirt, 0.56, 0.21, -0.11, -0.15, 0.15, 0.11),
        *_pattern(rng),
        box(shade(skin, 0.9), -0.035, 0.15, 0.035, 0.23),
        ellipse(hair, 0.0, 0.075, 0.088, 0.08),
        ellipse(skin, 0.01, 0.1, 0.072, 0.085),
        *[ellipse((20, 20, 20), x, 0.09, 0.011, 0.013, 6) for x in (-0.02, 0.04)],
        limb((150, 60, 60), (-0.015, 0.14), (0.035, 0.14), 0.012),
        *[limb(shirt, shoulder, elbow, 0.075) for shoulder, elbow, _ in arms],
        *[limb(skin, elbow, hand, 0.06) for _, elbow, hand in arms],
        *[ellipse(skin, *hand, 0.038, 0.038, 8) for *_, hand in arms],
    ]


def _pattern(rng: Generator) -> Drawing:
    """Stripes or checks in black or white on the shirt, rings on the trousers: clothes differ between people."""
    colour = PATTERNS[rng.integers(len(PATTERNS))]
    rows = int(rng.integers(1, 6))
    columns = int(rng.integers(1, 5))
    height = 0.3 / (2 * rows)
    width = 0.22 / (2 * columns)
    shirt = [
        box(colour, x, y, x + width, y + height)
        for x in (-0.11 + 2 * width * np.arange(columns))
        for y in (0.24 + 2 * height * np.arange(rows))
    ]
    rings = [
        box(colour, side - 0.05, y, side + 0.05, y + 0.025)
        for side in (-0.075, 0.075)
        for y in np.linspace(0.6, 0.8, int(rng.integers(0, 5)))
    ]
    return shirt + rings
