"""What was found, for people and for other programs.

>>> from chinspect.report import export_virelay, read_run
>>> export_virelay(read_run("spray-run"), "spray-run/virelay")  # doctest: +SKIP
"""

from chinspect.report.virelay import VirelayParts, export_virelay, parts_of
from chinspect.report.virelay_run import read_run

__all__ = ["VirelayParts", "export_virelay", "parts_of", "read_run"]
