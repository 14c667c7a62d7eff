from .bilrp import explain_similarity
from .choice import Choice, choose_method, settled_method
from .explanation import PatchPair, SimilarityExplanation
from .frequency import FrequencySimilarity
from .image import ExplainedImage
from .index import SimilarityIndex
from .standing import Standing
from .suspicious import in_place, suspicious_pairs

__all__ = [
    "Choice",
    "ExplainedImage",
    "FrequencySimilarity",
    "PatchPair",
    "SimilarityExplanation",
    "SimilarityIndex",
    "Standing",
    "choose_method",
    "explain_similarity",
    "in_place",
    "settled_method",
    "suspicious_pairs",
]
