from .faithfulness import MapDeletions, map_deletions
from .images import Explain, ExplainedImages, explain_images, question_for, seen_by
from .neighbours import Neighbours, binary_affinity, nearest
from .pooling import area_sum

__all__ = [
    "Explain",
    "ExplainedImages",
    "MapDeletions",
    "Neighbours",
    "area_sum",
    "binary_affinity",
    "explain_images",
    "map_deletions",
    "nearest",
    "question_for",
    "seen_by",
]
