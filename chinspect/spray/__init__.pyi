from .analysis import SpRAy
from .candidates import Candidate
from .classes import ClassRanking, rank_classes
from .duplicates import near_duplicates
from .run import Finding, SprayRun

__all__ = [
    "Candidate",
    "ClassRanking",
    "Finding",
    "SpRAy",
    "SprayRun",
    "near_duplicates",
    "rank_classes",
]
