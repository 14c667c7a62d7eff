from .analysis import SpRAy
from .candidates import Candidate
from .duplicates import near_duplicates
from .pipeline import analyse, analyse_maps
from .run import Finding, SprayRun

__all__ = ["Candidate", "Finding", "SpRAy", "SprayRun", "analyse", "analyse_maps", "near_duplicates"]
