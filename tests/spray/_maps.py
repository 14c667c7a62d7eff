"""Maps with known strategies: blobs that lie anywhere, and marks that lie in one position."""

import importlib
import warnings
from types import ModuleType

import numpy as np
import pytest

from chinspect.spray.arrays import Maps


def blobs(n: int, seed: int, side: int = 16, each: int = 3) -> Maps:
    """Maps (n, side, side) of three round objects each, whose positions are drawn evenly: no two for a reason."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    centres, widths = rng.uniform(0, side, (2, n, each, 1, 1)), rng.uniform(1, 2, (n, each, 1, 1)) * side / 16
    return np.exp(-((y - centres[0]) ** 2 + (x - centres[1]) ** 2) / (2 * widths**2)).sum(1).astype(np.float32)


def marked(maps: Maps, members: np.ndarray, position: tuple[slice, slice], fraction: float = 0.5) -> Maps:
    """The maps, of which ``members`` hold a fraction of their relevance, evenly, in one position."""
    out = maps.copy()
    mark = np.zeros(maps.shape[1:], np.float32)
    mark[position] = 1
    mass = np.abs(maps[members]).sum((1, 2), keepdims=True)
    out[members] = (1 - fraction) * maps[members] + fraction * mass * mark / mark.sum()
    return out


def peer(name: str) -> ModuleType:
    """A library that the tests compare with; warnings of its own import are not ours. Skips where it is absent."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return importlib.import_module(name)
        except ImportError:
            pytest.skip(f"{name} is not installed")
