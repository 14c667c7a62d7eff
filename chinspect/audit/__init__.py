"""The whole loop in one call: explain, cluster, prove, stress, mitigate, prove again; and a report that people open."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
