"""Class activation maps beside the programs that are published: seconds an image, and whether the maps are equal.

EfficientNet-Lite0 with its classifier, one thread, photographs, the predicted class. Layers are the last batch norm
(1,280 channels) for ClusCAM, the last block (320 channels) for the others, which take minutes an image elsewhere.

* ClusCAM: the published algorithm as it is written, with channels enlarged one at a time, clustered as maps of all
  pixels by scikit-learn, and one pass a cluster. It stands below as ``published_cluscam``, in our own words.
* Score-CAM, Ablation-CAM, Grad-CAM: pytorch-grad-cam, where it is installed. Its Score-CAM enlarges masks from corner
  to corner, so that maps differ; its Ablation-CAM takes away more than all of a channel where activations are negative.

Prints one JSON document.

    python experiments/benchmarks/cam.py --photographs DIR [--count 3] [--repeat 2]
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))  # the checkout, wherever this is started from

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.cluster import KMeans
from torch import Tensor, nn

from chinspect.cam import METHODS, enlarged, open_layer
from chinspect.encoders import load_classifier
from experiments.benchmarks._timing import timed
from experiments.study import option, read_options

LAYER = "bn2"
PEER_LAYER = "blocks"
PEERS = {"gradcam": "GradCAM", "scorecam": "ScoreCAM", "ablationcam": "AblationCAM"}
OPTIONS = (
    option("photographs", None, "a folder of images", type=Path),
    option("count", 3),
    option("repeat", 2, "runs of each, of which the fastest counts"),
    option("clusters", 10),
)


def main() -> None:
    """Runs everything and prints the document."""
    options = read_options(__doc__, OPTIONS)
    torch.set_num_threads(1)
    encoder = load_classifier("efficientnet-lite0")
    files = sorted(options.photographs.glob("*.jpg"))[: options.count]
    images = [encoder.prepare(file) for file in files]
    rows = [compared_cluscam(encoder.module, images, options.clusters, options.repeat)]
    rows += [compared_peer(name, encoder.module, images) for name in PEERS]
    print(json.dumps({"images": len(images), "rows": rows}, indent=2))


def compared_cluscam(module: nn.Module, images: list[Tensor], clusters: int, repeat: int) -> dict[str, Any]:
    """Seconds of both, in the mean over images, and how far maps from 0 to 1 lie apart."""
    seconds = []
    differences = []
    for x in images:
        slow, theirs = timed(partial(published_cluscam, module, x, clusters), repeat)
        fast, ours = timed(partial(METHODS["cluscam"], module, x, LAYER, n_clusters=clusters), repeat)
        seconds.append((slow, fast))
        differences.append(float((unit(enlarged(ours, x)[0]) - theirs).abs().max()))
    return row("cluscam", "the published algorithm", seconds, differences)


def compared_peer(name: str, module: nn.Module, images: list[Tensor]) -> dict[str, Any]:
    """The same beside pytorch-grad-cam, one run each."""
    import pytorch_grad_cam

    seconds = []
    differences = []
    for x in images:
        with (
            getattr(pytorch_grad_cam, PEERS[name])(module, [getattr(module, PEER_LAYER)]) as peer,
            contextlib.redirect_stderr(io.StringIO()),  # its progress bars
        ):
            slow, theirs = timed(partial(answered, peer, x))
        fast, ours = timed(partial(METHODS[name], module, x, PEER_LAYER))
        seconds.append((slow, fast))
        large = F.interpolate(ours[None], size=x.shape[2:], mode="bilinear", align_corners=False)[0, 0]
        differences.append(float(np.abs(unit(large).numpy() - theirs).max()))
    return row(name, "pytorch-grad-cam", seconds, differences)


def answered(peer: Callable[..., Any], x: Tensor) -> Any:
    return peer(x.clone().requires_grad_(), None)[0]


def row(method: str, beside: str, seconds: list[tuple[float, float]], differences: list[float]) -> dict[str, Any]:
    slow, fast = np.mean(seconds, 0)
    return {
        "method": method,
        "beside": beside,
        "seconds_there": round(float(slow), 2),
        "seconds_here": round(float(fast), 3),
        "ratio": round(float(slow / fast), 1),
        "largest_difference": max(differences),
    }


def published_cluscam(
    module: nn.Module, x: Tensor, clusters: int, drop: float = 0.5, temperature: float = 0.5
) -> Tensor:
    """The map (H, W) from 0 to 1 of one image, as the algorithm is written."""
    with torch.no_grad():
        logits = module(x)[0]
    target = int(logits.argmax())
    channels = []
    for channel in open_layer(module, x, LAYER).activations[0]:
        large = F.interpolate(channel[None, None], size=x.shape[2:], mode="bilinear", align_corners=False)[0, 0]
        channels.append(unit(large) if large.max() != large.min() else large)
    points = torch.stack(channels).flatten(1).numpy()
    centres = KMeans(clusters, init="k-means++", random_state=0).fit(points).cluster_centers_
    masks = torch.from_numpy(centres).reshape(clusters, *x.shape[2:])
    with torch.no_grad():
        differences = torch.stack([module(x * mask)[0, target] - logits[target] for mask in masks])
    differences[differences.argsort()[: int(drop * clusters)]] = -torch.inf
    weights = (differences / temperature).softmax(0)
    return unit(sum(weight * mask for weight, mask in zip(weights, masks, strict=True)).relu())


def unit(values: Tensor) -> Tensor:
    """From 0 to 1; a map that is the same everywhere is 0."""
    span = values.max() - values.min()
    return (values - values.min()) / span if span > 0 else torch.zeros_like(values)


if __name__ == "__main__":
    main()
