"""Images enter here: safe decoding, listing of folders, preprocessing for a network and the way back, and text."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
