from .runs import read_run
from .virelay import VirelayParts, export_virelay, parts_of

__all__ = [
    "VirelayParts",
    "export_virelay",
    "parts_of",
    "read_run",
]
