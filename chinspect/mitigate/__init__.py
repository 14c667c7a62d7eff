"""Remedies that can be undone: filters and thresholds for detectors; pruning, projection and unlearning for encoders.

>>> import torch
>>> from chinspect.mitigate import Blur
>>> Blur(kernel=11, sigma=2.0)(torch.ones(1, 3, 32, 32)).shape
torch.Size([1, 3, 32, 32])

>>> from chinspect.encoders import load_encoder
>>> from chinspect.mitigate import prune_channels
>>> prune_channels(load_encoder("tiny-clip"), "stem.2", (3, 5), rows=(56, 64)).name
'tiny-clip, edited'
"""

from chinspect.encoders.edits import (
    EditedEncoder,
    Project,
    Prune,
    Retrain,
    edited,
    project_out,
    prune_channels,
    temporarily,
)
from chinspect.mitigate.blur import Blur, SpectralWeights
from chinspect.mitigate.comparison import average_over_seeds, compare_mitigations, finding
from chinspect.mitigate.direction import concept_direction
from chinspect.mitigate.filtered import Filtered
from chinspect.mitigate.finetuning import Schedule
from chinspect.mitigate.plateau import plateau
from chinspect.mitigate.pruning import PruningSearch, search_pruning
from chinspect.mitigate.recalibration import recalibrate
from chinspect.mitigate.reliance import Reliance, output_share, reliance
from chinspect.mitigate.responsive import random_channels, rank_edits, responsiveness, select_responsive, top_channels
from chinspect.mitigate.saving import RESUME, check_encoder_folder, save_encoder
from chinspect.mitigate.search import SIGMAS, search_blur
from chinspect.mitigate.unlearn import Unlearning, unlearn

__all__ = [
    "RESUME",
    "SIGMAS",
    "Blur",
    "EditedEncoder",
    "Filtered",
    "Project",
    "Prune",
    "PruningSearch",
    "Reliance",
    "Retrain",
    "Schedule",
    "SpectralWeights",
    "Unlearning",
    "average_over_seeds",
    "check_encoder_folder",
    "compare_mitigations",
    "concept_direction",
    "edited",
    "finding",
    "output_share",
    "plateau",
    "project_out",
    "prune_channels",
    "random_channels",
    "rank_edits",
    "recalibrate",
    "reliance",
    "responsiveness",
    "save_encoder",
    "search_blur",
    "search_pruning",
    "select_responsive",
    "temporarily",
    "top_channels",
    "unlearn",
]
