"""Draw the photographs of the README: a cat and a cup of coffee under the watermark of ImageNet-W.

    python experiments/faithfulness/draw_assets.py --photographs DIR

DIR holds chelsea.png and coffee.png, as the package scikit-image brings them in its folder ``skimage/data``.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # the checkout, wherever this is started from

import numpy as np
from PIL import Image, ImageOps

from chinspect.artefacts import imagenet_w
from experiments.study import option, read_options

SIDE = 448  # twice what the network sees, which suffices for a page
MARGIN = SIDE // 16  # EfficientNet-Lite0 sees the inner 7/8 of an image, for which the watermark is made
NAMES = {"chelsea.png": "cat.jpg", "coffee.png": "coffee.jpg"}


def main() -> None:
    """Crops the middle of each photograph, and lays the watermark on what the network will see of it."""
    options = read_options(__doc__, (option("photographs", None, "a folder", type=Path),))
    for source, name in NAMES.items():
        image = ImageOps.fit(Image.open(options.photographs / source).convert("RGB"), (SIDE, SIDE))
        pixels = np.array(image)
        inner = (slice(MARGIN, -MARGIN), slice(MARGIN, -MARGIN))
        pixels[inner] = imagenet_w().add(pixels[inner])
        Image.fromarray(pixels).save(Path("assets") / name, quality=95)


if __name__ == "__main__":
    main()
