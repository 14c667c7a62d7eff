"""Proofs: is an artefact a cause? It is added to images and removed, beside edits that are as large but not it.

>>> from chinspect.proof import prove
>>> prove(encoder, artefact, clean_images, affected_images).sentence  # doctest: +SKIP
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
