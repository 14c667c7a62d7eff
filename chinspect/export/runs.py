"""A saved run of SpRAy, see `chinspect.spray.run`, as a project of ViRelAy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from chinspect.errors import InputError
from chinspect.export.virelay import Pixels, VirelayProject
from chinspect.images import Preprocessing, open_image

SIDE = 224
"""Pixels of a picture that the viewer shows, in each direction."""


def read_run(folder: str | Path) -> VirelayProject:
    """The run in a folder; pictures are opened when they are asked for, as the model sees them.

    Raises `InputError` for a folder that holds no finished run, or whose run has no images.
    """
    home = Path(folder)
    if not (home / "run.json").is_file():
        raise InputError(f"{str(home)!r} holds no finished run of 'chinspect spray': give the folder that it wrote.")
    try:
        document = json.loads((home / "run.json").read_text(encoding="utf-8"))
        samples = pd.read_parquet(home / "samples.parquet")
        maps = np.load(home / "maps.npy", allow_pickle=False)
        explanation = document["explanation"]
        eigenvalues = np.array(document["eigenvalues"], dtype=np.float64)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{str(home)!r} holds no finished run of 'chinspect spray' ({error}).") from error
    if "path" not in samples:
        raise InputError(f"the run in {str(home)!r} has no images, which ViRelAy shows: give 'chinspect spray' images.")
    paths = samples["path"].tolist()
    analysed = np.flatnonzero(samples["state"] == "analysed")
    rows = samples.iloc[analysed]
    clusters = [name for name in map(str, samples) if name.startswith("cluster_")]
    named = {name.removeprefix("cluster_"): rows[name].to_numpy(dtype=np.int64) for name in clusters}
    return VirelayProject(
        image=lambda i: _picture(paths[i], explanation),
        maps=maps,
        labels=samples["label"].to_numpy() if "label" in samples else None,
        analysed=analysed,
        embedding=rows[[f"axis_{axis}" for axis in range(1, len(eigenvalues) + 1)]].to_numpy(dtype=np.float64),
        eigenvalues=eigenvalues,
        plane=rows[["x", "y"]].to_numpy(dtype=np.float32),
        clusterings=named | {"candidates": _first(rows["candidates"])},
        model=str(explanation.get("encoder") or explanation.get("detector") or "unknown"),
        method=str(explanation.get("method", "relevance")),
    )


def _first(candidates: pd.Series[Any]) -> NDArray[np.int64]:
    """The most significant candidate of each sample, -1 for none."""
    return np.array([min(numbers, default=-1) for numbers in candidates], dtype=np.int64)


def _picture(path: str, explanation: dict[str, Any]) -> Pixels:
    """(3, SIDE, SIDE), of what the model sees of the image."""
    image = open_image(path)
    if "preprocessing" in explanation:
        image = _preprocessing(explanation["preprocessing"]).visible(image)
    return np.asarray(image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC)).transpose(2, 0, 1)


def _preprocessing(fields: dict[str, Any]) -> Preprocessing:
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
    try:
        return Preprocessing(**values)
    except TypeError as error:
        raise InputError(f"run.json holds a preprocessing that is not known ({error}): write the run anew.") from error
