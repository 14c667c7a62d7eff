"""Artefacts: what lies over an image and should not matter. How to add one to an image, and how to remove it.

>>> from chinspect.artefacts import text_logo
>>> text_logo("WASTECO").name
'logo'
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
