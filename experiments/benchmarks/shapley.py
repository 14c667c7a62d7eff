"""Samplers of vector-valued Shapley values at an equal number of evaluations, and what a pair costs elsewhere.

Photographs, 49 patches of 32 pixels, blurred reference, EfficientNet-Lite0 in ONNX Runtime. The error of a sampler is
told beside the mean of two long runs, one of each kind (antithetic permutations, whose estimate has no bias, and the
package's): ``correlation`` of the patches' values for the similarity to the next photograph, and ``error``, the squared
error of the table (P, D) over its squared deviation from the mean patch.

* permutations: antithetic pairs, marginal contributions averaged (Castro et al. 2009, Mitchell et al. 2022);
* rotated: as permutations, each order also by a quarter turn, a half, and three quarters, so that every patch has been
  early and late;
* kernel: KernelSHAP with complements as published, sizes and sets at random by the Shapley kernel;
* leverage: sizes uniform, the complement beside each (Musco and Witter 2024);
* first and last: the mean of the contribution to the empty and to the full image, 2 P evaluations;
* package: `chinspect.relevance.shapley_map`.

Prints one JSON document.

    python experiments/benchmarks/shapley.py --photographs DIR [--count 3] [--long 4000] [--repeat 3]
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))  # the checkout, wherever this is started from

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from chinspect.encoders import load_encoder
from chinspect.relevance import Partition, Respond, reference_images, shapley_map
from experiments.faithfulness.photographs import PATCHES, draw_photographs, onnx_session
from experiments.study import option, read_options

P = 49
BUDGETS = (98, 196, 392, 980)
OPTIONS = (
    option("photographs", None, "a folder of images with labels.csv", type=Path),
    option("model", "efficientnet-lite0"),
    option("count", 3),
    option("long", 4000, "evaluations of each of the two long runs"),
    option("repeat", 3, "estimates of each sampler, image and number of evaluations"),
)
Values = NDArray[np.float64]
Answers = Callable[[NDArray[np.bool_]], Values]
"""From sets (n, P) to outputs (n, D)."""


def main() -> None:
    """Runs everything and prints the document."""
    options = read_options(__doc__, OPTIONS, seed=0)
    torch.set_num_threads(1)
    encoder = load_encoder(options.model)
    respond = onnx_session(encoder)
    images = [encoder.prepare(file) for file in draw_photographs(options.photographs, options.count, options.seed).ring]
    start = time.perf_counter()
    result = {"samplers": compared(respond, images, options.long, options.repeat)}
    result["a_pair"] = costs(P, encoder.module(images[0]).shape[1])
    result["seconds"] = round(time.perf_counter() - start)
    print(json.dumps(result, indent=2))


def compared(respond: Respond, images: list[Tensor], long: int, repeat: int) -> list[dict[str, Any]]:
    """A row a sampler and number of evaluations, means over images and repetitions."""
    changes = [_change(respond, x) for x in images]
    rows: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for number, x in enumerate(images):
        other = changes[(number + 1) % len(images)]
        ask = _answers(respond, x)
        unbiased = permutations(ask, long, np.random.default_rng(10_000 + number))
        package = _package(respond, x, long, 10_000)
        truth = (unbiased + package) / 2
        rows.setdefault(("long runs, one beside the other", long), []).append(_judged(unbiased, package, other))
        for budget in BUDGETS:
            for seed in range(repeat):
                for name, sampler in SAMPLERS.items():
                    if name == "first and last" and budget != BUDGETS[0]:
                        continue
                    estimate = sampler(ask, budget, np.random.default_rng(seed))
                    rows.setdefault((name, budget), []).append(_judged(estimate, truth, other))
                if budget > 4 * P:
                    estimate = _package(respond, x, budget, seed)
                    rows.setdefault(("package", budget), []).append(_judged(estimate, truth, other))
    return [_row(*key, np.array(values)) for key, values in rows.items()]


def permutations(ask: Answers, evaluations: int, rng: np.random.Generator, *, turns: int = 1) -> Values:
    """Marginal contributions in orders and their reverses; each order also turned so many times around."""
    ends = ask(np.stack([np.ones(P, bool), np.zeros(P, bool)]))
    orders = max(1, (evaluations - 2) // (2 * (P - 1)))
    values = np.zeros((P, ends.shape[1]))
    for number in range(orders):
        if number % turns == 0:
            base = rng.permutation(P)
        order = np.roll(base, number % turns * P // turns)
        ranks = order.argsort()
        sets = ranks < np.arange(1, P)[:, None]
        answers = ask(np.concatenate([sets, ~sets]))
        forward = np.concatenate([ends[1:], answers[: P - 1], ends[:1]])
        backward = np.concatenate([ends[:1], answers[P - 1 :], ends[1:]])
        values[order] += (np.diff(forward, axis=0) - np.diff(backward, axis=0)) / 2
    return values / orders


def regression(ask: Answers, evaluations: int, rng: np.random.Generator, *, power: float) -> Values:
    """KernelSHAP on sets and complements, sizes at random in proportion to ``(s (P - s))^-power``."""
    ends = ask(np.stack([np.ones(P, bool), np.zeros(P, bool)]))
    total = ends[0] - ends[1]
    count = (evaluations - 2) // 2
    sizes = np.arange(1, P)
    density = (sizes * (P - sizes)) ** -power
    drawn = rng.choice(sizes, count, p=density / density.sum())
    sets = rng.random((count, P)).argsort(1).argsort(1) < drawn[:, None]
    answers = ask(np.concatenate([sets, ~sets]))
    differences = answers[:count] - answers[count:] - np.outer(2 * drawn / P - 1, total)
    signs = np.where(sets, 1.0, -1.0)
    root = np.sqrt((drawn * (P - drawn)) ** -(1 - power))[:, None]
    centred = (signs - signs.mean(1, keepdims=True)) * root
    result: Values = total / P + np.linalg.pinv(centred, rcond=1e-10) @ (differences * root)
    return result


def first_and_last(ask: Answers, _evaluations: int, _rng: np.random.Generator) -> Values:
    """Contributions to the empty and to the full image; what is missing of the total is spread evenly."""
    eye = np.eye(P, dtype=bool)
    answers = ask(np.concatenate([eye, ~eye, np.ones((1, P), bool), np.zeros((1, P), bool)]))
    full, empty = answers[-2:]
    values = (answers[:P] - empty + full - answers[P : 2 * P]) / 2
    result: Values = values + (full - empty - values.sum(0)) / P
    return result


SAMPLERS: Mapping[str, Callable[[Answers, int, np.random.Generator], Values]] = MappingProxyType(
    {
        "permutations": permutations,
        "rotated": lambda ask, n, rng: permutations(ask, n, rng, turns=4),
        "kernel": lambda ask, n, rng: regression(ask, n, rng, power=1.0),
        "leverage": lambda ask, n, rng: regression(ask, n, rng, power=0.0),
        "first and last": first_and_last,
    }
)


def costs(patches: int, outputs: int) -> dict[str, Any]:
    """Passes through the network for one pair of images, and for all pairs of 1,000 images.

    FIxLIP (Baniecki et al. 2025, arXiv:2508.05430) spends 2^19 coalitions a pair. Asked jointly, each is a pass of both
    encoders; its cross-modal estimator asks sets of either image alone and multiplies, as the table of Shapley values
    does: then about 2^9.5 passes of each. exCLIP (Moeller et al. 2025) multiplies integrated Jacobians: a backward pass
    for each output and step, 100 steps by default.
    """
    steps = 100
    package = 8 * patches + 2
    crossed = round(2**9.5)
    images = 1_000
    pairs = images * (images - 1) // 2
    return {
        "package": {"a_pair": 2 * package, "all_pairs": images * package},
        "FIxLIP, 2^19 joint coalitions": {"a_pair": 2 * 2**19, "all_pairs": pairs * 2 * 2**19},
        "FIxLIP, 2^19 crossed coalitions": {"a_pair": 2 * crossed, "all_pairs": images * crossed},
        "exCLIP, backward": {"a_pair": 2 * outputs * steps, "all_pairs": images * outputs * steps},
    }


def _answers(respond: Respond, x: Tensor) -> Answers:
    partition = PATCHES.on(x.shape)
    assert isinstance(partition, Partition)
    x0 = reference_images("blur", x)[0]

    def ask(sets: NDArray[np.bool_]) -> Values:
        chunks = [respond(partition.mixed(x, x0, chunk)) for chunk in torch.from_numpy(sets).split(32)]
        return torch.cat(chunks).double().numpy()

    return ask


def _change(respond: Respond, x: Tensor) -> Values:
    full, empty = _answers(respond, x)(np.stack([np.ones(P, bool), np.zeros(P, bool)]))
    return full - empty


def _package(respond: Respond, x: Tensor, evaluations: int, seed: int) -> Values:
    mapped = shapley_map(respond, x, PATCHES, evaluations=evaluations, random_state=seed)
    values: Values = mapped.values.double().numpy()
    return values


def _judged(estimate: Values, truth: Values, other: Values) -> tuple[float, float]:
    """Correlation for the similarity to another image, and error of the table."""
    error = ((estimate - truth) ** 2).sum() / ((truth - truth.mean(0)) ** 2).sum()
    return float(np.corrcoef(estimate @ other, truth @ other)[0, 1]), float(error)


def _row(name: str, evaluations: int, values: Values) -> dict[str, Any]:
    correlation, error = values.mean(0)
    spread = float(values[:, 0].std())
    return {
        "sampler": name,
        "evaluations": evaluations,
        "correlation": round(correlation, 3),
        "spread": round(spread, 3),
        "error": round(error, 3),
    }


if __name__ == "__main__":
    main()
