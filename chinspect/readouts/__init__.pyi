from .evaluation import ReadoutScores, evaluate
from .folders import Split, interleaved, load_classes, read_groups, split
from .pictures import Pairs, Pictures, embeddings, painted, pasted, seen
from .scores import ALL, each_state, score_classes, score_groups, worst_group
from .task import ORIGINAL, SHIFTED, Task, folder_task, linear_readout

__all__ = [
    "ALL",
    "ORIGINAL",
    "SHIFTED",
    "Pairs",
    "Pictures",
    "ReadoutScores",
    "Split",
    "Task",
    "each_state",
    "embeddings",
    "evaluate",
    "folder_task",
    "interleaved",
    "linear_readout",
    "load_classes",
    "painted",
    "pasted",
    "read_groups",
    "score_classes",
    "score_groups",
    "seen",
    "split",
    "worst_group",
]
