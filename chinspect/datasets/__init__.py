"""Data sets as they lie on disk.

>>> from chinspect.datasets import load_mvtec
>>> bottle = load_mvtec("mvtec", "bottle")  # doctest: +SKIP
>>> bottle.defect_types  # doctest: +SKIP
('broken_large', 'broken_small', 'contamination')
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
