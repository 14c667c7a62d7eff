"""A standing person that can be drawn into a scene, with a prevalence that depends on the class."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from chinspect.world.animals import FISH
from chinspect.world.prevalence import check_prevalence
from chinspect.world.sketch import Colour, Part, Pose, box, ellipse, limb, polygon, shade

SKIN = ((244, 208, 178), (224, 172, 132), (172, 118, 80), (110, 72, 48))
HAIR = ((30, 24, 20), (92, 58, 30), (200, 160, 90), (130, 130, 130))
PATTERNS = ((245, 245, 240), (20, 20, 28))


@dataclass(frozen=True)
class Person:
    """How often a person stands in the scene, behind the object.

    `classes` gives the probability for some classes, `elsewhere` that for all others; all in [0, 1]. By default half
    of the fish and one in twenty of the other scenes show a person, as anglers do on photographs of fish.
    """

    classes: Mapping[str, float] = field(default_factory=lambda: MappingProxyType(dict.fromkeys(FISH, 0.5)))
    elsewhere: float = 0.05

    def __post_init__(self) -> None:
        check_prevalence(self.classes, self.elsewhere)


def person_pose(rng: np.random.Generator, size: int, x: float) -> Pose:
    """Beside the object, whose centre lies at x: 0.7 to 1.1 of the image high, feet near the lower edge or below."""
    unit = rng.uniform(0.7, 1.1) * size
    away = rng.uniform(0.12, 0.3) * size * rng.choice((-1, 1))
    x = float(np.clip(x + away, 0.15 * size, 0.85 * size))
    feet = max(rng.uniform(0.95, 1.1) * size, unit + 0.03 * size)
    return Pose(unit, rng.uniform(-0.06, 0.06), bool(rng.random() < 0.5), x, feet - unit)


def standing_person(rng: np.random.Generator, shirt: Colour, trousers: Colour) -> list[Part]:
    """A figure of height 1, its crown at y = 0, its feet at y = 1."""
    skin, hair = SKIN[rng.integers(len(SKIN))], HAIR[rng.integers(len(HAIR))]
    stride, swing = rng.uniform(0.02, 0.12), rng.uniform(0.1, 0.3)
    hands = [(-0.16 - swing / 3, 0.5 - swing / 2), (0.2, 0.5 - swing)]
    elbows = [(-0.2, 0.36), (0.19, 0.37)]
    arms = [limb((side, 0.24), elbow, 0.075, shirt) for side, elbow in zip((-0.11, 0.11), elbows, strict=True)]
    arms += [limb(elbow, hand, 0.06, skin) for elbow, hand in zip(elbows, hands, strict=True)]
    arms += [ellipse(x, y, 0.038, 0.038, skin, 8) for x, y in hands]
    return [
        limb((-0.05, 0.52), (-0.05 - stride, 0.94), 0.1, trousers),
        limb((0.05, 0.52), (0.05 + stride, 0.94), 0.1, shade(trousers, 0.85)),
        ellipse(-0.03 - stride, 0.965, 0.075, 0.035, (40, 34, 30), 10),
        ellipse(0.07 + stride, 0.965, 0.075, 0.035, (40, 34, 30), 10),
        polygon([(-0.15, 0.21), (0.15, 0.21), (0.11, 0.56), (-0.11, 0.56)], shirt),
        *_pattern(rng),
        box(-0.035, 0.15, 0.035, 0.23, shade(skin, 0.9)),
        ellipse(0.0, 0.075, 0.088, 0.08, hair),
        ellipse(0.01, 0.1, 0.072, 0.085, skin),
        ellipse(-0.02, 0.09, 0.011, 0.013, (20, 20, 20), 6),
        ellipse(0.04, 0.09, 0.011, 0.013, (20, 20, 20), 6),
        limb((-0.015, 0.14), (0.035, 0.14), 0.012, (150, 60, 60)),
        *arms,
    ]


def _pattern(rng: np.random.Generator) -> list[Part]:
    """Stripes or checks in black or white on the shirt, rings on the trousers: clothes differ between people."""
    colour = PATTERNS[rng.integers(len(PATTERNS))]
    rows, columns = int(rng.integers(1, 6)), int(rng.integers(1, 5))
    height, width = 0.3 / (2 * rows), 0.22 / (2 * columns)
    shirt = [
        box(x, y, x + width, y + height, colour)
        for x in (-0.11 + 2 * width * np.arange(columns))
        for y in (0.24 + 2 * height * np.arange(rows))
    ]
    rings = [
        box(side - 0.05, y, side + 0.05, y + 0.025, colour)
        for side in (-0.075, 0.075)
        for y in np.linspace(0.6, 0.8, int(rng.integers(0, 5)))
    ]
    return shirt + rings
