from .images import ExplainedImages, explain_images
from .neighbours import Neighbours, binary_affinity, nearest
from .pooling import area_sum

__all__ = [
    "ExplainedImages",
    "Neighbours",
    "area_sum",
    "binary_affinity",
    "explain_images",
    "nearest",
]
