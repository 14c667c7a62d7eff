from .images import Explain, ExplainedImages, explain_images, question_for, seen_by
from .neighbours import Neighbours, binary_affinity, nearest
from .pooling import area_sum

__all__ = [
    "Explain",
    "ExplainedImages",
    "Neighbours",
    "area_sum",
    "binary_affinity",
    "explain_images",
    "nearest",
    "question_for",
    "seen_by",
]
