from .mvtec import GOOD, MVTecCategory, categories, load_category, load_folder, load_mvtec
from .xray import XrayImages
from .xray_load import GITHUB, NIH, VIEWS, load_github, load_nih, load_xray_folders

__all__ = [
    "GITHUB",
    "GOOD",
    "NIH",
    "VIEWS",
    "MVTecCategory",
    "XrayImages",
    "categories",
    "load_category",
    "load_folder",
    "load_github",
    "load_mvtec",
    "load_nih",
    "load_xray_folders",
]
