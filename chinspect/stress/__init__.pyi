from .changes import CHANGES, TRACES, Change, change, unchanged
from .deployment import stress
from .gate import Gate
from .metrics import Evaluation, best_threshold, evaluate
from .pipelines import Parity, onnx_session, parity, resized
from .report import StressReport
from .resizing import CHAIN, Prediction, chain, decompose, predict_shift, transfer
from .scoring import Condition, Mitigation, check_rate, score_conditions

__all__ = [
    "CHAIN",
    "CHANGES",
    "TRACES",
    "Change",
    "Condition",
    "Evaluation",
    "Gate",
    "Mitigation",
    "Parity",
    "Prediction",
    "StressReport",
    "best_threshold",
    "chain",
    "change",
    "check_rate",
    "decompose",
    "evaluate",
    "onnx_session",
    "parity",
    "predict_shift",
    "resized",
    "score_conditions",
    "stress",
    "transfer",
    "unchanged",
]
