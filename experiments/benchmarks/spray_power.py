"""How often SpRAy flags something where nothing is, and which artefacts it finds.

    python experiments/benchmarks/spray_power.py [--nulls 200] [--repeats 4] [--out DIR] [--smoke]

Null sets: objects of a few smooth parts anywhere, smooth random fields, objects that share the middle, white noise,
objects of which one in ten is of another kind, and a third of the maps repeated. Planted artefacts: a mark in a corner,
a border, a line of text, at half and at a quarter of the relevance, fixed and with a jitter of a cell. A set is *found*
where a flagged candidate has an F1 of at least 0.9. Every line is written when it is measured; a run that was
interrupted goes on behind the last one.
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

from chinspect.files import output_folder
from chinspect.spray import SpRAy
from experiments.benchmarks._maps import ARTEFACTS, NULLS, blobs, f1, null_set, planted
from experiments.benchmarks._timing import timed
from experiments.study import option, read_options

Case = tuple[str, int, float, float, int, int]
"""One value for each of `COLUMNS`; ``share`` is the fraction of the relevance on the artefact."""
COLUMNS = ["kind", "maps", "prevalence", "share", "jitter", "repeat"]
OPTIONS = (
    option("nulls", 200),
    option("repeats", 4),
    option("surrogates", 99),
    option("null-maps", 300),
    option("jobs", 1),
)
SMOKE = {"nulls": 6, "repeats": 1, "surrogates": 9, "null_maps": 60}


def main() -> None:
    """Measures every case that the table lacks, and prints both summaries."""
    options = read_options(__doc__, OPTIONS, out="results/spray_power", smoke=SMOKE)
    path = output_folder(options.out) / "cases.csv"
    done = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=COLUMNS)
    seen = set(done[COLUMNS].itertuples(index=False, name=None))
    for case in cases(options):
        if case not in seen:
            row = pd.DataFrame([dict(zip(COLUMNS, case, strict=True)) | measure(case, options)])
            row.to_csv(path, mode="a", header=not path.exists(), index=False)
    table = pd.read_csv(path)
    null = table[table.share == 0].groupby("kind")
    print(null.agg(sets=("flagged", "size"), flagged=("flagged", lambda f: (f > 0).sum()), lowest=("p_value", "min")))
    print(f"all null sets: {(table[table.share == 0].flagged > 0).mean():.3f} have a flagged candidate")
    power = table[table.share > 0].groupby(["share", "jitter", "kind", "maps", "prevalence"])
    print(power.agg(found=("found", "mean"), f1=("f1", "mean"), repeats=("found", "size")).round(2).to_string())


def cases(options: argparse.Namespace) -> Iterator[Case]:
    """Artefacts of half of the relevance, nulls, then fainter and jittered artefacts."""
    sizes = (60,) if options.smoke else (300, 1300)
    prevalences = (0.2,) if options.smoke else (0.02, 0.08, 0.2)
    for repeat, kind, n, prevalence in product(range(options.repeats), ARTEFACTS, sizes, prevalences):
        if n < 1000 or repeat < options.repeats // 2:
            yield kind, n, prevalence, 0.5, 0, repeat
    for i in range(options.nulls):
        yield NULLS[i % len(NULLS)], options.null_maps, 0.0, 0.0, 0, i // len(NULLS)
    for repeat, kind, prevalence in product(range(options.repeats // 2), ARTEFACTS, prevalences):
        yield kind, sizes[0], prevalence, 0.25, 0, repeat
        yield kind, sizes[0], prevalence, 0.5, 1, repeat


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
    best = max((f1(c.indices, members) for c in spray.flagged_), default=0.0) if len(members) else 0.0
    p = min((c.p_value for c in spray.candidates_), default=1.0)
    row = {"flagged": len(spray.flagged_), "p_value": p, "f1": best, "found": best >= 0.9}
    return row | {"seconds": round(seconds, 1)}


if __name__ == "__main__":
    main()
