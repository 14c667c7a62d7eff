"""Stress tests: do the decisions of an anomaly detector survive changes that should not matter?

>>> from chinspect.stress import stress
>>> report = stress(detector, dataset, deploy=["pillow-bilinear"])  # doctest: +SKIP
>>> report.to_frame()[["resizer", "f1", "fpr", "fnr", "auroc"]]  # doctest: +SKIP
"""

from chinspect.stress.artefacts import Artefact
from chinspect.stress.artefacts_ready import ARTEFACTS, text_logo
from chinspect.stress.changes import CHANGES, change
from chinspect.stress.effects import Classifier
from chinspect.stress.isolate import isolate
from chinspect.stress.metrics import Evaluation, best_threshold, evaluate, paired_difference, wilson
from chinspect.stress.parity import Parity, onnx_session, parity, resized
from chinspect.stress.prediction import Prediction, predict_shift, transfer
from chinspect.stress.proof import prove
from chinspect.stress.proof_placebo import random_patch
from chinspect.stress.proof_result import Proof
from chinspect.stress.prove_candidates import prove_candidates
from chinspect.stress.report import StressReport
from chinspect.stress.resizing import CHAIN, chain, decompose
from chinspect.stress.scoring import Condition, Mitigation, Scorer, check_rate, score_conditions
from chinspect.stress.stress import stress

__all__ = [
    "ARTEFACTS",
    "CHAIN",
    "CHANGES",
    "Artefact",
    "Classifier",
    "Condition",
    "Evaluation",
    "Mitigation",
    "Parity",
    "Prediction",
    "Proof",
    "Scorer",
    "StressReport",
    "best_threshold",
    "chain",
    "change",
    "check_rate",
    "decompose",
    "evaluate",
    "isolate",
    "onnx_session",
    "paired_difference",
    "parity",
    "predict_shift",
    "prove",
    "prove_candidates",
    "random_patch",
    "resized",
    "score_conditions",
    "stress",
    "text_logo",
    "transfer",
    "wilson",
]
