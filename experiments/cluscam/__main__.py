"""ClusCAM, the family of class activation maps, and relevance, on photographs and a network that people deploy.

    python experiments/cluscam --photographs DIR [--images 300] [--rise 60] [--settings 100] [--out DIR] [--smoke]

Of each photograph the logit of the predicted class is explained, at the last layer of maps. ``methods.csv`` has a row a
method, with the mean over photographs and its 95 % interval (bootstrap), and the controls: a map of ones, a random map,
a centred blob. A measure that a control wins measures nothing. RISE, which takes as long as all others together, is of
``--rise`` photographs. ``settings.csv`` has, of ``--settings`` photographs, ClusCAM's parameters one by one: the number
of clusters, the fraction that is dropped, the temperature, the protocol, the seed, other clusterings, concepts of a
sparse autoencoder fitted on other photographs, channels that are split, gradients as weights, and division in place of
the product; ``stability`` is the mean correlation with the map of the first row of the same photograph.

``small_methods.csv`` and ``small_settings.csv`` have the same for photographs whose relevant area is small, as far as
the network's Grad-CAM tells: the quarter of them with the smallest area.

Rows of photographs are kept as they are made, in ``rows``: the same command goes on where it was interrupted, and one
with more photographs from what there is.
"""

from __future__ import annotations

import sys
import time
import warnings
import zlib
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
from chinspect.files import replacing
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
    draw = partial(draw_photographs, options.photographs, seed=options.seed)
    with Run(options) as run:
        study = Study(load_classifier("efficientnet-lite0"), run, options.seed)
        rise = {"rise": partial(_rise, respond=study.judge, masks=options.masks)}
        some = draw(options.settings)
        concepts = partial(_of_concepts, coder=coder_of(study.encoder, some.held_out[: options.images]))
        settled = study.measure("settings", some.ring, settings() | {"sparse autoencoder": concepts}, QUICK)
        rows = [
            study.measure("methods", draw(options.images).ring, methods(options.slow), MEASURES, controls=True),
            study.measure(f"rise-{options.masks}", draw(options.rise).ring, rise, MEASURES),
        ]
        together = pd.concat(rows)
        area = together[together["method"] == "gradcam"].set_index("image")["area"]
        small = area[area <= area.quantile(0.25)].index
        for name, table in (("methods", together), ("settings", settled)):
            run.write(summary(table), name, decimals=3)
            run.write(summary(table[table["image"].isin(small)]), f"small_{name}", decimals=3)
        run.facts["images"] = len(area)


def coder_of(encoder: Encoder, files: Iterable[Path]) -> Coder:
    """A sparse autoencoder of the last layer of maps, of some photographs."""
    return train_coder(positions(encoder.module, map(encoder.prepare, files), "auto"))


def frozen(encoder: Encoder) -> nn.Module:
    """The network as it is judged, three times as fast: its constants folded, equal to 1e-5."""
    size = encoder.preprocessing.size
    with warnings.catch_warnings(action="ignore"):  # deprecated, and still twice as fast as what is to replace it
        traced = torch.jit.trace(encoder.module, torch.zeros(1, 3, size, size))
        return torch.jit.optimize_for_inference(traced)


class Study:
    """Measures maps of photographs, whose rows are written as they are made: an interrupted study goes on from them."""

    def __init__(self, encoder: Encoder, run: Run, seed: int) -> None:
        self.encoder = encoder
        self.judge = frozen(encoder)
        self.run = run
        self.seed = seed

    def measure(
        self,
        name: str,
        files: Sequence[Path],
        explain: dict[str, Explain],
        measures: Sequence[str],
        *,
        controls: bool = False,
    ) -> pd.DataFrame:
        """Rows of all photographs, kept in a file of this name and of the seed."""
        path = self.run.out / "rows" / f"{name}-seed{self.seed}.csv"
        path.parent.mkdir(exist_ok=True)
        rows = pd.read_csv(path) if path.is_file() else pd.DataFrame({"image": []})
        for file in files:
            if file.name not in set(rows["image"]):
                new = pd.DataFrame(list(self.rows(file, explain, measures, controls)))
                rows = new if rows.empty else pd.concat([rows, new])
                with replacing(path) as temporary:
                    rows.to_csv(temporary, index=False)
        return rows[rows["image"].isin([file.name for file in files])]

    def rows(
        self, file: Path, explain: dict[str, Explain], measures: Sequence[str], controls: bool
    ) -> Iterator[dict[str, Any]]:
        """A row a method, and a control, of one photograph."""
        x = self.encoder.prepare(file)
        with torch.no_grad():
            target = int(self.encoder.module(x).argmax())
        seed = self.seed + zlib.crc32(file.name.encode())  # of the photograph: it does not matter which come before
        image = judged_image(self.judge, x, target, seed)
        first: Map | None = None
        for name, function in explain.items():
            start = time.process_time()
            values = function(self.encoder, x, target, "auto")
            seconds = time.process_time() - start
            first = values if first is None else first
            row = {"image": file.name, "method": name, **measured(image, values, measures)}
            yield {**row, "seconds": seconds, "stability": _correlation(values, first)}
        shown = control_maps((x.shape[2], x.shape[3]), seed) if controls else {}
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
