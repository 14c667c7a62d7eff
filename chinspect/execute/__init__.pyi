from .columns import read_column
from .job import ImageFunction, ImageSource
from .mapping import Results, map_images
from .samples import Samples, Source, load_samples
from .store import Store

__all__ = [
    "ImageFunction",
    "ImageSource",
    "Results",
    "Samples",
    "Source",
    "Store",
    "load_samples",
    "map_images",
    "read_column",
]
