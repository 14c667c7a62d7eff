"""Cards of the small encoders: what they are, how they were trained, what was measured on them."""

import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chinspect.files import replacing

OBJECTIVES = {
    "clip": "contrast with captions (CLIP)",
    "simclr": "contrast of two views (SimCLR)",
    "barlowtwins": "redundancy reduction between two views (Barlow Twins)",
    "supervised": "cross-entropy on the class",
}


@dataclass(frozen=True)
class Description:
    """What a card says before anything is trained."""

    name: str
    kind: str
    """Of its objective, one of `OBJECTIVES`."""
    data: str
    """What it is trained on, in words."""
    size: int
    source: str
    license: str


def write_card(path: Path, of: Description, sha256: str, paper: str, training: dict[str, Any]) -> None:
    """Write the card of a freshly trained encoder, still without measurements."""
    card = {
        "name": of.name,
        "title": f"Small residual network trained on {of.data} by {OBJECTIVES[of.kind]}",
        "architecture": "tiny-resnet",
        "source": of.source,
        "file": "weights.safetensors",
        "sha256": sha256,
        "license": of.license,
        "embedding": "global average pool of the last stage",
        "dimension": 256,
        "paper": paper,
        "note": f"A demonstrator trained on {of.data} in minutes; not a model for real use.",
        "preprocessing": {
            "size": of.size,
            "resize": "shortest",
            "interpolation": "bilinear",
            "mean": [0.5, 0.5, 0.5],
            "std": [0.5, 0.5, 0.5],
        },
        "training": {"objective": OBJECTIVES[of.kind], **training},
    }
    with replacing(path) as temporary:
        temporary.write_text(_toml(card), encoding="utf-8")


def write_measurements(path: Path, measured: dict[str, Any]) -> None:
    """Replace the [measured] table of a card."""
    card = tomllib.loads(path.read_text(encoding="utf-8"))
    path.write_text(_toml(card | {"measured": measured}), encoding="utf-8")


def _toml(card: dict[str, Any]) -> str:
    lines = [f"{key} = {_value(value)}" for key, value in card.items() if not isinstance(value, dict)]
    for name, table in card.items():
        if isinstance(table, dict):
            lines += ["", f"[{name}]", *(f"{key} = {_value(value)}" for key, value in table.items())]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_value(entry) for entry in value) + "]"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else str(value)
