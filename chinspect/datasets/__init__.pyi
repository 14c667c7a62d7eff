from .coloured import ColouredDigits, coloured_mnist
from .mvtec import GOOD, MVTecCategory, categories, load_category, load_folder, load_mvtec
from .subpopulations import Subpopulations, load_subpopulations
from .xray import XrayImages
from .xray_load import GITHUB, NIH, VIEWS, load_github, load_nih, load_xray_folders

__all__ = [
    "GITHUB",
    "GOOD",
    "NIH",
    "VIEWS",
    "ColouredDigits",
    "MVTecCategory",
    "Subpopulations",
    "XrayImages",
    "categories",
    "coloured_mnist",
    "load_category",
    "load_folder",
    "load_github",
    "load_mvtec",
    "load_nih",
    "load_subpopulations",
    "load_xray_folders",
]
