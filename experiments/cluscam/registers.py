"""Do the outlier tokens of a vision transformer spoil its maps?

    python experiments/cluscam/registers.py --photographs DIR --model timm:vit_small_patch14_dinov2.lvd142m
    python experiments/cluscam/registers.py --smoke [--out DIR]

Large vision transformers keep what they know of the whole image in tokens of a few patches that show little. Norms of
these tokens are several times those of others, and maps have spots there; networks that are trained with tokens of
their own for that, registers, have none (Darcet et al. 2024). Here the square of the norm of the embedding is
explained, and a token is an outlier where its norm exceeds twice the median of its image, in the layer where that ratio
is largest.

``images.csv`` has a row an image: how many tokens are outliers, the layer, and how much the pixels of their patches
vary, as a part of what those of other patches do. ``registers.csv`` has a row a method, of images with outliers:
*density*, the share of the map's positive part that lies on outliers, over their share of the area (1 where a map does
not care); *elsewhere*, the same of as many other patches, drawn at random; *removal* of the map, and of the map in
which outliers have the median of the others around them (*mended*), whose *difference* says whether spots were a fault
of the map. Intervals are of 95 %. An image with outliers takes about 700 passes.

--smoke takes generated scenes and a network with random weights to which outliers were given: it tests the script, its
numbers mean nothing.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))  # the checkout, wherever this is started from

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from PIL import Image
from timm.models import VisionTransformer
from torch import Tensor, nn

from chinspect.cam import cam
from chinspect.encoders import Encoder, as_map, load_encoder, observing
from chinspect.errors import InputError
from chinspect.faithfulness import judge
from chinspect.images import list_images, open_image
from chinspect.world import scenes
from experiments.metrics.__main__ import with_interval
from experiments.study import Run, option, read_options, refuse

UNASKED = ("eigencam", "rollout")
"""Methods that are told nothing of what is explained."""
METHODS = ("gradcam", "layercam", "eigencam", "cluscam", "rollout", "legrad")
OPTIONS = (
    option("photographs", None, "a folder of images", type=Path),
    option("model", "timm:vit_small_patch14_dinov2.lvd142m"),
    option("images", 60, "at most"),
)
_OUTLIER = 2.0  # medians: norms of other tokens are alike, and those of outliers three times as large and more
Map = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]


class Hoarding(nn.Module):
    """A block that gives the tokens which say least a large value of their own, as large networks learn to do."""

    def __init__(self, block: nn.Module, count: int = 3) -> None:
        super().__init__()
        self.block = block
        self.count = count

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, T, D) to (N, T, D)."""
        result = self.block(tokens)
        least = tokens[:, 1:].norm(dim=2).topk(self.count, largest=False).indices + 1
        value = torch.zeros_like(result[0, 0])
        value[0] = 6 * result.norm(dim=2).median()
        return result.index_put((torch.arange(len(tokens))[:, None], least), value, accumulate=True)


def main() -> None:
    """Measures all images and writes the tables."""
    smoke = {"images": 4}
    options = read_options(__doc__, OPTIONS, out="results/registers", smoke=smoke, generated=["photographs"], seed=0)
    if options.photographs is None and not options.smoke:
        refuse("give --photographs DIR, or --smoke")
    encoder, pictures = made(options.images) if options.smoke else given(options)
    with Run(options) as run:
        tables = [measured(encoder, picture, options.seed + n) for n, picture in enumerate(pictures)]
        images = pd.DataFrame([image for image, _ in tables])
        run.write(images, "images", decimals=3)
        rows = pd.DataFrame([row for _, rows in tables for row in rows])
        run.facts["images with outliers"] = int((images["outliers"] > 0).sum())
        if len(rows):
            run.write(summary(rows), "registers", decimals=3)


def given(options: Any) -> tuple[Encoder, list[Image.Image]]:
    """The network and the images that are asked for."""
    return load_encoder(options.model), [
        open_image(file) for file in list_images(options.photographs)[: options.images]
    ]


def made(count: int) -> tuple[Encoder, list[Image.Image]]:
    """A small transformer with random weights and three outliers, and scenes."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = VisionTransformer(img_size=64, patch_size=8, embed_dim=48, depth=4, num_heads=3, num_classes=0)
    network.blocks[1] = Hoarding(network.blocks[1])
    encoder = Encoder.wrap(network.eval(), size=64, mean=(0.5,) * 3, std=(0.5,) * 3)
    return encoder, [Image.fromarray(scene.image) for scene in scenes(count, seed=0)]


def measured(encoder: Encoder, picture: Image.Image, seed: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The row of an image, and those of its maps, if it has outliers."""
    x = encoder.prepare(picture)
    layer, norms = widest(encoder.module, x)
    outliers = norms > _OUTLIER * np.median(norms)
    row = {"outliers": int(outliers.sum()), "layer": layer, "largest": float(norms.max() / np.median(norms))}
    if not outliers.any():
        return row, []
    varies = x[0].unflatten(1, (len(norms), -1)).unflatten(3, (norms.shape[1], -1)).std(dim=(0, 2, 4)).numpy()
    row["variation"] = float(varies[outliers].mean() / varies[~outliers].mean())
    with torch.no_grad():
        weights = encoder.module(x)
    maps = {}
    for name in METHODS:
        target = {} if name in UNASKED else {"target": weights}
        maps[name] = cam(name, encoder.module, x, **target)[0]
    return row, judged(encoder.module, x, weights, maps, outliers, seed)


def widest(module: nn.Module, x: Tensor) -> tuple[str, Map]:
    """The layer in which the largest norm of a token is most above the median, and norms (h, w) of its tokens."""
    found: dict[str, Map] = {}

    def note(path: str, _module: nn.Module, _args: object, _kwargs: object, output: object) -> None:
        mapped = as_map(output, x) if isinstance(output, Tensor) and output.ndim == 3 else None
        if mapped is not None:
            found[path] = mapped[0].norm(dim=0).numpy()

    with torch.no_grad(), observing(module, note):
        module(x)
    if not found:
        raise InputError(f"{type(module).__name__} has no tokens of patches: give --model a vision transformer.")
    layer = max(found, key=lambda path: found[path].max() / max(float(np.median(found[path])), 1e-12))
    return layer, found[layer]


def judged(
    module: nn.Module, x: Tensor, weights: Tensor, maps: dict[str, Map], outliers: Mask, seed: int
) -> list[dict[str, Any]]:
    """A row a method."""
    others = np.random.default_rng(seed).permutation(np.flatnonzero(~outliers))[: outliers.sum()]
    elsewhere = np.zeros_like(outliers)
    elsewhere.flat[others] = True
    both = maps | {f"{name}, mended": mended(map_, outliers) for name, map_ in maps.items()}
    score = partial(projected, module, weights)
    judgement = judge(
        score, x, {name: map_[None] for name, map_ in both.items()}, metrics=["removal"], random_state=seed
    )
    removal = dict(zip(judgement.maps, judgement.values[0, :, 0], strict=True))
    return [
        {
            "method": name,
            "density": density(map_, outliers),
            "elsewhere": density(map_, elsewhere),
            "removal": removal[name],
            "mended": removal[f"{name}, mended"],
            "difference": removal[f"{name}, mended"] - removal[name],
        }
        for name, map_ in maps.items()
    ]


@torch.no_grad()
def projected(module: nn.Module, weights: Tensor, x: Tensor) -> Tensor:
    """Embeddings of images (N, C, H, W) along one: (N,)."""
    return (module(x) * weights).sum(1)


def density(map_: Map, cells: Mask) -> float:
    """The share of the positive part on some cells, over their share of the area; NaN of a map without any."""
    positive = map_.clip(0)
    return float(positive[cells].sum() / positive.sum() / cells.mean()) if positive.any() else float("nan")


def mended(map_: Map, outliers: Mask) -> Map:
    """The map in which outliers have the median of the other cells around them, or of all where there is none."""
    result = map_.copy()
    rows, columns = map_.shape
    for row, column in np.argwhere(outliers):
        around = np.zeros_like(outliers)
        around[max(row - 1, 0) : min(row + 2, rows), max(column - 1, 0) : min(column + 2, columns)] = True
        around &= ~outliers
        result[row, column] = np.median(map_[around if around.any() else ~outliers])
    return result


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """A row a method: means and intervals over images."""
    table = []
    for method, own in rows.groupby("method", sort=False):
        row: dict[str, Any] = {"method": method}
        for name in own.columns.drop("method"):
            row = with_interval(row, name, own[name].to_numpy())
        table.append(row)
    return pd.DataFrame(table)


if __name__ == "__main__":
    main()
