"""Photograph-like scenes: a vehicle or an animal on a textured background, on demand with a logo and a person."""

import colorsys
from collections.abc import Iterable, Iterator, Sequence
from typing import TypedDict, Unpack

import numpy as np

from chinspect.errors import InputError
from chinspect.world.animals import ANIMALS
from chinspect.world.backgrounds import background
from chinspect.world.disturbances import occlude, weather
from chinspect.world.logos import Logo, paint_logo
from chinspect.world.people import Person, person_pose, standing_person
from chinspect.world.prevalence import occurs
from chinspect.world.scene import Scene
from chinspect.world.sketch import Colour, Pose, paint
from chinspect.world.vehicles import VEHICLES

FIGURES = VEHICLES | ANIMALS
CLASSES = tuple(FIGURES)
SIZES = 32, 2048
OCCLUDED = 0.3


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
    for names in (classes, logo.classes if logo else (), person.classes if person else ()):
        _check_known(names)
    if not classes or len(set(classes)) < len(classes):
        raise InputError(f"The classes must be at least one name, each given once, not {list(classes)}.")
    return (_nth(i, seed, size, classes, logo, person) for i in range(n))


def _nth(i: int, seed: int, size: int, classes: Sequence[str], logo: Logo | None, person: Person | None) -> Scene:
    block = np.random.default_rng([seed, i // len(classes)]).permutation(len(classes))
    class_name = classes[block[i % len(classes)]]
    rngs = [np.random.default_rng([seed, i, stream]) for stream in range(3)]
    return _draw(rngs, class_name, classes.index(class_name), size, logo, person)


def _draw(
    rngs: list[np.random.Generator], class_name: str, label: int, size: int, logo: Logo | None, who: Person | None
) -> Scene:
    """Each artefact has a random stream of its own, so that leaving it out changes nothing else."""
    rng, person_rng, logo_rng = rngs
    image, place = background(rng, size)
    pose = _pose(rng, class_name, size)
    figure = FIGURES[class_name](rng, _colour(rng), _colour(rng))
    nothing = np.zeros((size, size), dtype=bool)
    person_mask, logo_mask, text = nothing, nothing, ""
    if who is not None and occurs(person_rng, who.classes, who.elsewhere, class_name):
        body = standing_person(person_rng, _colour(person_rng), _colour(person_rng))
        image, person_cover = paint(image, body, person_pose(person_rng, size, pose.x))
        person_mask = person_cover > 0
    image, cover = paint(image, figure, pose)
    mask, person_mask = cover > 0, person_mask & (cover < 255)
    if rng.random() < OCCLUDED:
        image, front = occlude(rng, image, pose, _colour(rng))
        mask, person_mask = mask & (front < 255), person_mask & (front < 255)
    image = weather(rng, image)
    if logo is not None and occurs(logo_rng, logo.classes, logo.elsewhere, class_name):
        text = logo.words[logo_rng.integers(len(logo.words))]
        image, logo_mask = paint_logo(logo_rng, image, logo, text)
    caption = _caption(class_name, text)
    return Scene(image, label, class_name, caption, place, mask, logo_mask, person_mask, nothing, nothing, text)


def _pose(rng: np.random.Generator, class_name: str, size: int) -> Pose:
    """Vehicles stand on the ground, animals float anywhere."""
    unit = size * rng.uniform(0.22, 0.42)
    tilt = 0.12 if class_name in VEHICLES else 0.5
    top, bottom = (0.45, 0.68) if class_name in VEHICLES else (0.35, 0.65)
    x, y = size * rng.uniform(0.34, 0.66), size * rng.uniform(top, bottom)
    return Pose(unit, rng.uniform(-tilt, tilt), bool(rng.random() < 0.5), x, y)


def _colour(rng: np.random.Generator) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.15, 0.9), rng.uniform(0.45, 0.95))
    return round(255 * red), round(255 * green), round(255 * blue)


def _caption(class_name: str, text: str) -> str:
    article = "an" if class_name[0] in "aeiou" else "a"
    return f"a photo of {article} {class_name}" + (f" with the text {text}" if text else "")


def check_request(n: int, seed: int, size: int) -> None:
    """Raise InputError for a number of images, a seed or a size that cannot be drawn."""
    if n < 0 or seed < 0:
        raise InputError(f"The number of scenes and the seed must not be negative, not {n} and {seed}.")
    if not SIZES[0] <= size <= SIZES[1]:
        raise InputError(f"The size of a scene must lie between {SIZES[0]} and {SIZES[1]} pixels, not {size}.")


def _check_known(names: Iterable[str]) -> None:
    if unknown := [name for name in names if name not in FIGURES]:
        raise InputError(f"There is no class {unknown[0]!r}; choose from {', '.join(FIGURES)}.")
