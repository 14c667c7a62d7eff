from .adapter import CallableDetector
from .anomalib import anomalib_detector, anomalib_stages
from .d2neighbors import D2Neighbors
from .detector import Detector, explain_anomaly
from .explanation import AnomalyExplanation
from .filters import Blur, SpectralWeights
from .patchcore import PatchCore
from .persistence import load_detector, register, save_detector
from .profile import ScoreProfile, score_profile
from .threshold import guaranteed_rate, images_needed, threshold_at
from .workflow import Scores, fit, score

__all__ = [
    "AnomalyExplanation",
    "Blur",
    "CallableDetector",
    "D2Neighbors",
    "Detector",
    "PatchCore",
    "ScoreProfile",
    "Scores",
    "SpectralWeights",
    "anomalib_detector",
    "anomalib_stages",
    "explain_anomaly",
    "fit",
    "guaranteed_rate",
    "images_needed",
    "load_detector",
    "register",
    "save_detector",
    "score",
    "score_profile",
    "threshold_at",
]
