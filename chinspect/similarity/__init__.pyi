from .bilrp import explain_similarity
from .choice import Choice, choose_method, settled_method
from .explanation import ExplainedImage, PatchPair, SimilarityExplanation
from .frequency import FrequencySimilarity
from .index import SimilarityIndex
from .suspicious import suspicious_pairs

__all__ = [
    "Choice",
    "ExplainedImage",
    "FrequencySimilarity",
    "PatchPair",
    "SimilarityExplanation",
    "SimilarityIndex",
    "choose_method",
    "explain_similarity",
    "settled_method",
    "suspicious_pairs",
]
