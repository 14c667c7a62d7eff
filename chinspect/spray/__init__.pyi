from .analysis import SpRAy
from .candidates import Candidate
from .duplicates import near_duplicates
from .pipeline import analyse, analyse_maps
from .run import Finding, SprayRun
from .spectral import Spectrum, project, spectrum

__all__ = [
    "Candidate",
    "Finding",
    "SpRAy",
    "Spectrum",
    "SprayRun",
    "analyse",
    "analyse_maps",
    "near_duplicates",
    "project",
    "spectrum",
]
