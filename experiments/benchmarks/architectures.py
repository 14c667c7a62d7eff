"""The engine on the architectures that people use: does it work, is it exact, what does it cost.

For each network one image, 4 x 4 patches, and of both families of maps (the default LRP composite, and ``rescale`` with
a blurred reference):

* *arrives*: the fraction of the output that LRP brings to the patches; the rest is the constant's;
* *sum*: largest deviation of the sum of components from what is explained, over the largest of that; of LRP with the
  constant;
* *adjoint*: distance of ``<r, push(t)>`` from ``<pull(r), t>`` over the size of its terms;
* *cost*: time of a processor thread for the map and its push over that for 16 plain passes in a batch, the floor, in
  the faster memory format. On images as small as these it is mostly that of many small operations: `engine.py` measures
  real sizes.

Prints a row as each network is done, and writes the table. Networks of libraries that are not installed are left out.

    python experiments/benchmarks/architectures.py [--only timm:] [--out ARCHITECTURES.md]
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # the checkout, wherever this is started from

import torch
from torch import Tensor, nn

from chinspect.relevance import RelevanceMap, patches, relevance_map, trace
from experiments.benchmarks._architectures import Architecture, architectures, calibrate, image
from experiments.benchmarks._timing import timed
from experiments.study import option, read_options

GRID = 4
OPTIONS = (option("only", ""), option("out", ""))
HEAD = (
    "| network | arrives | LRP: sum | adjoint | cost | rescale: sum | adjoint | cost |",
    "|---|---|---|---|---|---|---|---|",
)


@dataclass(frozen=True)
class Exactness:
    """How exact a map is, and what it costs."""

    arrives: float
    sum_error: float
    adjoint_error: float
    cost: float


def main() -> None:
    """Goes through all networks whose name contains ``--only``."""
    options = read_options(__doc__, OPTIONS)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    start = time.perf_counter()
    rows = []
    for name, architecture in architectures().items():
        if options.only in name:
            rows.append(row(name, architecture))
            print(rows[-1], flush=True)
    print(f"{len(rows)} networks in {time.perf_counter() - start:.0f} s")
    if options.out:
        Path(options.out).write_text("\n".join([*HEAD, *rows]) + "\n", encoding="utf-8")


def row(name: str, architecture: Architecture) -> str:
    """A row of the table; where the network fails, why."""
    try:
        torch.manual_seed(0)
        model = calibrate(architecture.build(), architecture.shape)
        x = image(architecture.shape).to(architecture.dtype)
        lrp, rescale = measure(model, x)
    except Exception as error:  # whatever a library or the engine raises is a result here
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return f"| {name} | {type(error).__name__}: {reason} | | | | | | |"
    numbers = [f"{lrp.arrives:.2f}"]
    for exactness in (lrp, rescale):
        numbers += [f"{exactness.sum_error:.0e}", f"{exactness.adjoint_error:.0e}", f"{exactness.cost:.1f}"]
    return f"| {name} | " + " | ".join(numbers) + " |"


def measure(model: nn.Module, x: Tensor) -> Sequence[Exactness]:
    """LRP and rescale at an image (1, C, H, W)."""
    graph = trace(model, x)
    floor = min(
        pass_seconds(model, x, memory_format) for memory_format in (torch.contiguous_format, torch.channels_last)
    )
    maps = [lambda: relevance_map(graph, x), lambda: relevance_map(graph, x, "rescale")]
    results = []
    for build in maps:
        seconds, mapped = timed(build, clock=time.process_time)
        results.append(exactness(mapped, floor, seconds))
    return results


def pass_seconds(model: nn.Module, x: Tensor, memory_format: torch.memory_format) -> float:
    """Of as many images as there are patches."""
    batch = x.expand(GRID**2, -1, -1, -1).contiguous(memory_format=memory_format)
    with torch.no_grad(), torch.compiler.set_stance("force_eager"):
        return timed(lambda: model(batch), repeat=2, clock=time.process_time)[0]


def exactness(mapped: RelevanceMap, floor: float, build_seconds: float) -> Exactness:
    """Of the push and the pull by patches; what building the map takes counts as well."""
    components = patches(max(mapped.x.shape[2:]) // GRID)
    seconds, table = timed(lambda: mapped.push(components), clock=time.process_time)
    explained = mapped.explained[0].double()
    total = table.double().sum(0)
    constant = mapped.constant[0].double() if mapped.composite.name != "rescale" else 0
    relevance = torch.randn(mapped.explained.shape, generator=torch.Generator().manual_seed(1)) * mapped.explained
    weights = torch.where(mapped.explained == 0, 0, relevance / mapped.explained)[0]
    pulled = mapped.pull_components(relevance, components)[0]
    size = float((table.abs() @ weights.abs()).norm())
    return Exactness(
        float((total * explained).sum() / explained.square().sum()),
        float((total + constant - explained).abs().max() / explained.abs().max()),
        float((pulled - table @ weights).norm()) / size,
        (seconds + build_seconds) / floor,
    )


if __name__ == "__main__":
    main()
