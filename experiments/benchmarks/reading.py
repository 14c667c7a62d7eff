"""What it takes to read a network's graph beside torch, in one run.

Processor seconds, one thread, the least of some runs after a first one:

* ``floor``: ``torch.export`` alone, which reads the operations as the network calls them;
* ``written out``: and then ``run_decompositions``, which writes operations in place and all others but those with
  handlers as simpler ones, whether there are any or not;
* ``trace``: `chinspect.relevance.trace`, which also folds the graph and compares it with the network.

Graphs on disk are not used. Weights are those of the zoo, or random (timm:NAME); they do not matter here.

    python experiments/benchmarks/reading.py [--networks tiny-clip efficientnet-lite0 timm:vit_small_patch16_224 ...]
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # a second thread mostly waits where others use the machine
sys.path.insert(0, str(Path(__file__).parents[2]))  # the checkout, wherever this is started from

import torch

from chinspect.relevance import trace
from chinspect.relevance._stored import VARIABLE
from chinspect.relevance._tracing import _decompositions, _kept
from experiments.benchmarks._timing import timed
from experiments.benchmarks.embed import network
from experiments.study import option, read_options

NETWORKS = ["tiny-clip", "efficientnet-lite0", "timm:vit_small_patch16_224", "timm:convnext_atto", "timm:resnet50"]
OPTIONS = (option("networks", NETWORKS),)
REPEATS = 3


def main() -> None:
    """Times everything and prints the table."""
    options = read_options(__doc__, OPTIONS)
    os.environ.pop(VARIABLE, None)
    torch.set_num_threads(1)
    table = _decompositions(_kept())
    print(f"{'network':28s} {'floor':>7s} {'written out':>12s} {'trace':>7s} {'written out / trace':>20s}")
    for name in options.networks:
        encoder = network(name)
        side = encoder.preprocessing.size
        model, x = encoder.module, torch.randn(1, 3, side, side)
        with torch.no_grad():
            programs: list[Callable[[], object]] = [
                lambda: torch.export.export(model, (x,)),  # noqa: B023
                lambda: torch.export.export(model, (x,)).run_decompositions(table),  # noqa: B023
                lambda: trace(model, x),  # noqa: B023
            ]
            for program in programs:
                program()
            floor, written, ours = (timed(program, REPEATS, time.process_time)[0] for program in programs)
        print(f"{name:28s} {floor:7.2f} {written:12.2f} {ours:7.2f} {written / ours:20.2f}", flush=True)


if __name__ == "__main__":
    main()
