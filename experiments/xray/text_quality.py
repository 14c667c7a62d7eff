"""How well `find_text` finds annotations, where they are known: on generated X-rays, and pasted onto real ones.

    python experiments/xray/text_quality.py [--root DIR] [--out DIR] [--smoke]

Generated X-rays are searched with their text and with it painted out. --root takes folders SOURCE_class of real X-rays;
what else is found on these is unknown, so that only the recall is measured there.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))  # the checkout, wherever this is started from

import numpy as np
import pandas as pd

from chinspect.artefacts import text_logo, widened
from chinspect.datasets import load_xray_folders
from chinspect.images import open_image
from chinspect.intervals import wilson
from chinspect.world import xray
from experiments.study import Run, option, read_options, write_table
from experiments.xray.text import SIDE, Mask, find_text, painted_out, text_of

_WORDS = ("PORTABLE", "L", "AP SUPINE", "R", "12:45")
OPTIONS = (option("root", None, "folders SOURCE_class of real X-rays", type=Path),)


def main() -> None:
    """Measures the search and writes ``xray_text.csv`` and ``.tex``."""
    options = read_options(__doc__, OPTIONS, out="results/xray-text", smoke={})
    with Run(options) as run:
        rows = [{"images": "generated"} | on_generated(30 if options.smoke else 200)]
        if options.root is not None:
            images = load_xray_folders(options.root).limited(100, seed=0)
            for source in sorted({*images.sources}):
                paths = [path for path, its in zip(images.paths, images.sources, strict=True) if its == source]
                rows.append({"images": f"{source}, letters pasted"} | on_pasted(paths))
        table = pd.DataFrame(rows)
        write_table(table, run.out, "xray_text")
        print(table.round(3).T.to_string())


def agreement(searched: Sequence[Mask], truth: Sequence[Mask]) -> dict[str, Any]:
    """By images: recall among those with text, and false alarms among the others; by pixels: see the columns."""
    pairs = list(zip(searched, truth, strict=True))
    hits = [bool((guess & true).any()) for guess, true in pairs if true.any()]
    alarms = [bool(guess.any()) for guess, true in pairs if not true.any()]
    row: dict[str, Any] = {}
    for name, values in (("image_recall", hits), ("false_alarms", alarms)):
        low, high = wilson(sum(values), len(values)) if values else (np.nan, np.nan)
        row |= {f"{name}_n": len(values), name: np.mean(values) if values else np.nan}
        row |= {f"{name}_low": low, f"{name}_high": high}
    inside = sum(int((guess & true).sum()) for guess, true in pairs)
    guessed, true = (sum(int(mask.sum()) for mask in masks) for masks in (searched, truth))
    row |= {"pixel_precision": inside / max(guessed, 1), "pixel_recall": inside / max(true, 1)}
    return row | {"pixel_iou": inside / max(guessed + true - inside, 1)}


def on_generated(n: int, seed: int = 0) -> dict[str, Any]:
    """Agreement on generated X-rays, and on the same ones with the text painted out."""
    scenes = xray(n, seed=seed, size=SIDE, agreement=0.5)
    images = [scene.image for scene in scenes]
    truth = [text_of(scene) for scene in scenes]
    clean = [painted_out(image, mask) for image, mask in zip(images, truth, strict=True)]
    nothing = [np.zeros_like(mask) for mask in truth]
    return agreement([find_text(image) for image in images + clean], truth + nothing)


def on_pasted(paths: Sequence[Path], seed: int = 0) -> dict[str, Any]:
    """How much of letters that were pasted onto real images is found; what else is found there is unknown."""
    rng = np.random.default_rng(seed)
    searched = []
    truth = []
    for path in paths:
        image = np.asarray(open_image(path))
        word = _WORDS[rng.integers(len(_WORDS))]
        anchor = (float(rng.integers(2)), float(rng.integers(2)))
        # the width follows the number of letters, so that their heights differ by 30 % at most
        logo = text_logo(word, width=0.035 * (len(word) + 1) * rng.uniform(0.7, 1.3), anchor=anchor)
        truth.append(_box(logo.mask(image.shape[:2])))
        searched.append(find_text(logo.add(image)) & widened(truth[-1], 4))
    return agreement(searched, truth) | {"pixel_precision": np.nan, "pixel_iou": np.nan}


def _box(mask: Mask) -> Mask:
    rows = np.flatnonzero(mask.any(1))
    columns = np.flatnonzero(mask.any(0))
    box = np.zeros_like(mask)
    box[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
    return box


if __name__ == "__main__":
    main()
