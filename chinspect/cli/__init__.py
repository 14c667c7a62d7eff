"""The command line: verbs that parse, call one function of the library and return an answer; see `frame`."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
