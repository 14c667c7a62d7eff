"""Known effects: published Clever Hans effects, measured again on any model, the published numbers beside.

>>> from chinspect.known import measure
>>> measure("imagenet-w", "efficientnet-lite0", "photographs").show()  # doctest: +SKIP
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
