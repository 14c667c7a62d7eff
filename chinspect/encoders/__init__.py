"""Encoders: image batches to embeddings, with the preprocessing and the card that belong to them.

from chinspect.encoders import load_encoder
encoder = load_encoder("efficientnet-lite0")
embeddings = encoder.embed(["a.png", "b.png"])  # (2, D)
"""

import lazy_loader

# What needs torch is imported when it is first asked for: listing models takes milliseconds, torch takes seconds.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
