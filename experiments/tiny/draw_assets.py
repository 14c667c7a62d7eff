"""Draw the example images of the README: two garbage trucks with the same logo, two fish shown by a person.

python experiments/tiny/draw_assets.py
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # the checkout, wherever this is started from

from PIL import Image

from chinspect.world import FISH, scenes
from experiments.tiny.world import EVERYWHERE_LOGO, EVERYWHERE_PERSON

SEED = 500
SIZE = 384


def main() -> None:
    """Scenes in which the object is easy to see, of a seed that no encoder was trained on."""
    trucks = scenes(12, seed=SEED, size=SIZE, classes=("garbage truck",), logo=EVERYWHERE_LOGO)
    fish = scenes(12, seed=SEED, size=SIZE, classes=tuple(FISH), person=EVERYWHERE_PERSON)
    drawn = {"truck-a": trucks[2], "truck-b": trucks[8], "fish-a": fish[0], "fish-b": fish[1]}
    for name, scene in drawn.items():
        Image.fromarray(scene.image).save(Path("assets") / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
