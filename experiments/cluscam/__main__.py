"""ClusCAM, the family of class activation maps, and relevance, on photographs and a network that people deploy.

    python experiments/cluscam --photographs DIR [--images 300] [--rise 60] [--settings 100] [--out DIR] [--smoke]

Of each photograph the logit of the predicted class is explained, at the last layer of maps. ``methods.csv`` has a row a
method, with the mean over photographs and its 95 % interval (bootstrap), and the controls: a map of ones, a random map,
a centred blob. A measure that a control wins measures nothing. RISE, which takes as long as all others together, is of
``--rise`` photographs, spread evenly over all. ``settings.csv`` has, of ``--settings`` of them, ClusCAM's parameters
one by one: the number of clusters, the fraction that is dropped, the temperature, the protocol, the seed, other
clusterings, concepts of a sparse autoencoder fitted on the other photographs, channels that are split, gradients as
weights, and division in place of the product; ``stability`` is the mean correlation with the map of the first row of
the same photograph.

``small.csv`` and ``small_settings.csv`` have the same for photographs whose relevant area is small, as far as the
network's Grad-CAM tells: the quarter of them with the smallest area.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))  # the checkout, wherever this is started from

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from chinspect.cam import cam
from chinspect.encoders import Encoder, load_classifier
from chinspect.faithfulness import control_maps
from chinspect.relevance import Method
from experiments.cluscam.measures import MEASURES, QUICK, judged_image, measured
from experiments.cluscam.sparse import Coder, positions, train_coder
from experiments.cluscam.variants import CLUSTERS, TEMPERATURE, VARIANTS
from experiments.faithfulness.photographs import draw_photographs
from experiments.study import Run, option, read_options

OPTIONS = (
    option("photographs", None, "a folder of images with labels.csv (file, class_index)", type=Path),
    option("images", 300, "photographs, at most"),
    option("rise", 60, "of them for RISE"),
    option("settings", 100, "of them for ClusCAM's settings"),
    option("masks", 1000, "of RISE"),
    option("slow", False, "also Score-CAM, a pass a channel"),
)
SETTINGS: dict[str, dict[str, Any]] = {
    "as published": {},
    **{f"{count} clusters": {"n_clusters": count} for count in (2, 5, 20, 50)},
    **{f"drop {drop}": {"drop": drop} for drop in (0.0, 0.8)},
    **{f"temperature {value}": {"temperature": value} for value in (0.05, 5.0)},
    "protocol paper": {"protocol": "paper"},
    **{f"seed {seed}": {"random_state": seed} for seed in (1, 2)},
}
Map = NDArray[np.floating[Any]]
Explain = Callable[[Encoder, Tensor, int, str], Map]


def methods(slow: bool) -> dict[str, Explain]:
    """All methods by name: a function from network, image (1, C, H, W), class and layer to a map (h, w)."""
    # HiResCAM and Shap-CAM are Grad-CAM where a global mean follows the layer, as here
    names = ["gradcam", "gradcam++", "layercam", "ablationcam", "cluscam"]
    named = {name: partial(_of_layer, name=name) for name in [*names, *(["scorecam"] if slow else [])]}
    return {
        **named,
        "eigencam": lambda encoder, x, _target, layer: cam("eigencam", encoder.module, x, layer=layer)[0],
        "rescale": partial(_relevance, method=Method()),
        "lrp": partial(_relevance, method=Method("lrp")),
    }


def settings() -> dict[str, Explain]:
    """ClusCAM by its settings, and its variants."""
    named = {name: partial(_of_layer, name="cluscam", **options) for name, options in SETTINGS.items()}
    return named | {name: partial(_variant, function=function) for name, function in VARIANTS.items()}


def main() -> None:
    """Measures everything and writes the tables."""
    smoke = {"images": 3, "settings": 2, "rise": 1, "masks": 16}
    options = read_options(__doc__, OPTIONS, out="results/cluscam", seed=0, smoke=smoke)
    torch.set_num_threads(1)
    encoder = load_classifier("efficientnet-lite0")
    files = draw_photographs(options.photographs, options.images, options.seed).ring
    judge = frozen(encoder, files[0])
    with Run(options) as run:
        measure = partial(measured_methods, encoder, judge=judge, seed=options.seed)
        made = methods(options.slow)
        rows = pd.DataFrame(list(measure(files, made, MEASURES)))
        rise = {"rise": partial(_rise, respond=judge, masks=options.masks)}
        rows = pd.concat(
            [rows, pd.DataFrame(list(measure(spread(files, options.rise), rise, MEASURES, controls=False)))]
        )
        run.write(summary(rows), "methods", decimals=3)
        area = rows[rows["method"] == "gradcam"].set_index("image")["area"]
        small = area[area <= area.quantile(0.25)].index
        run.write(summary(rows[rows["image"].isin(small)]), "small", decimals=3)
        some = spread(files, options.settings)
        concepts = partial(_of_concepts, coder=coder_of(encoder, [file for file in files if file not in some]))
        settled = pd.DataFrame(list(measure(some, settings() | {"sparse autoencoder": concepts}, QUICK)))
        run.write(summary(settled), "settings", decimals=3)
        run.write(summary(settled[settled["image"].isin(small)]), "small_settings", decimals=3)


def spread(files: list[Path], count: int) -> list[Path]:
    """So many of the files, which are sorted by class, evenly."""
    return [files[i] for i in np.linspace(0, len(files) - 1, min(count, len(files))).round().astype(int)]


def coder_of(encoder: Encoder, files: Iterable[Path]) -> Coder:
    """A sparse autoencoder of the last layer of maps, of some photographs."""
    return train_coder(positions(encoder.module, map(encoder.prepare, files), "auto"))


def frozen(encoder: Encoder, image: Path) -> nn.Module:
    """The network as it is judged, three times as fast: its constants folded, equal to 1e-5."""
    with warnings.catch_warnings(action="ignore"):  # deprecated, and still twice as fast as what is to replace it
        traced = torch.jit.trace(encoder.module, encoder.prepare(image))
        return torch.jit.optimize_for_inference(traced)


def measured_methods(
    encoder: Encoder,
    files: list[Path],
    explain: dict[str, Explain],
    measures: Sequence[str],
    *,
    judge: nn.Module,
    seed: int,
    controls: bool = True,
) -> Iterator[dict[str, Any]]:
    """A row an image and method, and an image and control."""
    for number, file in enumerate(files):
        x = encoder.prepare(file)
        with torch.no_grad():
            target = int(encoder.module(x).argmax())
        image = judged_image(judge, x, target, seed + number)
        first: Map | None = None
        for name, function in explain.items():
            start = time.process_time()
            values = function(encoder, x, target, "auto")
            seconds = time.process_time() - start
            first = values if first is None else first
            row = {"image": file.name, "method": name, **measured(image, values, measures)}
            yield {**row, "seconds": seconds, "stability": _correlation(values, first)}
        shown = control_maps((x.shape[2], x.shape[3]), seed + number) if controls else {}
        for name, values in shown.items():
            yield {"image": file.name, "method": name, **measured(image, values, measures)}


def summary(rows: pd.DataFrame, n_resamples: int = 1000) -> pd.DataFrame:
    """A row a method: means over images, and their 95 % intervals; images are drawn again with all their methods."""
    images = rows["image"].unique()
    drawn = np.random.default_rng(0).integers(len(images), size=(n_resamples, len(images)))
    table = []
    for method, own in rows.groupby("method", sort=False):
        row: dict[str, Any] = {"method": method}
        for measure in [name for name in (*MEASURES, "area") if name in own]:
            values = own.set_index("image")[measure].reindex(images).to_numpy()
            low, high = np.nanquantile(np.nanmean(values[drawn], 1), [0.025, 0.975])
            row |= {measure: np.nanmean(values), f"{measure}_low": low, f"{measure}_high": high}
        table.append(row | {name: own[name].mean() for name in ("stability", "seconds") if name in own})
    return pd.DataFrame(table)


def _of_layer(encoder: Encoder, x: Tensor, target: int, layer: str, *, name: str, **options: Any) -> Map:
    return cam(name, encoder.module, x, target=target, layer=layer, **options)[0]


def _variant(encoder: Encoder, x: Tensor, target: int, layer: str, *, function: Callable[..., Tensor]) -> Map:
    return function(encoder.module, x, layer, target).numpy()


def _rise(encoder: Encoder, x: Tensor, target: int, _layer: str, *, respond: nn.Module, masks: int) -> Map:  # noqa: ARG001
    return cam("rise", respond.forward, x, target=target, masks=masks)[0]


def _of_concepts(encoder: Encoder, x: Tensor, target: int, layer: str, *, coder: Coder) -> Map:
    return coder(encoder.module, x, layer, target, masks=CLUSTERS, temperature=TEMPERATURE).numpy()


def _relevance(encoder: Encoder, x: Tensor, target: int, _layer: str, *, method: Method) -> Map:
    from chinspect.encoders.explaining import explain_outputs

    weights = np.eye(1000)[[target]]
    return explain_outputs(encoder.module, x, weights, encoder.fingerprint, method=method)[0]


def _correlation(a: Map, b: Map) -> float:
    if a.shape != b.shape or not (np.ptp(a) > 0 and np.ptp(b) > 0):
        return np.nan
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


if __name__ == "__main__":
    main()
