"""What makes a photograph hard: something in front of the object, and haze."""

import numpy as np

from chinspect.world.scene import Image
from chinspect.world.sketch import Colour, Cover, Part, Pose, ellipse, limb, paint, shade


def occlude(rng: np.random.Generator, image: Image, pose: Pose, colour: Colour) -> tuple[Image, Cover]:
    """Put a post or a bush before the object that was drawn at `pose`; also return its opacity."""
    place = Pose(pose.unit, rng.uniform(-0.1, 0.1), False, pose.x + pose.unit * rng.uniform(-0.9, 0.9), pose.y)
    return paint(image, _post(rng, colour) if rng.random() < 0.5 else _bush(rng, colour), place)


def weather(rng: np.random.Generator, image: Image) -> Image:
    """Haze over half of the scenes, up to 50 %."""
    haze = max(rng.uniform(-0.5, 0.5), 0.0)
    veil = rng.uniform(90, 220) + rng.uniform(-12, 12, 3)
    hazy: Image = (image * (1 - haze) + veil * haze).astype(np.uint8)
    return hazy


def _post(rng: np.random.Generator, colour: Colour) -> list[Part]:
    width = rng.uniform(0.08, 0.22)
    return [
        limb((0.0, -1.5), (0.0, 1.5), width, colour),
        limb((width / 3, -1.5), (width / 3, 1.5), 0.04, shade(colour, 0.7)),
    ]


def _bush(rng: np.random.Generator, colour: Colour) -> list[Part]:
    places = rng.uniform((-0.4, 0.15), (0.4, 0.6), (7, 2))
    return [
        ellipse(x, y, 0.17, 0.15, shade(colour, light), 10)
        for (x, y), light in zip(places, rng.uniform(0.6, 1.2, 7), strict=True)
    ]
