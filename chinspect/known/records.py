"""Images in TFRecords, read without TensorFlow: what tfds wrote of ImageNet.

A file is a row of records: length (uint64, little endian), a checksum (4 bytes), the bytes, a checksum (4 bytes). Each
is a protocol buffer ``tf.train.Example``: features by name, of bytes, floats or integers. Checksums are not compared:
a damaged image is refused when it is decoded.
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from chinspect.errors import InputError
from chinspect.images import open_image

_LONGEST = 1 << 28  # bytes of a record: far beyond any photograph, and no more than memory holds


@dataclass(frozen=True, eq=False)
class RecordImages:
    """Images of TFRecords, in the order of the files, and their labels (n,); decoded when they are asked for."""

    places: tuple[tuple[Path, int, int], ...]
    classes: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> Image.Image:
        """One image, through the same door as any other file."""
        path, offset, length = self.places[index]
        with path.open("rb") as file:
            file.seek(offset)
            content = file.read(length)
        with tempfile.NamedTemporaryFile(suffix=".jpg") as copied:
            copied.write(content)
            copied.flush()
            return open_image(copied.name)

    @property
    def description(self) -> dict[str, Any]:
        """What tells these images from others."""
        return {"files": sorted({str(path) for path, _, _ in self.places}), "images": len(self)}

    def subset(self, indices: NDArray[np.intp]) -> RecordImages:
        """Some of them, in this order."""
        return RecordImages(tuple(self.places[index] for index in indices), self.classes[indices])


def load_records(folder: Path) -> RecordImages:
    """The images (feature ``image``) and labels (``label``) of all ``*.tfrecord*`` of a folder.

    Raises `InputError` where there are none, and for a file that is damaged or holds something else.
    """
    paths = sorted(path for path in Path(folder).glob("*.tfrecord*") if path.is_file())
    if not paths:
        raise InputError(f"{str(folder)!r} holds no TFRecords (*-validation.tfrecord-*).")
    places = []
    labels = []
    for path in paths:
        for start, content in _records(path):
            try:
                offset, length, label = _example(content)
            except (IndexError, KeyError, ValueError) as error:
                raise InputError(f"A record of {str(path)!r} holds no image with a label.") from error
            places.append((path, start + offset, length))
            labels.append(label)
    return RecordImages(tuple(places), np.array(labels, dtype=np.intp))


def _records(path: Path) -> Iterator[tuple[int, bytes]]:
    """Where each record of a file begins, and its bytes."""
    with path.open("rb") as file:
        while header := file.read(12):
            length = struct.unpack("<Q", header[:8])[0] if len(header) == 12 else _LONGEST
            start = file.tell()
            content = file.read(length) if length < _LONGEST else b""
            if len(content) < length or len(file.read(4)) < 4:
                raise InputError(f"The TFRecord {str(path)!r} is damaged.")
            yield start, content


def _example(content: bytes) -> tuple[int, int, int]:
    """Offset and length of the image in a ``tf.train.Example``, and its label."""
    found: dict[str, tuple[int, int]] = {}
    (_, first, last), *_ = _fields(content, 0, len(content))  # Example.features
    for _, start, stop in _fields(content, first, last):  # Features.feature, a map of name and feature
        (_, key, end), (_, value, close) = _fields(content, start, stop)
        (_, inner, outer), *_ = _fields(content, value, close)  # Feature.bytes_list, float_list or int64_list
        (_, begin, finish), *_ = _fields(content, inner, outer)  # the list's first value, or all integers packed
        found[content[key:end].decode()] = begin, finish
    image = found["image"]
    return image[0], image[1] - image[0], _varint(content, found["label"][0])[0]


def _fields(content: bytes, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """Number, begin and end of the fields of a message; of an integer, where it stands."""
    while start < stop:
        tag, start = _varint(content, start)
        if tag & 7 == 2:  # bytes, texts, messages and packed numbers come with their length
            length, start = _varint(content, start)
            yield tag >> 3, start, start + length
            start += length
        elif tag & 7 == 0:
            begin = start
            _, start = _varint(content, start)
            yield tag >> 3, begin, start
        else:
            raise ValueError(f"wire type {tag & 7}")


def _varint(content: bytes, start: int) -> tuple[int, int]:
    """An integer of seven bits a byte, the lowest first, and where the next field begins."""
    value = 0
    for shift in range(0, 64, 7):
        byte = content[start]
        start += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, start
    raise ValueError("an integer of more than 64 bits")
