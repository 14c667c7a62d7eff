"""An X-ray-like study: chests from two hospitals that differ in everything but the disease.

Hospital "north" burns "PORTABLE" into the upper left corner and leaves black borders; hospital "south" writes an
"R" into the upper right corner and its pictures are paler. If one hospital sends most of the sick, a model can tell
the sick by the hospital: the situation of the COVID-19 data in Kauffmann et al. 2025.
"""

import numpy as np
from numpy.random import Generator, default_rng
from numpy.typing import NDArray
from PIL import Image as Pillow

from chinspect.images import MARGIN, rendered_text
from chinspect.world.scene import Mask, Scene, check_range, check_request

HOSPITALS = ("north", "south")
CONDITIONS = ("healthy", "pneumonia")
Grey = NDArray[np.float32]


def xray(n: int, *, seed: int, size: int = 128, prevalence: float = 0.5, agreement: float = 0.9) -> list[Scene]:
    """Generate `n` greyscale chests of `size` x `size` pixels, stored with three equal channels.

    `prevalence` is the probability of pneumonia (label 1). `agreement` is the probability that a sick chest comes from
    hospital north and a healthy one from hospital south: 0.5 means that the hospital tells nothing. `source` names the
    hospital. Masks: `object` the lungs, `annotation` what the hospital burnt in (text and borders), `pathology`
    the opacity. Image i depends on the seed and i only.

    Raises InputError for probabilities outside 0..1, a negative count or seed, or a size outside 32..2048.
    """
    check_request(n, seed, size)
    check_range("prevalence", prevalence)
    check_range("agreement", agreement)
    return [_chest(i, seed, size, prevalence, agreement) for i in range(n)]


def _chest(i: int, seed: int, size: int, prevalence: float, agreement: float) -> Scene:
    rng, body, disease = (default_rng([seed, i, stream]) for stream in range(3))
    sick = int(rng.random() < prevalence)
    north = sick == (rng.random() < agreement)
    picture, air = _anatomy(body, size)
    opacity = _opacity(disease, air) if sick else np.zeros_like(picture)
    picture, annotation, text = _burn_in((picture + 55 * opacity).clip(0, 255), north)
    image = np.repeat(picture.round().astype(np.uint8)[..., None], 3, axis=2)
    nothing = np.zeros_like(annotation)
    condition = CONDITIONS[sick]
    caption = f"a chest X-ray, {condition}, with the text {text}"
    pathology = opacity > 0.1  # of the cloud, which fades without an end
    lungs = air > 0.5
    source = HOSPITALS[not north]
    return Scene(image, sick, condition, caption, source, lungs, nothing, nothing, annotation, pathology, text)


def _anatomy(rng: Generator, size: int) -> tuple[Grey, Grey]:
    """Trunk, lungs, ribs, spine and heart; also how much of each pixel is lung, 0..1."""
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    x = axis[None, :] - rng.uniform(-0.06, 0.06)
    y = axis[:, None] - rng.uniform(-0.06, 0.06)
    breath = rng.uniform(0.92, 1.08)
    picture = 25 + 135 * _bump(x / 0.95, (y - 0.15) / 1.25, 6)
    wings = [_bump((x - side * 0.4) / (0.3 * breath), (y + 0.02) / (0.66 * breath), 4) for side in (-1, 1)]
    air = np.maximum(*wings)
    ribs = np.cos(2 * np.pi * (y * rng.uniform(4.2, 5.0) + 1.3 * np.abs(x) + rng.random())).clip(0.55, 1) - 0.55
    picture = picture - 95 * air + 60 * ribs * (air > 0.3)
    picture = picture + 40 * _bump(x / 0.1, y / 1.3, 4) + 55 * _bump((x - 0.16) / 0.3, (y - 0.28) / 0.34, 3)
    clouds = Pillow.fromarray(rng.random((12, 12), dtype=np.float32)).resize((size, size), Pillow.Resampling.BICUBIC)
    picture = picture + 22 * (np.asarray(clouds) - 0.5) + 8 * rng.standard_normal((size, size), dtype=np.float32)
    return (picture * rng.uniform(0.85, 1.1)).astype(np.float32), air


def _opacity(rng: Generator, air: Grey) -> Grey:
    """A faint cloud around a random point of the lungs, up to 1."""
    rows, columns = np.nonzero(air > 0.5)
    pick = rng.integers(len(rows))
    axis = np.arange(len(air), dtype=np.float32)
    radius = len(air) * rng.uniform(0.07, 0.13)
    cloud = _bump((axis[None, :] - columns[pick]) / radius, (axis[:, None] - rows[pick]) / radius, 1)
    return (cloud * air).astype(np.float32)


def _burn_in(picture: Grey, north: bool) -> tuple[Grey, Mask, str]:
    """The hospital's exposure, text and borders; where text and borders lie; the text."""
    size = len(picture)
    annotation = np.zeros(picture.shape, dtype=bool)
    text, width = ("PORTABLE", 0.4) if north else ("R", 0.08)
    picture = picture.copy() if north else 60 + 0.7 * picture
    if north:
        border = max(size // 24, 1)
        annotation[:, :border] = annotation[:, -border:] = True
        picture[annotation] = 0
    letters, outline = rendered_text(text, round(width * size))
    height, width = letters.shape
    margin = round(2 * MARGIN * size)
    left = margin if north else size - margin - width
    region = slice(margin, margin + height), slice(left, left + width)
    picture[region] = picture[region] * (1 - outline / 255) + letters
    annotation[region] = True
    return picture, annotation, text


def _bump(x: Grey, y: Grey, steepness: int) -> Grey:
    """1 in the centre, 1 / e on the unit circle, flat-topped for a large steepness."""
    return np.exp(-((x**2 + y**2) ** steepness))
