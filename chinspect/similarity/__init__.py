"""Similarity explanations (BiLRP) for pairs of images, and for all pairs of a data set."""

from chinspect.similarity.bilrp import explain_similarity
from chinspect.similarity.explanation import ExplainedImage, PatchPair, SimilarityExplanation
from chinspect.similarity.frequency import FrequencySimilarity
from chinspect.similarity.index import SimilarityIndex
from chinspect.similarity.suspicious import suspicious_pairs

__all__ = [
    "ExplainedImage",
    "FrequencySimilarity",
    "PatchPair",
    "SimilarityExplanation",
    "SimilarityIndex",
    "explain_similarity",
    "suspicious_pairs",
]
