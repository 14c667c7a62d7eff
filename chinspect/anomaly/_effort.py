"""How long a PatchCore takes to fit: quadratic in the number of patches, so it is bounded, and told before."""

from __future__ import annotations

import time
import warnings

import torch

from chinspect.anomaly._coreset import DIMENSIONS
from chinspect.errors import SlowWarning

FOLDS = 5
"""Of the cross-validation that the threshold comes from."""
# Multiply-adds of a fit by default: some five minutes of one core. A tenth of the patches of all categories of MVTec AD
# but the largest take less, with a wide ResNet-50 at 224 pixels.
_WORK = 1 << 43
_BESIDE = 1.6  # time of a fit over that of its products, as measured: sorting, sums, and what does not fit the cache
_TOLD = 60  # seconds that nobody minds


def bounded(fraction: float, patches: int, channels: int) -> float:
    """The fraction of the patches that a bank keeps, at most ``fraction``, so that a fit stays within bounds."""
    return min(fraction, _WORK / _multiply_adds(1.0, patches, channels))


def tell(fraction: float, patches: int, channels: int, seconds: float) -> None:
    """Warns with `SlowWarning` of a fit that takes more than a minute, and says how long.

    Args:
        seconds: what the backbone takes for all images.
    """
    seconds += _BESIDE * _multiply_adds(fraction, patches, channels) / _rate()
    if seconds > _TOLD:
        warnings.warn(
            f"fitting compares {patches:,} patches with {round(fraction * patches):,} prototypes and takes about "
            f"{_in_words(seconds)} on this machine; fewer or smaller images (size) or a smaller coreset (coreset) "
            "are faster.",
            SlowWarning,
            stacklevel=2,
        )


def _multiply_adds(fraction: float, patches: int, channels: int) -> float:
    """Of the coresets of the folds and of all, in their grid, and of the search for the nearest of held-out patches."""
    held_in = 1 - 1 / FOLDS
    pairs = fraction * float(patches) ** 2
    return pairs * ((1 + FOLDS * held_in**2) * DIMENSIONS + held_in * channels)


def _rate() -> float:
    """Multiply-adds a second of this machine, now."""
    a = torch.ones(1024, DIMENSIONS)
    b = torch.ones(DIMENSIONS, 512)
    start = time.perf_counter()
    rounds = 32  # some tenths of a second, in which a busy machine shows that it is
    for _ in range(rounds):
        torch.mm(a, b).amin(1)
    return rounds * a.numel() * b.shape[1] / (time.perf_counter() - start)


def _in_words(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
