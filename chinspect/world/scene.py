"""What a generated image is: pixels, labels and the masks of everything that was drawn."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chinspect.errors import InputError

Image = NDArray[np.uint8]
Mask = NDArray[np.bool_]

SIZES = (32, 2048)
"""Smallest and largest side of a scene in pixels: below nothing can be told apart, above it takes seconds."""


@dataclass(frozen=True, eq=False)
class Scene:
    """One generated image with its ground truth. Every mask is (H, W) bool and empty where nothing was drawn.

    `object` and `person` are the pixels in which they show, be it at an edge only: what stands in front is cut out.
    `logo` is the bounding box of its text, letters and gaps; a logo lies over everything and cuts no other mask.
    """

    image: Image
    """(H, W, 3), 0..255."""
    label: int
    """Index of `class_name` in the classes that were asked for."""
    class_name: str
    caption: str
    """The class and, if there is a logo, its text."""
    source: str
    """Where the image was taken: the background of a photograph, the hospital of an X-ray."""
    object: Mask
    logo: Mask
    person: Mask
    annotation: Mask
    pathology: Mask
    text: str = ""
    """The words burnt into the image, if any."""


def check_request(n: int, seed: int, size: int) -> None:
    """Raise InputError for a number of images, a seed or a size that cannot be drawn."""
    if n < 0 or seed < 0:
        raise InputError(f"The number of scenes and the seed must not be negative, not {n} and {seed}.")
    check_range("size of a scene", size, *SIZES, " pixels")


def check_range(name: str, value: float, low: float = 0, high: float = 1, unit: str = "") -> None:
    """Raise InputError for a value outside of low..high; by default, for what is no probability."""
    if not low <= value <= high:
        raise InputError(f"The {name} must lie between {low} and {high}{unit}, not {value}.")
