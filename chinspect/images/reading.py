"""Text in images: where it is and what it says, as RapidOCR reads it (``pip install chinspect[text]``).

RapidOCR (Apache-2.0) runs the detector and the recogniser of PaddleOCR on ONNX Runtime; its package brings the weights,
so nothing is downloaded. What is detected counts as text only where it can be read: on photographs the detector alone
takes striped or framed areas, often all of an image, for text.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chinspect.errors import InputError

_SIDE = 448  # images are enlarged to it; at the default of 736 a network reads no more and takes three times as long
_SURE = 0.5  # of what is read; its own default
_LETTERS = 2  # a single one is mostly an edge or a round thing
_LARGEST = 0.5  # of the image: what is larger is a texture


@dataclass(frozen=True, eq=False)
class Text:
    """A line of text in an image.

    Attributes:
        words: what it says.
        mask: (H, W), where it is.
    """

    words: str
    mask: NDArray[np.bool_]


def can_read() -> bool:
    """Whether RapidOCR is installed."""
    return find_spec("rapidocr") is not None and find_spec("onnxruntime") is not None


def read_text(image: NDArray[np.uint8]) -> list[Text]:
    """The lines of text of an image (H, W, 3).

    Raises `InputError` where RapidOCR is not installed.
    """
    import cv2

    answer = _engine()(np.ascontiguousarray(image[..., ::-1]), use_det=True, use_cls=False, use_rec=True)
    if answer.boxes is None or answer.txts is None:
        return []
    lines = []
    for corners, words in zip(answer.boxes, answer.txts, strict=True):
        mask = np.zeros(image.shape[:2], np.uint8)
        cv2.fillPoly(mask, [np.asarray(corners).round().astype(np.int32)], 1)
        if len(words.strip()) >= _LETTERS and mask.mean() <= _LARGEST:
            lines.append(Text(words.strip(), mask.astype(bool)))
    return lines


@lru_cache(maxsize=1)
def _engine() -> Any:
    if not can_read():
        raise InputError("Reading text needs RapidOCR, which is not installed: pip install chinspect[text].")
    from rapidocr import RapidOCR

    # one thread each: the pictures of a candidate are few, and explanations may run beside it
    threads = {f"EngineConfig.onnxruntime.{kind}_op_num_threads": 1 for kind in ("intra", "inter")}
    options = {"Global.log_level": "error", "Global.text_score": _SURE, "Det.limit_side_len": _SIDE}
    return RapidOCR(params=threads | options)
