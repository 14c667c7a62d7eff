from .confounder import FOLDER, ConfounderScores, confounder_scores, confounding
from .evaluation import ReadoutScores, evaluate
from .folders import Split, interleaved, load_classes, read_groups, split
from .heads import LinearHead
from .pictures import Pairs, Pictures, embeddings, painted, pasted, seen
from .robustness import balanced_accuracy, cross_validated, index_over_k, measured_row
from .scores import ALL, each_state, score_classes, score_groups, worst_group
from .task import ORIGINAL, SHIFTED, Task, folder_task, linear_readout

__all__ = [
    "ALL",
    "FOLDER",
    "ORIGINAL",
    "SHIFTED",
    "ConfounderScores",
    "LinearHead",
    "Pairs",
    "Pictures",
    "ReadoutScores",
    "Split",
    "Task",
    "balanced_accuracy",
    "confounder_scores",
    "confounding",
    "cross_validated",
    "each_state",
    "embeddings",
    "evaluate",
    "folder_task",
    "index_over_k",
    "interleaved",
    "linear_readout",
    "load_classes",
    "measured_row",
    "painted",
    "pasted",
    "read_groups",
    "score_classes",
    "score_groups",
    "seen",
    "split",
    "worst_group",
]
