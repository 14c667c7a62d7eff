"""Class activation maps: where in an image the activations lie that an output depends on.

>>> from chinspect.cam import cam
>>> cam("cluscam", encoder, ["a.png"], target=281)  # doctest: +SKIP
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
