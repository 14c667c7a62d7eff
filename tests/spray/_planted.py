"""Generated scenes, some with a logo, on disk."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from chinspect.artefacts import text_logo
from chinspect.world import scenes


def plant(folder: Path, count: int, carriers: int) -> Path:
    """Scenes of 128 px as ``000.png`` and so on, the first of which carry a text logo in the lower left."""
    folder.mkdir(parents=True)
    logo = text_logo()
    for i, scene in enumerate(scenes(count, seed=0)):
        pixels = logo.add(scene.image) if i < carriers else scene.image
        Image.fromarray(pixels).save(folder / f"{i:03d}.png")
    return folder
