"""Runs as ``chinspect spray`` and ``chinspect audit`` leave them, small, and with names that strangers give."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

PORT = 8765
COUNT = 120
MEMBERS = (3, 50, 51, 52, 119)
SCRIPT = "<img src=x onerror=alert(1)>.png"
NAMES = {
    0: SCRIPT,
    1: "\u202egnp.elif\u202c",
    2: "x" * 300,
    3: "two\nlines.png",
    4: "\"quoted\" & 'single'.png",
    5: "العربية.png",
}
MISSING, DAMAGED, COPY = 7, 8, 9


def write_run(folder: Path, *, images: bool = True, spectra: bool = False, **changes) -> Path:
    """A run of `COUNT` images with one flagged candidate and one that is not; ``changes`` of its document."""
    pictures = folder.parent / "pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    folder.mkdir(parents=True)
    samples = _samples(pictures)
    if not images:
        samples = samples.drop(columns="path")
    samples.to_parquet(folder / "samples.parquet", index=False)
    rng = np.random.default_rng(0)
    np.save(folder / "maps.npy", rng.normal(size=(COUNT, 1, 8) if spectra else (COUNT, 6, 6)).astype(np.float32))
    for number in (1, 2):
        _write_candidate(folder / "candidates" / str(number), (1, 8) if spectra else (6, 6))
    Image.new("RGB", (30, 20), "red").save(folder / "embedding.png")
    (folder / "run.json").write_text(json.dumps(_document() | changes))
    return folder


def write_audit(folder: Path, *, analysis: bool = True) -> Path:
    """An audit of three findings, with or without the analysis of maps below it."""
    folder.mkdir(parents=True)
    findings = [
        {"key": "spray/1", "status": "confirmed", "title": SCRIPT, "sentence": "It relies on it.", "advice": "Blur.",
         "numbers": {"estimate": 0.5, "low": 0.4, "high": 0.6, "control": {"estimate": 0.1}},
         "members": [SCRIPT, "image 60", "not there"]},
        {"key": "stress/blur", "status": "clear", "title": "Blur", "sentence": "Nothing.", "members": []},
        {"key": 3, "status": None, "title": None, "numbers": [], "members": "none"},
    ]  # fmt: skip
    document = {
        "kind": "audit",
        "title": "tiny on photographs",
        "verdict": "confirmed",
        "level": 0.05,
        "sentence": "One is confirmed.",
        "findings": findings,
        "steps": [{"step": "explain", "state": "done", "seconds": 3.2}],
        "made": {"seed": 0, "nested": _nested(300)},
    }
    (folder / "audit.json").write_text(json.dumps(document))
    if analysis:
        write_run(folder / "spray")
    return folder


def _nested(depth: int) -> dict:
    return {"deeper": _nested(depth - 1)} if depth else {"end": float("nan")}


def _samples(pictures: Path) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    files = []
    for i in range(COUNT):
        files.append(pictures / f"{i}.png")
        if i not in (MISSING, DAMAGED):
            Image.fromarray(rng.integers(0, 255, (20, 24, 3), dtype=np.uint8)).save(files[-1])
    files[DAMAGED].write_bytes(b"\x89PNG\r\n\x1a\n no more of it")
    states = np.full(COUNT, "analysed", dtype=object)
    states[COPY] = "duplicate"
    states[10] = "no relevance"
    axes = rng.normal(size=(COUNT, 4)).astype(np.float32)
    plane = rng.normal(size=(COUNT, 2)).astype(np.float32)
    axes[10] = np.nan
    plane[10] = np.nan
    outlier = np.linspace(0, 1, COUNT, dtype=np.float32)[::-1].copy()
    outlier[10] = np.nan
    return pd.DataFrame(
        {
            "name": [NAMES.get(i, f"image {i}") for i in range(COUNT)],
            "path": [str(file) for file in files],
            "label": ["<b>cat</b>" if i % 3 else "dog" for i in range(COUNT)],
            "duplicate_of": [2 if i == COPY else -1 for i in range(COUNT)],
            "state": states,
            "cluster_kmeans-4": [-1 if i == 10 else i % 4 for i in range(COUNT)],
            "candidates": [[1] * (i in MEMBERS) + [2] * (i < 30) for i in range(COUNT)],
            "flagged": [[1] if i in MEMBERS else [] for i in range(COUNT)],
            "x": plane[:, 0],
            "y": plane[:, 1],
            **{f"axis_{k + 1}": axes[:, k] for k in range(4)},
            "strategy_cluster": np.zeros(COUNT, np.float32),
            "strategy_outlier": outlier,
        }
    )


def _write_candidate(folder: Path, shape: tuple[int, int]) -> None:
    folder.mkdir(parents=True)
    for name in ("mean_map", "template"):
        np.save(folder / f"{name}.npy", np.linspace(-1, 1, shape[0] * shape[1], dtype=np.float32).reshape(shape))
    Image.new("RGB", (30, 20), "blue").save(folder / "sheet.png")


def _document() -> dict:
    common = {"shared": 0.4, "effect": 0.5, "surrogates": 99, "label": "dog", "group": None, "lies_on": "text"}
    flagged = {"candidate": 1, "size": 5, "p_value": 0.001, "q_value": 0.001, "flagged": True, "verdict": "candidate"}
    other = {"candidate": 2, "size": 30, "p_value": 0.4, "q_value": 0.4, "flagged": False, "verdict": "untested"}
    return {
        "kind": "spray",
        "sentence": "1 of 9 sets of alike maps is flagged.",
        "verdict": "candidate",
        "eigenvalues": [0.0, 0.1, 0.2, 0.3],
        "parameters": {"n_neighbors": 10},
        "explanation": {"encoder": "tiny", "images": "/data/photographs", "unreadable": ["a.png"]},
        "versions": {"numpy": "2"},
        "candidates": [flagged | common | {"finding": "5 images."}, other | common | {"finding": f"30 {SCRIPT}."}],
    }
