"""Layer-wise relevance propagation as one linear map, pushed forward or pulled back; see `relevance_map`.

The names are loaded when they are first used: frequency bands and components do without the engine.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
