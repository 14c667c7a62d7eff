from .comparison import average_over_seeds, compare_mitigations, finding
from .detectors import Blur, SpectralWeights, detector_remedy, recalibrate, save_remedied
from .finetuning import Schedule
from .measures import Reliance, output_relevance, reliance
from .pruning import PruningSearch, search_pruning
from .regrouped import Regrouped, group_remedy, grouped_remedy
from .remedy import Remedy, prune, unlearn
from .responsive import concept_direction, random_channels, rank_edits, responsiveness, top_channels
from .robust import RobustTraining, train_robust
from .robust_plan import TRAININGS
from .saving import RESUME, check_encoder_folder, save_encoder
from .unlearning import Unlearning, train_unlearning

__all__ = [
    "RESUME",
    "TRAININGS",
    "Blur",
    "PruningSearch",
    "Regrouped",
    "Reliance",
    "Remedy",
    "RobustTraining",
    "Schedule",
    "SpectralWeights",
    "Unlearning",
    "average_over_seeds",
    "check_encoder_folder",
    "compare_mitigations",
    "concept_direction",
    "detector_remedy",
    "finding",
    "group_remedy",
    "grouped_remedy",
    "output_relevance",
    "prune",
    "random_channels",
    "rank_edits",
    "recalibrate",
    "reliance",
    "responsiveness",
    "save_encoder",
    "save_remedied",
    "search_pruning",
    "top_channels",
    "train_robust",
    "train_unlearning",
    "unlearn",
]
