"""Photograph-like scenes: a vehicle or an animal on a textured background, on demand with a logo and a person."""

import colorsys
from collections.abc import Iterator, Sequence
from typing import TypedDict, Unpack

import numpy as np
from numpy.random import Generator, default_rng

from chinspect.errors import InputError
from chinspect.world.animals import ANIMALS
from chinspect.world.backgrounds import background
from chinspect.world.extras import Logo, Person, paint_logo, person_pose, standing_person
from chinspect.world.scene import Image, Scene, check_request
from chinspect.world.sketch import Colour, Drawing, Pose, ellipse, limb, paint, shade
from chinspect.world.vehicles import VEHICLES

FIGURES = VEHICLES | ANIMALS
CLASSES = tuple(FIGURES)
OCCLUDED = 0.3
"""Fraction of the scenes with something in front of the object."""


class SceneOptions(TypedDict, total=False):
    """What `iterate_scenes` can be asked for beside a number and a seed."""

    size: int
    classes: Sequence[str]
    logo: Logo | None
    person: Person | None


def scenes(n: int, *, seed: int, **options: Unpack[SceneOptions]) -> list[Scene]:
    """All of `iterate_scenes` at once."""
    return list(iterate_scenes(n, seed=seed, **options))


def iterate_scenes(
    n: int,
    *,
    seed: int,
    size: int = 128,
    classes: Sequence[str] = CLASSES,
    logo: Logo | None = None,
    person: Person | None = None,
) -> Iterator[Scene]:
    """Generate `n` scenes of `size` x `size` pixels in which all classes are as frequent, give or take one.

    Scene i depends on the seed and on i only: without its logo or its person it keeps every other pixel, and asking
    for more scenes leaves the first ones as they are. `label` indexes `classes`.

    Three in ten scenes show something in front of the object, half of them are hazy.

    Raises InputError for an unknown class, a negative count or seed, or a size outside 32..2048.
    """
    check_request(n, seed, size)
    for name in (*classes, *(logo.classes if logo else ()), *(person.classes if person else ())):
        if name not in FIGURES:
            raise InputError(f"There is no class {name!r}; choose from {', '.join(FIGURES)}.")
    if not classes or len(set(classes)) < len(classes):
        raise InputError(f"The classes must be at least one name, each given once, not {list(classes)}.")
    return (_draw(i, seed, size, classes, logo, person) for i in range(n))


def _draw(i: int, seed: int, size: int, classes: Sequence[str], logo: Logo | None, person: Person | None) -> Scene:
    """Each artefact has a random stream of its own, so that leaving it out changes nothing else."""
    block, position = divmod(i, len(classes))
    label = int(default_rng([seed, block]).permutation(len(classes))[position])
    class_name = classes[label]
    rng, person_rng, logo_rng = (default_rng([seed, i, stream]) for stream in range(3))
    image, source = background(rng, size)
    pose = _pose(rng, class_name, size)
    figure = FIGURES[class_name](rng, _colour(rng), _colour(rng))
    nothing = np.zeros((size, size), dtype=bool)
    person_mask = logo_mask = nothing
    caption = f"a photo of {'an' if class_name[0] in 'aeiou' else 'a'} {class_name}"
    text = ""
    if person is not None and person.occurs(person_rng, class_name):
        body = standing_person(person_rng, _colour(person_rng), _colour(person_rng))
        image, person_cover = paint(image, body, person_pose(person_rng, size, pose.x))
        person_mask = person_cover > 0
    image, cover = paint(image, figure, pose)
    mask = cover > 0
    person_mask = person_mask & (cover < 255)
    if rng.random() < OCCLUDED:
        image, front = _occlude(rng, image, pose, _colour(rng))
        mask = mask & (front < 255)
        person_mask = person_mask & (front < 255)
    image = _haze(rng, image)
    if logo is not None and logo.occurs(logo_rng, class_name):
        text = logo.words[logo_rng.integers(len(logo.words))]
        image, logo_mask = paint_logo(logo_rng, image, logo, text)
        caption += f" with the text {text}"
    return Scene(image, label, class_name, caption, source, mask, logo_mask, person_mask, nothing, nothing, text)


def _pose(rng: Generator, class_name: str, size: int) -> Pose:
    """Vehicles stand on the ground, animals float anywhere."""
    tilt, top, bottom = (0.12, 0.45, 0.68) if class_name in VEHICLES else (0.5, 0.35, 0.65)
    unit = size * rng.uniform(0.22, 0.42)
    x = size * rng.uniform(0.34, 0.66)
    y = size * rng.uniform(top, bottom)
    return Pose(unit, rng.uniform(-tilt, tilt), rng.random() < 0.5, x, y)


def _colour(rng: Generator) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.15, 0.9), rng.uniform(0.45, 0.95))
    return round(255 * red), round(255 * green), round(255 * blue)


def _occlude(rng: Generator, image: Image, pose: Pose, colour: Colour) -> tuple[Image, Image]:
    """Put a post or a bush before the object that was drawn at `pose`; also return its opacity."""
    angle = rng.uniform(-0.1, 0.1)
    x = pose.x + pose.unit * rng.uniform(-0.9, 0.9)
    figure = _post(rng, colour) if rng.random() < 0.5 else _bush(rng, colour)
    return paint(image, figure, Pose(pose.unit, angle, False, x, pose.y))


def _post(rng: Generator, colour: Colour) -> Drawing:
    width = rng.uniform(0.08, 0.22)
    return [
        limb(colour, (0.0, -1.5), (0.0, 1.5), width),
        limb(shade(colour, 0.7), (width / 3, -1.5), (width / 3, 1.5), 0.04),
    ]


def _bush(rng: Generator, colour: Colour) -> Drawing:
    centres = rng.uniform((-0.4, 0.15), (0.4, 0.6), (7, 2))
    lights = rng.uniform(0.6, 1.2, 7)
    return [ellipse(shade(colour, light), x, y, 0.17, 0.15, 10) for (x, y), light in zip(centres, lights, strict=True)]


def _haze(rng: Generator, image: Image) -> Image:
    """Haze over half of the scenes, up to 50 %."""
    haze = max(rng.uniform(-0.5, 0.5), 0.0)
    veil = rng.uniform(90, 220) + rng.uniform(-12, 12, 3)
    return (image * (1 - haze) + veil * haze).astype(np.uint8)
