from .bilrp import explain_similarity
from .explanation import ExplainedImage, PatchPair, SimilarityExplanation
from .frequency import FrequencySimilarity
from .index import SimilarityIndex
from .suspicious import suspicious_pairs

__all__ = [
    "ExplainedImage",
    "FrequencySimilarity",
    "PatchPair",
    "SimilarityExplanation",
    "SimilarityIndex",
    "explain_similarity",
    "suspicious_pairs",
]
