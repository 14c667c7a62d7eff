from .explanation import ExplainedOutput, OutputExplanation
from .faithfulness import MapDeletions, map_deletions
from .images import ANOMALY_MAP, Explain, ExplainedImages, explain_images, question_for, seen_by
from .judged import judge_methods
from .named import MAP_METHODS, MapMethod
from .neighbours import Neighbours, binary_affinity, nearest
from .outputs import explain_output
from .pooling import area_sum
from .target import imagenet_names, open_model

__all__ = [
    "ANOMALY_MAP",
    "MAP_METHODS",
    "Explain",
    "ExplainedImages",
    "ExplainedOutput",
    "MapDeletions",
    "MapMethod",
    "Neighbours",
    "OutputExplanation",
    "area_sum",
    "binary_affinity",
    "explain_images",
    "explain_output",
    "imagenet_names",
    "judge_methods",
    "map_deletions",
    "nearest",
    "open_model",
    "question_for",
    "seen_by",
]
