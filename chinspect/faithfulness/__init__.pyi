from .agreement import Agreement, shapley_agreement
from .changed import Score
from .composed import adcc, arcc, coherency
from .curves import Curve, deletion_curve, insertion_curve
from .debiased import Road, road
from .drops import drop, gain, increase, masked_score
from .extents import complexity, entropy
from .imputing import imputed
from .localisation import pointing_game, relevance_mass
from .removal import Deletion, deletion
from .several import deletions_in_words

__all__ = [
    "Agreement",
    "Curve",
    "Deletion",
    "Road",
    "Score",
    "adcc",
    "arcc",
    "coherency",
    "complexity",
    "deletion",
    "deletion_curve",
    "deletions_in_words",
    "drop",
    "entropy",
    "gain",
    "imputed",
    "increase",
    "insertion_curve",
    "masked_score",
    "pointing_game",
    "relevance_mass",
    "road",
    "shapley_agreement",
]
