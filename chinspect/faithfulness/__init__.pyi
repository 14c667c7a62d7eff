from .agreement import Agreement, shapley_agreement
from .answers import subject_score
from .changed import Score
from .composed import adcc, arcc, coherency
from .controls import CONTROLS, control_maps
from .curves import Curve, deletion_curve, insertion_curve
from .debiased import Road, road
from .drops import drop, gain, increase, masked_score
from .extents import complexity, entropy
from .imputing import imputed
from .judgement import Judgement
from .judging import judge
from .localisation import pointing_game, relevance_mass
from .metrics import METRICS, Metric
from .removal import Deletion, deletion
from .several import deletions_in_words

__all__ = [
    "CONTROLS",
    "METRICS",
    "Agreement",
    "Curve",
    "Deletion",
    "Judgement",
    "Metric",
    "Road",
    "Score",
    "adcc",
    "arcc",
    "coherency",
    "complexity",
    "control_maps",
    "deletion",
    "deletion_curve",
    "deletions_in_words",
    "drop",
    "entropy",
    "gain",
    "imputed",
    "increase",
    "insertion_curve",
    "judge",
    "masked_score",
    "pointing_game",
    "relevance_mass",
    "road",
    "shapley_agreement",
    "subject_score",
]
