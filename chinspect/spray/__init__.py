"""SpRAy: clusters of explanations, with candidates for Clever Hans strategies that are tested against chance.

>>> from chinspect.spray import SpRAy, analyse
>>> analyse(encoder, "photographs", path="run").show()  # doctest: +SKIP
>>> spray = SpRAy().fit(maps)  # maps of any other tool  # doctest: +SKIP
>>> spray.to_frame()[["size", "shared", "p_value", "verdict"]]  # doctest: +SKIP
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
