"""Cards of the bundled encoders: what they are, how they were trained, what was measured on them."""

import tomllib
from pathlib import Path
from typing import Any

OBJECTIVES = {
    "tiny-clip": "contrast with captions (CLIP)",
    "tiny-simclr": "contrast of two views (SimCLR)",
    "tiny-barlowtwins": "redundancy reduction between two views (Barlow Twins)",
    "tiny-supervised": "cross-entropy on the class",
}


def write_card(path: Path, name: str, sha256: str, paper: str, training: dict[str, Any]) -> None:
    """Write the card of a freshly trained encoder, still without measurements."""
    card = {
        "name": name,
        "title": f"Small residual network trained on generated scenes by {OBJECTIVES[name]}",
        "architecture": "tiny-resnet",
        "source": "bundled",
        "file": "weights.safetensors",
        "sha256": sha256,
        "license": "MIT",
        "embedding": "global average pool of the last stage",
        "dimension": 256,
        "paper": paper,
        "note": "A demonstrator trained on generated scenes in minutes; not a model for real use.",
        "preprocessing": {
            "size": 128,
            "resize": "shortest",
            "interpolation": "bilinear",
            "mean": [0.5, 0.5, 0.5],
            "std": [0.5, 0.5, 0.5],
        },
        "training": {"objective": OBJECTIVES[name], **training},
    }
    path.write_text(_toml(card), encoding="utf-8")


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
    return f'"{value}"' if isinstance(value, str) else str(value)
