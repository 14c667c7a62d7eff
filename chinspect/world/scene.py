"""What a generated image is: pixels, labels and the masks of everything that was drawn."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Mask = NDArray[np.bool_]


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
    text: str = field(default="")
    """The words burnt into the image, if any."""
