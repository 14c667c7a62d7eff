from .blur import Blur, SpectralWeights
from .comparison import average_over_seeds, compare_mitigations, finding
from .direction import concept_direction
from .finetuning import Schedule
from .measures import Reliance, output_share, reliance
from .plateaus import plateau
from .pruning import PruningSearch, search_pruning
from .recalibration import recalibrate
from .responsive import random_channels, rank_edits, responsiveness, select_responsive, top_channels
from .saving import RESUME, check_encoder_folder, save_encoder
from .unlearning import Unlearning, unlearn

__all__ = [
    "RESUME",
    "Blur",
    "PruningSearch",
    "Reliance",
    "Schedule",
    "SpectralWeights",
    "Unlearning",
    "average_over_seeds",
    "check_encoder_folder",
    "compare_mitigations",
    "concept_direction",
    "finding",
    "output_share",
    "plateau",
    "random_channels",
    "rank_edits",
    "recalibrate",
    "reliance",
    "responsiveness",
    "save_encoder",
    "search_pruning",
    "select_responsive",
    "top_channels",
    "unlearn",
]
