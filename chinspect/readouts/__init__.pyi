from .embedding import embeddings
from .evaluation import ReadoutScores, evaluate
from .folders import Split, interleaved, load_classes, read_groups, split
from .linear import KINDS, LinearReadout
from .pictures import Pairs, Pictures, painted, pasted, seen
from .scores import ALL, each_state, score_classes, score_groups, worst_group
from .task import ORIGINAL, SHIFTED, Task, folder_task

__all__ = [
    "ALL",
    "KINDS",
    "ORIGINAL",
    "SHIFTED",
    "LinearReadout",
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
