"""How often SpRAy flags something where nothing is, and which artefacts it finds.

    python experiments/benchmarks/spray_power.py [--nulls 500] [--repeats 20] [--out DIR] [--smoke]

Null sets: objects of a few smooth parts anywhere, smooth random fields, objects that share the middle, white noise,
objects of which one in ten is of another kind, and a third of the maps repeated. Power: a mark in a corner, a border, a
line of text, over their fraction of the relevance and their prevalence in 250 maps; then with a jitter of a cell, and
in 1300 maps. A set is *found* where a flagged candidate has an F1 of at least 0.9; ``recall`` and ``precision`` are of
the flagged candidate with the largest F1, ``false`` counts flagged candidates most of whose members carry nothing.

Every line of ``cases.csv`` is written when it is measured; a run that was interrupted goes on behind the last one.
``power.csv`` and ``power.png`` are the curves, ``nulls.csv`` the rates of false alarms with their 95 % intervals
(Wilson). The same script runs in an older checkout, and tells what was found before a change.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # the checkout, wherever this is started from

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from chinspect.files import output_folder
from chinspect.intervals import wilson
from chinspect.spray import SpRAy
from experiments.benchmarks._maps import ARTEFACTS, NULLS, blobs, f1, null_set, planted
from experiments.benchmarks._timing import timed
from experiments.study import option, read_options, save_figure, write_table

Case = tuple[str, int, float, float, int, int]
"""One value for each of `COLUMNS`; ``share`` is the fraction of the relevance on the artefact."""
FOUND = 0.9
"""F1 of a set that counts as found."""
COLUMNS = ["kind", "maps", "prevalence", "share", "jitter", "repeat"]
OPTIONS = (
    option("nulls", 500),
    option("repeats", 20),
    option("surrogates", 99),
    option("maps", 250),
    option("null-maps", 150),
    option("artefacts", list(ARTEFACTS)),
    option("shares", [0.1, 0.15, 0.23, 0.35, 0.5], "of the relevance, on the artefact", type=float),
    option("prevalences", [0.04, 0.08, 0.1, 0.2], type=float),
    option("jobs", 1),
)
SMOKE = {
    "nulls": 6,
    "repeats": 1,
    "surrogates": 9,
    "maps": 60,
    "null_maps": 60,
    "artefacts": ["corner"],
    "shares": [0.23, 0.5],
}


def main() -> None:
    """Measures every case that the table lacks, and writes both summaries."""
    options = read_options(__doc__, OPTIONS, out="results/spray_power", smoke=SMOKE)
    out = output_folder(options.out)
    path = out / "cases.csv"
    done = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=COLUMNS)
    seen = set(done[COLUMNS].itertuples(index=False, name=None))
    for case in cases(options):
        if case not in seen:
            row = pd.DataFrame([dict(zip(COLUMNS, case, strict=True)) | measure(case, options)])
            row.to_csv(path, mode="a", header=not path.exists(), index=False)
    table = pd.read_csv(path)
    for name, summary in (("nulls", nulls(table[table.share == 0])), ("power", power(table[table.share > 0]))):
        write_table(summary, out, name)
        print(f"\n{name}\n{summary.round(2).to_string(index=False)}", flush=True)
    save_figure(curves(table[(table.share > 0) & (table.jitter == 0)]), out / "power.png")


def cases(options: argparse.Namespace) -> Iterator[Case]:
    """The grid and the nulls in turn, so that a run that is stopped has some of both; then jitter, and more maps."""
    pure = [(NULLS[i % len(NULLS)], options.null_maps, 0.0, 0.0, 0, i // len(NULLS)) for i in range(options.nulls)]
    each = -(-options.nulls // options.repeats)
    for repeat in range(options.repeats):
        for kind, prevalence, share in product(options.artefacts, options.prevalences, options.shares):
            yield kind, options.maps, prevalence, share, 0, repeat
        yield from pure[repeat * each : (repeat + 1) * each]
    for repeat, kind, prevalence in product(range(options.repeats), options.artefacts, options.prevalences):
        yield kind, options.maps, prevalence, 0.5, 1, repeat
    if not options.smoke:
        for repeat, kind, prevalence in product(range(options.repeats // 5), options.artefacts, options.prevalences):
            yield kind, 1300, prevalence, 0.23, 0, repeat


def nulls(table: pd.DataFrame) -> pd.DataFrame:
    """How often something is flagged in each kind of null sets, and in all."""
    rows = []
    for kind, group in [*table.groupby("kind"), ("all", table)]:
        low, high = wilson(int((group.flagged > 0).sum()), len(group))
        rate = (group.flagged > 0).mean()
        rows.append({"kind": kind, "sets": len(group), "rate": rate, "rate_low": low, "rate_high": high})
    return pd.DataFrame(rows)


def power(table: pd.DataFrame) -> pd.DataFrame:
    """What is found of each kind of artefact, in the mean over repeats."""
    groups = table.groupby(["kind", "maps", "jitter", "share", "prevalence"])
    columns = ["found", "f1", "recall", "precision", "false", "seconds"]
    return groups[columns].mean().assign(repeats=groups.size()).reset_index()


def curves(table: pd.DataFrame) -> Figure:
    """Mean F1 over the fraction of the relevance, a line for each prevalence, a panel for each kind of artefact."""
    kinds = list(dict.fromkeys(table.kind))
    figure = Figure(figsize=(3.2 * len(kinds), 2.8), layout="constrained")
    for axes, kind in zip(np.ravel(figure.subplots(1, len(kinds), sharey=True)), kinds, strict=True):
        means = table[table.kind == kind].groupby(["prevalence", "share"]).f1.mean()
        for prevalence, line in means.groupby(level=0):
            axes.plot(line.index.get_level_values(1), line, "o-", label=f"in {prevalence:.0%} of maps")
        axes.set(title=kind, xlabel="fraction of the relevance", ylim=(-0.03, 1.03))
        axes.axhline(FOUND, color="grey", linewidth=0.8)
        axes.legend(fontsize=7)
    return figure


def measure(case: Case, options: argparse.Namespace) -> dict[str, float]:
    """One analysis."""
    kind, n, prevalence, fraction, jitter, repeat = case
    rng = np.random.default_rng([n, int(prevalence * 100), int(fraction * 100), jitter, repeat, sum(map(ord, kind))])
    if fraction == 0:
        maps = null_set(kind, n, rng)
        members = np.empty(0, dtype=np.int64)
    else:
        maps, members = planted(blobs(n, rng), kind, prevalence, fraction, rng, jitter=jitter)
    spray = SpRAy(n_surrogates=options.surrogates, n_jobs=options.jobs, random_state=repeat)
    seconds, _ = timed(lambda: spray.fit(maps))
    p = min((c.p_value for c in spray.candidates_), default=1.0)
    row = {"flagged": len(spray.flagged_), "p_value": p} | agreement([c.indices for c in spray.flagged_], members)
    return row | {"seconds": round(seconds, 1)}


def agreement(sets: list[NDArray[np.int64]], members: NDArray[np.int64]) -> dict[str, float]:
    """How well flagged sets agree with the carriers; nothing flagged has a recall of 0 and a precision of 1."""
    if len(members) == 0 or not sets:
        return {"f1": 0.0, "recall": 0.0, "precision": 1.0, "false": len(sets), "found": False}
    best = max(sets, key=lambda guess: f1(guess, members))
    common = len(np.intersect1d(best, members))
    false = sum(2 * len(np.intersect1d(guess, members)) <= len(guess) for guess in sets)
    value = f1(best, members)
    row = {"f1": value, "recall": common / len(members), "precision": common / len(best), "false": false}
    return row | {"found": value >= FOUND}


if __name__ == "__main__":
    main()
