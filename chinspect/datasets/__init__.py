"""Data sets as they lie on disk.

>>> from chinspect.datasets import load_mvtec
>>> bottle = load_mvtec("mvtec", "bottle")  # doctest: +SKIP
>>> bottle.defect_types  # doctest: +SKIP
('broken_large', 'broken_small', 'contamination')
"""

from chinspect.datasets.folder import load_folder
from chinspect.datasets.mvtec import GOOD, MVTecCategory, categories, load_mvtec

__all__ = ["GOOD", "MVTecCategory", "categories", "load_folder", "load_mvtec"]
