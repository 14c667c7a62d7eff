"""Which images show humans: by a list, or by Faster R-CNN as in Kauffmann et al. 2025 (person, score 0.9)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from chinspect.errors import InputError
from chinspect.execute import Samples
from chinspect.images import open_image

SCORE = 0.9
PERSON = 1
"""The label of a person in COCO."""
Detector = Callable[[list[Tensor]], Sequence[Mapping[str, Tensor]]]


def read_people(path: Path, root: Path) -> frozenset[str]:
    """The images that a file lists, relative to the root, one each line. `InputError` if one is not there."""
    try:
        names = frozenset(line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    except (OSError, ValueError) as error:
        raise InputError(f"{str(path)!r} is no text file with one image a line ({error}).") from error
    missing = sorted(name for name in names if not (root / name).is_file())
    if missing:
        raise InputError(f"{str(path)!r} lists {missing[0]!r}, and {str(root)!r} holds no such file.")
    return names


def detect_people(samples: Samples, detector: Detector) -> frozenset[str]:
    """The names of the images on which a detector of COCO's classes is sure of a person."""
    from torchvision.transforms.functional import pil_to_tensor

    found = set()
    for name, path in zip(samples.names, samples.paths, strict=True):
        with torch.inference_mode():
            (seen,) = detector([pil_to_tensor(open_image(path).convert("RGB")).float() / 255])
        if bool(((seen["labels"] == PERSON) & (seen["scores"] >= SCORE)).any()):
            found.add(name)
    return frozenset(found)


def load_detector() -> Detector:
    """Faster R-CNN with a ResNet-50-FPN (v2), trained on COCO, by torchvision."""
    from torch.hub import load_state_dict_from_url
    from torchvision.models.detection import FasterRCNN_ResNet50_FPN_V2_Weights, fasterrcnn_resnet50_fpn_v2

    url = FasterRCNN_ResNet50_FPN_V2_Weights.COCO_V1.url
    try:
        state = load_state_dict_from_url(url, map_location="cpu", check_hash=True, weights_only=True)
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"The weights {Path(url).name} of the detector of humans cannot be downloaded from {url} ({error}); name "
            "the images that show humans in a file instead: --humans FILE."
        ) from error
    model = fasterrcnn_resnet50_fpn_v2(weights=None, weights_backbone=None)
    model.load_state_dict(state)
    return model.eval()
