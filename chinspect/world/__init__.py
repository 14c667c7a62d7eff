"""Generated scenes with masks: what was drawn is known, so what a model relies on can be checked.

>>> from chinspect.world import Logo, scenes
>>> trucks = scenes(16, seed=0, logo=Logo(classes={"garbage truck": 0.5}, elsewhere=0.05))
>>> trucks[0].image.shape, trucks[0].logo.shape
((128, 128, 3), (128, 128))
"""

from chinspect.world.animals import ANIMALS, FISH
from chinspect.world.industrial import industrial
from chinspect.world.logos import Logo
from chinspect.world.people import Person
from chinspect.world.photos import CLASSES, iterate_scenes, scenes
from chinspect.world.scene import Scene
from chinspect.world.vehicles import VEHICLES
from chinspect.world.xray import xray

__all__ = [
    "ANIMALS",
    "CLASSES",
    "FISH",
    "VEHICLES",
    "Logo",
    "Person",
    "Scene",
    "industrial",
    "iterate_scenes",
    "scenes",
    "xray",
]
