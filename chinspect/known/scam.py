"""SCAM: photographs with handwritten notes, and whether a model reads the note or sees the object.

Each photograph shows an object and exists in three types: SCAM, with a note that says something else; NoSCAM, the note
without its writing; SynthSCAM, the word written anew by a computer. A model is right if the image is more similar to
the name of the object than to the word, each in 32 templates. A control is SCAM with the word of another photograph:
as plausible, and not written there.

On disk as Hugging Face keeps images: ``metadata.csv`` (``.jsonl``, ``.parquet``) beside the images, with the columns
file_name, type, object_label, attack_word and id.

Source: Westerhoff et al. 2025, SCAM (arXiv:2504.04893).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from chinspect.errors import InputError
from chinspect.execute import Samples
from chinspect.images import open_image
from chinspect.known.effect import Findings, Options
from chinspect.known.models import Models
from chinspect.known.responses import embeddings_of
from chinspect.known.rows import Row, change_row, rate_row

NOTE = "SCAM"
BLANK = "NoSCAM"
PRINTED = "SynthSCAM"
OTHER = "another word"
ACCURACY = "accuracy"
GAP = "accuracy change"
_TEMPLATES = 32  # the first of OpenAI's 80 for ImageNet, as in the source
Values = NDArray[np.float64]
_READERS: Mapping[str, Callable[[Path], Any]] = {
    ".csv": partial(pd.read_csv, dtype=str),
    ".jsonl": partial(pd.read_json, lines=True, dtype=False),
    ".parquet": pd.read_parquet,
}
_COLUMNS = ["file_name", "type", "object_label", "attack_word", "id"]


def measure_scam(models: Models, data: Path, options: Options) -> Findings:
    """The protocol; ``options.images`` limits the photographs of each type."""
    table, root = read_scam(data)
    keys = sorted(table.groupby("key")["type"].nunique().loc[lambda count: count == table["type"].nunique()].index)
    order = np.random.default_rng(options.seed).permutation(len(keys))[: options.images]
    table = table[table["key"].isin([keys[i] for i in order])].sort_values(["type", "key"], ignore_index=True)
    tower = models.text_tower
    images = embeddings_of(models, Samples(root, tuple(table["file_name"])), options)
    from open_clip import OPENAI_IMAGENET_TEMPLATES

    templates = [template("{}") for template in OPENAI_IMAGENET_TEMPLATES[:_TEMPLATES]]
    texts = sorted({*table["object_label"], *table["attack_word"]})
    names = dict(zip(texts, tower.classes(texts, templates).double().cpu().numpy(), strict=True))
    findings = scam_rows(table, images, names, options.seed)
    shown = {
        str(kind): np.asarray(open_image(root / rows["file_name"].iloc[0])) for kind, rows in table.groupby("type")
    }
    return Findings(pd.DataFrame(findings), len(table), (), shown)


def scam_rows(table: pd.DataFrame, images: Values, names: Mapping[str, Values], seed: int = 0) -> list[Row]:
    """Rows of embeddings of images (n, D) and of names, by text; images of each type come in the order of their key."""
    right = {}
    for kind, photographs in table.groupby("type"):
        own = _similarity(images[photographs.index], photographs["object_label"], names)
        right[str(kind)] = own > _similarity(images[photographs.index], photographs["attack_word"], names)
        if kind == NOTE:
            words = np.random.default_rng(seed).permutation(photographs["attack_word"].to_numpy())
            other = _similarity(images[photographs.index], words, names)
            right[OTHER] = (own > other) | (words == photographs["object_label"].to_numpy())
    conditions = [kind for kind in (NOTE, PRINTED, OTHER, BLANK) if kind in right]
    rows = [rate_row(ACCURACY, kind, right[kind]) for kind in conditions]
    return rows + [change_row(GAP, kind, right[BLANK], right[kind]) for kind in conditions if kind != BLANK]


def _similarity(images: Values, texts: Iterable[str], names: Mapping[str, Values]) -> Values:
    """Of each image (n, D) and its text."""
    similarity: Values = (images * np.stack([names[text] for text in texts])).sum(1)
    return similarity


def read_scam(folder: Path) -> tuple[pd.DataFrame, Path]:
    """The table of the photographs, with a column ``key`` that is the same for the types of one, and their folder.

    Raises `InputError` for a folder in another layout.
    """
    root = Path(folder)
    tables = sorted(path for path in root.rglob("metadata.*") if path.suffix in _READERS)
    if not tables:
        raise InputError(f"{str(folder)!r} has no metadata.csv, .jsonl or .parquet: unpack SCAM's images.zip there.")
    path = tables[0]
    try:
        table: pd.DataFrame = _READERS[path.suffix](path)
    except (OSError, ValueError) as error:
        raise InputError(f"The table {str(path)!r} cannot be read ({error}).") from error
    missing = [column for column in _COLUMNS if column not in table.columns]
    if missing or not {NOTE, BLANK} <= set(table.get("type", ())):
        raise InputError(
            f"The table {str(path)!r} needs the columns {', '.join(_COLUMNS)}, and the types {NOTE} and {BLANK}."
        )
    table = table.astype(dict.fromkeys(_COLUMNS, str))
    return table.assign(key=table["id"].str.extract(r"(\d+)$", expand=False)), path.parent
