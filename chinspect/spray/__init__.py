"""SpRAy: clusters of explanations, with candidates for Clever Hans strategies that are tested against chance.

>>> from chinspect.spray import SpRAy
>>> spray = SpRAy().fit(maps)  # doctest: +SKIP
>>> spray.to_frame()[["size", "shared", "p_value", "verdict"]]  # doctest: +SKIP
"""

from chinspect.spray.analysis import SpRAy
from chinspect.spray.candidates import Candidate
from chinspect.spray.classes import ClassRanking, rank_classes
from chinspect.spray.duplicates import near_duplicates
from chinspect.spray.explain import ExplainedImages, explain_images
from chinspect.spray.pooling import area_sum
from chinspect.spray.run import Finding, SprayRun

__all__ = [
    "Candidate",
    "ClassRanking",
    "ExplainedImages",
    "Finding",
    "SpRAy",
    "SprayRun",
    "area_sum",
    "explain_images",
    "near_duplicates",
    "rank_classes",
]
