"""Speed of SpRAy beside its peers, and how it grows with the number of maps.

    python experiments/benchmarks/spray.py [--maps 4000] [--scale 10000 100000] [--smoke]

The peers, on the same maps in the same run: the pipeline of CoRelAy (``pip install corelay``; left out where it is
missing), and the algorithm of ShortKit-ML's SpRAyDetector, written down again, since it pins libraries of its own: a
dense cosine affinity, the dense normalised Laplacian by products with diagonal matrices, all its eigenvalues, and
scikit-learn's SpectralClustering of the dense affinity with silhouette. Two rows are chinspect's: the same steps as
CoRelAy's (neighbours, embedding, k-means), and everything but the p-values. --scale runs the whole analysis, p-values
included, and prints seconds by step and the peak of the memory.
"""

from __future__ import annotations

import resource
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))  # the checkout, wherever this is started from

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import SpectralClustering
from sklearn.metrics import silhouette_score
from sklearn.metrics.pairwise import cosine_similarity

from chinspect.spray import SpRAy
from chinspect.spray.proposals import Settings, embed, kmeans
from experiments.benchmarks._maps import blobs, f1, planted
from experiments.benchmarks._timing import timed
from experiments.study import option, read_options

Maps = NDArray[np.float32]
OPTIONS = (option("maps", 4000), option("scale", [], type=int, nargs="*"), option("jobs", 2))


def main() -> None:
    """Prints both tables."""
    options = read_options(__doc__, OPTIONS, smoke={"maps": 200, "scale": [2_000]})
    beside_peers(options.maps)
    for count in options.scale:
        grow(count, options.jobs)


def beside_peers(count: int) -> None:
    """Times all on the same maps."""
    maps, members = data(count)
    rows = maps.reshape(count, -1)
    same_steps, _ = timed(lambda: kmeans(embed(rows, Settings(10, 32)).vectors, 2, 0), repeat=2)
    analysis, spray = timed(lambda: SpRAy(n_surrogates=0).fit(maps))
    best = max(f1(candidate.indices, members) for candidate in spray.candidates_)
    print(f"{count} maps of 20 x 20, a mark on 8 %")
    print(f"chinspect, the same steps     {same_steps:8.2f} s")
    print(f"chinspect, without p-values   {analysis:8.2f} s   best candidate's F1 {best:.2f}")
    report("ShortKit-ML's algorithm", timed(lambda: shortkit(rows), repeat=2)[0], same_steps, analysis)
    pipeline = corelay_pipeline()
    if pipeline is None:
        print("CoRelAy is not installed")
    else:
        seconds, _ = timed(lambda: pipeline(rows.astype(np.float64)), repeat=2)
        report("CoRelAy's pipeline", seconds, same_steps, analysis)


def grow(count: int, jobs: int) -> None:
    """The whole analysis of ``count`` maps, 2 % of which carry a mark."""
    maps, members = data(count, 0.02)
    seconds, spray = timed(lambda: SpRAy(n_jobs=jobs).fit(maps))
    best = max((f1(candidate.indices, members) for candidate in spray.flagged_), default=0.0)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)
    print(
        f"{count} maps, end to end: {seconds:.0f} s, peak {peak:.2f} GiB, recall {spray.recall_:.3f}, largest residual "
        f"{spray.residuals_.max():.1e}, {len(spray.candidates_)} candidates, flagged with F1 {best:.2f}",
        flush=True,
    )


def data(count: int, prevalence: float = 0.08) -> tuple[Maps, NDArray[np.int64]]:
    """Maps with a line of text on some, and which."""
    rng = np.random.default_rng(0)
    base = blobs(min(count, 20_000), rng)
    turned = [np.roll(base, shift, 2) for shift in range(-(-count // len(base)))]  # drawing more would take longer
    maps, members = planted(np.concatenate(turned)[:count], "text", prevalence, 0.5, rng)
    return maps.astype(np.float32), members


def shortkit(rows: NDArray[np.float32], largest: int = 10) -> NDArray[np.int64]:
    """ShortKit-ML's steps with its defaults: min-max scaling, cosine affinity, eigengap from 2 to 10, clustering."""
    scaled = rows - rows.min(1, keepdims=True)
    scaled = scaled / (scaled.max(1, keepdims=True) + 1e-8)
    affinity = cosine_similarity(scaled)
    root = np.diag(1 / np.sqrt(np.maximum(affinity.sum(1), 1e-8)))
    values = np.linalg.eigvalsh(np.eye(len(affinity)) - root @ affinity @ root)
    size = int(np.argmax(np.diff(values[: largest + 2])[1:])) + 2
    labels = SpectralClustering(size, affinity="precomputed", assign_labels="kmeans", random_state=42).fit_predict(
        affinity
    )
    silhouette_score(scaled, labels)
    return labels


def corelay_pipeline() -> Callable[[NDArray[np.float64]], Any] | None:
    """CoRelAy's spectral clustering with its defaults: 10 neighbours, 32 eigenvalues, 2 clusters."""
    try:
        from corelay.pipeline.spectral import SpectralClustering as Pipeline
    except ImportError:
        return None
    return Pipeline()


def report(name: str, seconds: float, same_steps: float, analysis: float) -> None:
    """One peer's row."""
    print(f"{name:<29} {seconds:8.2f} s   {seconds / same_steps:.1f}x the same steps, {seconds / analysis:.1f}x all")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
