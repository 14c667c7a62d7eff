"""Readouts: linear classifiers of frozen embeddings, scored by subgroup, with and without an artefact.

>>> from chinspect.encoders import load_encoder
>>> from chinspect.readouts import folder_task, load_classes
>>> task = folder_task(load_classes("vehicles"))  # doctest: +SKIP
>>> task.score(load_encoder("tiny-clip"), cache="cache")  # doctest: +SKIP
"""

from chinspect.readouts.embeddings import embeddings
from chinspect.readouts.folders import Split, interleaved, load_classes, read_groups, split
from chinspect.readouts.linear import KINDS, LinearReadout
from chinspect.readouts.pictures import Pictures, painted, pasted, seen
from chinspect.readouts.scores import ALL, confusion, each_state, score_classes, score_groups, worst_group
from chinspect.readouts.task import ORIGINAL, SHIFTED, Task, folder_task

__all__ = [
    "ALL",
    "KINDS",
    "ORIGINAL",
    "SHIFTED",
    "LinearReadout",
    "Pictures",
    "Split",
    "Task",
    "confusion",
    "each_state",
    "embeddings",
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
