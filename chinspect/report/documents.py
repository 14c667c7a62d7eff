"""Documents: results as JSON values, and as files."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from chinspect.files import replacing


def plain(value: Any) -> Any:
    """The value as JSON values: containers and NumPy's numbers as Python's, NaN and infinity as None."""
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(entry) for entry in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def json_text(document: Any) -> str:
    """A document as JSON, indented; NaN and infinity, which JSON does not have, as null."""
    return json.dumps(plain(document), indent=2, allow_nan=False)


def write_json(path: Path, document: Any) -> Path:
    """Writes JSON, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(json_text(document) + "\n", encoding="utf-8")
    return path
