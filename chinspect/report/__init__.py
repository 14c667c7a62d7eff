"""Results: one base for everything that the package finds, so that each is shown, drawn and saved in the same way."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
