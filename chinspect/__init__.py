"""chinspect finds, proves and fixes Clever Hans effects in unsupervised vision models.

>>> import chinspect
>>> encoder = chinspect.load_encoder("efficientnet-lite0")
>>> chinspect.explain_similarity(encoder, "a.png", "b.png").plot("why.png")  # doctest: +SKIP
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
