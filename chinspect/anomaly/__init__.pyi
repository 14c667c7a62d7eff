from ._detector import Detector, check_training_folder
from .adapter import CallableDetector
from .d2neighbors import D2Neighbors
from .explanation import AnomalyExplanation, explain_anomaly
from .patchcore import PatchCore
from .persistence import load_detector, register, save_detector
from .shares import ScoreShares, score_shares
from .threshold import threshold_at

__all__ = [
    "AnomalyExplanation",
    "CallableDetector",
    "D2Neighbors",
    "Detector",
    "PatchCore",
    "ScoreShares",
    "check_training_folder",
    "explain_anomaly",
    "load_detector",
    "register",
    "save_detector",
    "score_shares",
    "threshold_at",
]
