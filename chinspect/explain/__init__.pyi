from .images import ExplainedImages, check_question, explain_images, usual_question, view
from .neighbours import Neighbours, binary_affinity, nearest
from .pooling import area_sum

__all__ = [
    "ExplainedImages",
    "Neighbours",
    "area_sum",
    "binary_affinity",
    "check_question",
    "explain_images",
    "nearest",
    "usual_question",
    "view",
]
