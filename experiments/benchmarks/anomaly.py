"""Anomaly detectors beside the usual formulations, in one run: D2Neighbors here, PatchCore in `_patchcore_parts`.

A bank of 209 images of 224 px (as many as MVTec's bottle has), aligned object with noise, 8 bits, scored in a batch.
The usual formulations are those of the released code of Kauffmann et al. 2025: ``torch.cdist(x, u) ** 2`` for the
score, and for the maps of three bands the gradient on the bank by autograd, filtered by a full DCT. Errors are
relative to float64. Prints one JSON document.

    python experiments/benchmarks/anomaly.py [--threads 2] [--images 32] [--only d2neighbors]
"""

from __future__ import annotations

import json
import platform
import resource
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))  # the checkout, wherever this is started from

import torch
from torch import Tensor

from chinspect.anomaly import D2Neighbors, explain_anomaly
from chinspect.mitigate import Blur
from chinspect.relevance import dct_matrix
from experiments.benchmarks._patchcore_parts import measure as measure_patchcore
from experiments.benchmarks._timing import timed
from experiments.study import option, read_options

BANK = 209
SIZE = 224
EDGES = (2, 19)
OPTIONS = (
    option("threads", 2),
    option("images", 32),
    option("only", choices=("d2neighbors", "patchcore")),
)


def main() -> None:
    """Times everything and prints the document."""
    options = read_options(__doc__, OPTIONS)
    torch.set_num_threads(options.threads)
    result: dict[str, Any] = {
        "threads": options.threads,
        "machine": platform.processor() or platform.machine(),
        "torch": torch.__version__,
    }
    if options.only != "patchcore":
        result["d2neighbors"] = measure_d2neighbors(options.images)
    if options.only != "d2neighbors":
        result["patchcore"] = measure_patchcore()
    print(json.dumps(result, indent=2))


def measure_d2neighbors(images: int) -> dict[str, Any]:
    """Scores for each norm and kind of pixels, then explanations."""
    memory = measure_memory()  # first: a process remembers its peak only
    bank = scene(BANK, 0)
    x = scene(images, 1)
    continuous = [batch * 0.999 for batch in (bank, x)]
    return {
        "bank": BANK,
        "images": images,
        "memory": memory,
        "score": {
            f"p={p} {kind}": measure_score(p, *batches)
            for p in (2, 4, 1)
            for kind, batches in (("8-bit", (bank, x)), ("float", continuous))
        },
        "explanation": {
            "p=2, 3 bands": measure_explanation(bank, x),
            "p=2, 3 bands, one image": measure_own(D2Neighbors().fit(bank), x[:1]),
            "p=2, pixels": measure_own(D2Neighbors().fit(bank), x, components="pixels"),
            "p=2, 20 bands without maps": measure_own(D2Neighbors().fit(bank), x, bands=20, components="bands"),
            "p=2, 3 bands, blur": measure_own(D2Neighbors(layer=Blur()).fit(bank), x),
            "p=4, 3 bands": measure_own(D2Neighbors(p=4).fit(bank), x[:8]),
            "p=1, 3 bands": measure_own(D2Neighbors(p=1).fit(bank), x[:8]),
        },
    }


def scene(count: int, seed: int) -> Tensor:
    """One aligned object with noise of its own in each image: (count, 3, 224, 224), 8-bit levels in [-1, 1]."""
    across = torch.linspace(-1, 1, SIZE)
    thing = 0.6 * torch.exp(-4 * (across[:, None] ** 2 + 3 * across**2)) - 0.2
    generator = torch.Generator().manual_seed(seed)
    noisy = thing + 0.12 * torch.randn(count, 3, SIZE, SIZE, generator=generator)
    return ((noisy.clamp(-1, 1) + 1) * 127.5).round().div(127.5).sub(1)


def measure_score(p: int, bank: Tensor, x: Tensor) -> dict[str, float]:
    """Milliseconds an image and errors, ours and `torch.cdist`'s."""
    detector = D2Neighbors(p=p).fit(bank)
    queries, repeat = (x, 6) if p == 2 else (x[:2], 2)  # cdist takes long for the other norms

    def usual() -> Tensor:
        distances = torch.cdist(queries.flatten(1), bank.flatten(1), p=float(p)) ** p
        return soft_minimum(distances, detector.gamma_)

    exact = torch.stack([((image.double() - bank.double()).abs() ** p).flatten(1).sum(1) for image in x[:2]])
    reference = soft_minimum(exact, detector.gamma_)
    own_seconds, own = timed(lambda: torch.from_numpy(detector.decision_function(x)), repeat)
    usual_seconds, theirs = timed(usual, repeat)
    own_ms = 1e3 * own_seconds / len(x)
    usual_ms = 1e3 * usual_seconds / len(queries)
    return {
        "milliseconds_an_image": own_ms,
        "cdist_milliseconds_an_image": usual_ms,
        "speedup": usual_ms / own_ms,
        "error": relative(own[:2], reference),
        "cdist_error": relative(theirs[:2].double(), reference),
    }


def measure_explanation(bank: Tensor, x: Tensor) -> dict[str, float]:
    """Seconds an image for three band maps, ours and by autograd over the bank."""
    detector = D2Neighbors().fit(bank)
    own = measure_own(detector, x)
    maps = explain_anomaly(detector, x[:2]).pixel_bands
    seconds, theirs = timed(lambda: by_autograd(x[0], bank, detector.gamma_), repeat=3)
    once_seconds, _ = timed(lambda: by_autograd(x[0], bank, detector.gamma_, once=True), repeat=3)
    difference = float((torch.from_numpy(maps[0]) - theirs).abs().max() / theirs.abs().max())
    return own | {
        "autograd_seconds_an_image": seconds,
        "speedup": seconds / own["seconds_an_image"],
        "autograd_once_seconds_an_image": once_seconds,
        "speedup_over_autograd_once": once_seconds / own["seconds_an_image"],
        "largest_difference_over_largest_value": difference,
    }


def by_autograd(x: Tensor, bank: Tensor, gamma: float, *, once: bool = False) -> Tensor:
    """Maps (3, H, W): the score's gradient on the bank, filtered to a band, times the difference.

    The released code takes the gradient again for each band; ``once`` takes it once.
    """
    u = bank.clone().requires_grad_()
    delta = x - bank
    order = torch.arange(SIZE)[:, None] + torch.arange(SIZE)
    basis = dct_matrix(SIZE).float()
    maps = []
    gradient = None
    for low, high in zip((0, *EDGES), (*EDGES, 2 * SIZE), strict=True):
        if gradient is None or not once:
            output = soft_minimum(torch.cdist(x.flatten()[None], u.flatten(1)) ** 2, gamma)
            (gradient,) = torch.autograd.grad(output, u)
        factor = output.detach() / (delta.flatten(1) ** 2).sum(1)
        band = (order >= low) & (order < high)
        filtered = basis.T @ ((basis @ gradient @ basis.T) * band) @ basis
        maps.append(-0.5 * (delta * filtered * factor.view(-1, 1, 1, 1)).sum((0, 1)))
    return torch.stack(maps)


def measure_own(detector: D2Neighbors, x: Tensor, **options: Any) -> dict[str, float]:
    """Seconds an image and how far relevance is from being conserved."""
    seconds, explanation = timed(lambda: explain_anomaly(detector, x, **options), repeat=3)
    lost = abs(explanation.conservation - 1).max()
    return {"seconds_an_image": seconds / len(x), "conservation_error": float(lost)}


def measure_memory() -> dict[str, float]:
    """What scoring adds to the resident memory beside a bank of 2 GB of 32-bit numbers."""
    detector = D2Neighbors(threshold_fpr=0.5).fit(torch.rand(4, 3, SIZE, SIZE) - 0.5)
    rows = (2 << 30) // (4 * 3 * SIZE * SIZE)
    bank = torch.empty(rows, 3 * SIZE * SIZE).uniform_(-1, 1)
    detector._restore({"bank": bank.view(rows, 3, SIZE, SIZE), "gamma": torch.tensor(1e-4)})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    detector.decision_function(torch.rand(64, 3, SIZE, SIZE) - 0.5)
    added = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {"bank_gb": bank.nbytes / 1e9, "added_gb": added * 1024 / 1e9}


def soft_minimum(distances: Tensor, gamma: float) -> Tensor:
    """The score of distances (n, N)."""
    n = torch.tensor(float(distances.shape[1]), dtype=distances.dtype)
    return -(torch.logsumexp(-gamma * distances, 1) - n.log()) / gamma


def relative(a: Tensor, b: Tensor) -> float:
    """The largest relative difference."""
    return float(((a - b) / b).abs().max())


if __name__ == "__main__":
    main()
