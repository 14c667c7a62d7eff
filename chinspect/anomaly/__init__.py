"""Anomaly detectors that explain themselves: how anomalous an image is, and which of its parts make it so."""

from chinspect.anomaly._detector import Detector, check_training_folder
from chinspect.anomaly.adapter import CallableDetector
from chinspect.anomaly.d2neighbors import D2Neighbors
from chinspect.anomaly.explanation import AnomalyExplanation, explain_anomaly
from chinspect.anomaly.patchcore import PatchCore
from chinspect.anomaly.persistence import load_detector, register, save_detector
from chinspect.anomaly.shares import ScoreShares, score_shares
from chinspect.anomaly.threshold import threshold_at

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
