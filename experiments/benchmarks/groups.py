"""Seconds and memory of pseudo-groups over the number and the size of maps, and whether they find what is planted.

    python experiments/benchmarks/groups.py [--counts 1000 10000 100000] [--sides 28] [--smoke]

Maps of objects of a few smooth bumps, of which 2 % have two fifths of their relevance on a mark in a corner. Every case
runs in a process of its own, so that its peak of memory is its own; *floor* is the peak before the grouping, and where
both are the same, grouping took no more than drawing the maps did.
``precision`` is that of the group that holds most of the marked maps of one of the classes.
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))  # the checkout, wherever this is started from

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from chinspect.groups import group_quality, pseudo_groups, true_groups
from experiments.benchmarks._maps import SIDE, blobs, planted
from experiments.benchmarks._timing import timed
from experiments.study import option, read_options

OPTIONS = (
    option("counts", [1_000, 3_000, 10_000, 30_000, 100_000], type=int),
    option("sides", [28], "pixels along a side of a map", type=int),
)


def main() -> None:
    """Prints a row a case."""
    options = read_options(__doc__, OPTIONS, smoke={"counts": [300]})
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        cases = [(count, side) for side in options.sides for count in options.counts]
        rows = list(pool.imap(measure, cases, chunksize=1))
    print(pd.DataFrame(rows).to_string(index=False, float_format=lambda value: f"{value:.2f}"))


def measure(case: tuple[int, int]) -> dict[str, Any]:
    """One case."""
    count, side = case
    maps, marked = data(count, side)
    labels = np.arange(count) % 2
    floor = peak()
    seconds, groups = timed(lambda: pseudo_groups(maps, labels))
    quality = group_quality(groups, true_groups(labels, np.isin(np.arange(count), marked)))
    return {
        "maps": count,
        "side": side,
        "seconds": seconds,
        "peak GiB": peak(),
        "floor GiB": floor,
        "groups": quality["n_groups"],
        "recall": quality["worst_recall"],
        "precision": quality["worst_precision"],
    }


def data(count: int, side: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Maps (count, side, side), and which are marked."""
    rng = np.random.default_rng(0)
    base = blobs(min(count, 10_000), rng)
    turned = [np.roll(base, shift, 2) for shift in range(-(-count // len(base)))]  # drawing more would take longer
    maps, marked = planted(np.concatenate(turned)[:count], "corner", 0.02, 0.4, rng)
    cells = np.arange(side) * SIDE // side
    return maps[:, cells][:, :, cells].astype(np.float32), marked


def peak() -> float:
    """The largest memory of this process so far, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)


if __name__ == "__main__":
    main()
