from .animals import ANIMALS, FISH
from .chests import xray
from .extras import Logo, Person, Prevalence, paint_logo
from .factory import Variant, industrial, inspection
from .photographs import CLASSES, iterate_scenes, scenes
from .scene import Scene
from .surfaces import DEFECTS
from .vehicles import VEHICLES

__all__ = [
    "ANIMALS",
    "CLASSES",
    "DEFECTS",
    "FISH",
    "VEHICLES",
    "Logo",
    "Person",
    "Prevalence",
    "Scene",
    "Variant",
    "industrial",
    "inspection",
    "iterate_scenes",
    "paint_logo",
    "scenes",
    "xray",
]
