"""What the charts of a page are drawn from: points, bins, and positions on an axis, as JSON values."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chinspect.report.blocks import Histogram, Intervals, PairViewer, Scatter

Array = NDArray[np.floating[Any]]
_BINS = 40  # of a histogram: a bar is then wide enough for a phone
_TICKS = 5
_SHOWN = 10_000  # points: an SVG of more is slow
_STEPS = 32_767  # of relevance as 16-bit integers: rounding stays below the three digits that are told


def forest(block: Intervals) -> dict[str, Any]:
    """Rows with the positions of estimate and interval on a common axis, in percent, and the axis' ticks."""
    rows = block.rows
    values = rows[["estimate", "low", "high"]].to_numpy(float)
    finite = np.append(values[np.isfinite(values)], 0.0 if block.zero is None else block.zero)
    ticks = nice_ticks(float(finite.min()), float(finite.max()))
    low = min(float(finite.min()), ticks[0])
    high = max(float(finite.max()), ticks[-1])
    margin = 0.03 * (high - low)  # so that a mark at the end is not cut

    def position(value: float) -> float:
        clipped = min(max(value, low), high)
        return round(100 * (clipped - low + margin) / (high - low + 2 * margin), 3)

    return {
        "zero": None if block.zero is None else position(block.zero),
        "ticks": [(position(tick), f"{tick:g}") for tick in ticks],
        "rows": [
            {
                "name": str(row["name"]),
                "control": bool(row["control"]),
                "at": position(row["estimate"]) if np.isfinite(row["estimate"]) else None,
                "start": position(row["low"]) if not np.isnan(row["low"]) else None,
                "end": position(row["high"]) if not np.isnan(row["high"]) else None,
                "told": _told(row["estimate"], row["low"], row["high"]),
            }
            for row in rows.to_dict("records")
        ],
    }


def nice_ticks(low: float, high: float) -> list[float]:
    """About five round numbers that include a range; steps are 1, 2 or 5 times a power of ten."""
    width = (high - low) or abs(high) or 1.0
    power = 10 ** np.floor(np.log10(width / _TICKS))
    step = next(float(factor * power) for factor in (1, 2, 5, 10) if width / (factor * power) <= _TICKS)
    first = int(np.floor(low / step + 1e-9))  # rounding would add a step before a number that is a tick
    last = max(int(np.ceil(high / step - 1e-9)), first + 1)  # of a single number: an axis has a length
    return [float(f"{step * index:.12g}") for index in range(first, last + 1)]


def histogram(block: Histogram) -> dict[str, Any]:
    """Fractions of each group by bins that all have in common, and what lies at the threshold or above it."""
    groups = {name: np.asarray(values, dtype=float) for name, values in block.groups.items()}
    finite = {name: values[np.isfinite(values)] for name, values in groups.items()}
    extra = [] if block.threshold is None else [block.threshold]
    every = np.concatenate([*finite.values(), extra])
    edges = np.histogram_bin_edges(every, _BINS, _span(every))
    rows = []
    for name, values in finite.items():
        counts = np.histogram(values, edges)[0]
        rows.append(
            {
                "name": str(name),
                "count": len(values),
                "fractions": _rounded(counts / max(len(values), 1)),
                "median": f"{np.median(values):.4g}" if len(values) else "",
                "above": _above(values, block.threshold),
            }
        )
    return {
        "axis": block.axis,
        "centres": _rounded((edges[1:] + edges[:-1]) / 2),
        "width": float(edges[1] - edges[0]),
        "threshold": block.threshold,
        "groups": rows,
    }


def _span(values: Array) -> tuple[float, float]:
    """From the least to the largest value; wider where these are too near to each other for bins between them."""
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    margin = 1e-9 * max(abs(low), abs(high))
    return (low, high) if high - low > margin else (low - 0.5, high + 0.5)


def scatter(block: Scatter) -> tuple[dict[str, Any], list[int], int]:
    """The points that are shown, their indices, and how many could be.

    Of more than 10,000, all that belong to a group come first, and the rest is thinned out evenly.
    """
    x, y = (np.asarray(values, dtype=float) for values in (block.x, block.y))
    usable = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    inside = _thinned([i for i in usable.tolist() if block.groups[i]], _SHOWN)
    rest = _thinned([i for i in usable.tolist() if not block.groups[i]], _SHOWN - len(inside))
    shown = sorted(inside + rest)
    titles = list(dict.fromkeys(block.groups[i] for i in shown if block.groups[i]))
    numbers: Mapping[str, int] = {title: number for number, title in enumerate(titles)}
    data = {
        "x": _rounded(x[shown]),
        "y": _rounded(y[shown]),
        "names": [str(block.names[i]) for i in shown],
        "groups": titles,
        "group": [numbers.get(block.groups[i], -1) for i in shown],
    }
    return data, shown, len(usable)


def pair(block: PairViewer) -> dict[str, Any]:
    """The relevance of all pairs of patches by bands, as 16-bit integers in base64, little-endian."""
    bands = []
    for name, relevance in block.relevance.items():
        values = np.nan_to_num(np.asarray(relevance, dtype=float))
        largest = float(np.abs(values).max(initial=0.0)) or 1.0
        integers = np.rint(values / largest * _STEPS).astype("<i2")
        bands.append(
            {
                "name": str(name),
                "largest": largest,
                "shape": list(values.shape),
                "values": base64.b64encode(integers.tobytes()).decode("ascii"),
            }
        )
    return {"names": [str(name) for name in block.names], "similarity": float(block.similarity), "bands": bands}


def _told(estimate: float, low: float, high: float) -> str:
    if np.isnan(estimate):
        return ""
    interval = "" if np.isnan(low) or np.isnan(high) else f" [{low:.3g}, {high:.3g}]"
    return f"{estimate:.3g}{interval}"


def _above(values: Array, threshold: float | None) -> str:
    if threshold is None or not len(values):
        return ""
    return f"{float(np.mean(values >= threshold)):.1%}"


def _thinned(indices: list[int], count: int) -> list[int]:
    """At most ``count`` of them, evenly."""
    if len(indices) <= count:
        return indices
    return [indices[i] for i in np.linspace(0, len(indices) - 1, count).astype(int)]


def _rounded(values: Array | Sequence[float]) -> list[float]:
    """Five digits: a pixel is a thousandth of a chart."""
    return [float(f"{value:.5g}") for value in values]
