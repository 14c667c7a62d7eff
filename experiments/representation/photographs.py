"""Classes of ImageNet by WordNet id, as its folders are called."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from chinspect.errors import InputError
from chinspect.execute import Samples
from chinspect.images import list_images

TRUCKS = {
    "n03770679": "minivan",
    "n03796401": "moving van",
    "n03977966": "police van",
    "n03345487": "fire engine",
    "n03417042": "garbage truck",
    "n03930630": "pickup",
    "n04461696": "tow truck",
    "n04467665": "trailer truck",
}
"""The eight trucks of the paper."""
FISH = {
    "n01440764": "tench",
    "n02514041": "barracouta",
    "n02536864": "coho",
    "n02640242": "sturgeon",
    "n02641379": "gar",
    "n01498041": "stingray",
    "n01484850": "great white shark",
    "n01494475": "hammerhead",
    "n01491361": "tiger shark",
    "n02655020": "puffer",
    "n01496331": "electric ray",
    "n01443537": "goldfish",
    "n02526121": "eel",
    "n02607072": "anemone fish",
    "n02606052": "rock beauty",
    "n02643566": "lionfish",
}
"""The sixteen fish of the paper."""
TINY_VEHICLES = {
    "n03796401": "moving van",
    "n03977966": "police van",
    "n04146614": "school bus",
    "n04487081": "trolleybus",
    "n04285008": "sports car",
    "n02814533": "beach wagon",
    "n03100240": "convertible",
    "n03670208": "limousine",
    "n04465501": "tractor",
    "n03444034": "go-kart",
}
"""The vehicles among twenty classes of Tiny-ImageNet."""


def class_name(folder: str) -> str:
    """What a folder of ImageNet shows, by timm's list; other folders are called what they show."""
    from timm.data import ImageNetInfo

    known = ImageNetInfo("imagenet-1k")
    return str(known.label_name_to_description(folder)).split(",")[0] if folder in known.label_names() else folder


def listed(root: Path, part: str, names: Mapping[str, str], most: int | None = None) -> Samples:
    """Images of ``root/part/FOLDER``, labelled by the names of the folders; of each class the first ``most``."""
    found: list[tuple[str, str]] = []
    for folder, name in names.items():
        if not (root / part / folder).is_dir():
            raise InputError(f"{str(root)!r} has no folder {part}/{folder} ({name}).")
        paths = list_images(root / part / folder)[:most]
        found += [(path.relative_to(root).as_posix(), name) for path in paths]
    return Samples(root, tuple(path for path, _ in found), tuple(name for _, name in found))
