from .job import Job
from .mapping import ImageFunction, ImageSource, Results, map_images
from .runner import run
from .samples import Samples, load_samples
from .store import Store

__all__ = [
    "ImageFunction",
    "ImageSource",
    "Job",
    "Results",
    "Samples",
    "Store",
    "load_samples",
    "map_images",
    "run",
]
