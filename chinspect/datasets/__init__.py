"""Data sets as they lie on disk.

>>> from chinspect.datasets import load_mvtec
>>> bottle = load_mvtec("mvtec", "bottle")  # doctest: +SKIP
>>> bottle.defect_types  # doctest: +SKIP
('broken_large', 'broken_small', 'contamination')
"""

from chinspect.datasets.folder import load_folder
from chinspect.datasets.mvtec import GOOD, MVTecCategory, categories, load_mvtec
from chinspect.datasets.xray import XrayImages
from chinspect.datasets.xray_load import GITHUB, NIH, VIEWS, load_github, load_nih, load_xray_folders

__all__ = [
    "GITHUB",
    "GOOD",
    "NIH",
    "VIEWS",
    "MVTecCategory",
    "XrayImages",
    "categories",
    "load_folder",
    "load_github",
    "load_mvtec",
    "load_nih",
    "load_xray_folders",
]
