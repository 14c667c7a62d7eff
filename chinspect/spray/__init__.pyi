from .analysis import SpRAy
from .candidates import Candidate, position_in_words
from .duplicates import near_duplicates
from .maps import load_labels
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
    "load_labels",
    "near_duplicates",
    "position_in_words",
    "project",
    "spectrum",
]
