from .runs import read_run
from .virelay import VirelayProject, export_virelay, project_of

__all__ = [
    "VirelayProject",
    "export_virelay",
    "project_of",
    "read_run",
]
