"""Generated scenes with masks: what was drawn is known, so what a model relies on can be checked.

>>> from chinspect.world import Logo, scenes
>>> trucks = scenes(16, seed=0, logo=Logo(classes={"garbage truck": 0.5}, elsewhere=0.05))
>>> trucks[0].image.shape, trucks[0].logo.shape
((128, 128, 3), (128, 128))
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
