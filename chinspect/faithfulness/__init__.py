"""Faithfulness: whether a score depends on what a map calls relevant, by metrics beside maps that know nothing."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
