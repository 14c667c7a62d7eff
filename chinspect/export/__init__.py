"""Results in the formats of other tools.

>>> from chinspect.export import export_virelay, read_run
>>> export_virelay(read_run("spray-run"), "spray-run/virelay")  # doctest: +SKIP
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
