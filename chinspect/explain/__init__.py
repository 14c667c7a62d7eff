"""Maps of a single image, and of a whole data set by any question to a model, resumable."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
