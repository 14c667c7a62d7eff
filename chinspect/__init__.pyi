from .anomaly import CallableDetector, D2Neighbors, PatchCore, explain_anomaly, load_detector, save_detector
from .artefacts import Artefact
from .audit import audit_model
from .encoders import Encoder, list_models, load_encoder
from .explain import explain_images, explain_output
from .mitigate import prune, unlearn
from .proof import isolate, prove
from .readouts import evaluate
from .similarity import SimilarityIndex, explain_similarity, suspicious_pairs
from .spray import SpRAy, analyse, analyse_maps
from .stress import parity
from .subjects import Classifier, Subject

__version__: str

__all__ = [
    "Artefact",
    "CallableDetector",
    "Classifier",
    "D2Neighbors",
    "Encoder",
    "PatchCore",
    "SimilarityIndex",
    "SpRAy",
    "Subject",
    "analyse",
    "analyse_maps",
    "audit_model",
    "evaluate",
    "explain_anomaly",
    "explain_images",
    "explain_output",
    "explain_similarity",
    "isolate",
    "list_models",
    "load_detector",
    "load_encoder",
    "parity",
    "prove",
    "prune",
    "save_detector",
    "suspicious_pairs",
    "unlearn",
]
