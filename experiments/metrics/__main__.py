"""Which metric of maps can be trusted? Metrics ranked by how well they rank maps whose quality is known.

    python experiments/metrics [--model tiny-simclr] [--images 24] [--out DIR] [--smoke]

Generated scenes of vehicles with a logo, and a linear readout on a bundled encoder that was trained where logos mark
garbage trucks. Used are scenes of other vehicles that are taken for garbage trucks with the logo (P > .5) and are not
without it (P < .2): the logo *is* what the score depends on, by removal, each scene compared with itself. Beside it
stands what a blurred box of the same size elsewhere does, which should be nothing.

Maps of known quality, from 4 to 0:

* 4: the mask of the logo; the same blurred;
* 3, 2, 1: the mask under noise (1.5, 3 and 6 times its height), or moved until two thirds or one third overlap (3, 2);
* 0: the mask moved clear of itself, the object, the noise alone, as fine as pixels or as coarse as 7 x 7 cells, ones,
  and blobs in the centre of three widths.

Each row of ``metrics.csv`` is a metric, with means over scenes and 95 % intervals by bootstrap:

* tau: Kendall's, of the metric's order and the known one, over pairs of maps of different quality: 1 is perfect, 0 is
  chance;
* beaten: in which fraction of the scenes a map of quality 0 does as well as the mask of the logo, or better;
* outdone: in which fraction a map of a real method does better than the mask of the logo, which holds all of the cause;
* area, smoothness: what the metric rewards among maps of quality 0: rank correlation with the mean of their mask, and
  with its negative total variation. A metric of quality rewards neither.

``maps.csv`` has the mean of each metric for each map, those of real methods among them, and ``proof.csv`` what removing
the logo does. --smoke makes everything small: it tests the script, its numbers mean nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))  # the checkout, wherever this is started from

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.stats import rankdata
from torch import Tensor, nn

from chinspect.encoders import Encoder, load_encoder
from chinspect.explain import MAP_METHODS
from chinspect.faithfulness import CONTROLS, METRICS, complexity, control_maps, judge
from chinspect.faithfulness.changed import as_mask, enlarged
from chinspect.intervals import mean_interval
from chinspect.readouts import linear_readout
from chinspect.relevance import reference_images
from chinspect.world import VEHICLES, Scene, scenes
from experiments.study import Run, option, read_options, refuse
from experiments.tiny.world import EVERYWHERE_LOGO, LOGO

CLASSES = tuple(VEHICLES)
TRUCK = CLASSES.index("garbage truck")
TRAINING_SEED = 102
TEST_SEED = 301
NOISES = (1.5, 3.0, 6.0)
"""In units of the mask: the chance that a pixel of it is above one outside is .94, .78 and .65."""
REAL = ("rescale", "lrp", "gradcam")
REFERENCES = ("blur", "grey", "black")
"""What removed pixels show, in the metrics that remove them for good."""
REMOVING = ("insertion", "deletion", "removal")
OPTIONS = (
    option("model", "tiny-simclr"),
    option("images", 24),
    option("scenes", 400),
    option("training", 1200),
    option("metrics", list(METRICS), choices=list(METRICS)),
)
SMOKE = {"images": 2, "scenes": 80, "training": 160}
Map = NDArray[np.float64]


def main() -> None:
    """Fills the tables."""
    options = read_options(__doc__, OPTIONS, out="results/metrics", smoke=SMOKE, seed=0)
    with Run(options) as run:
        classifier = readout_on(load_encoder(options.model), options.training)
        cases, proof = proven_cases(classifier, options.scenes, options.images)
        run.write(proof, "proof", decimals=3)
        study = Study(classifier, cases, options.metrics, options.seed)
        run.write(study.maps_table(), "maps", decimals=3)
        run.write(study.metrics_table(), "metrics", decimals=2)
        run.facts["scenes"] = len(cases)


class Readout(nn.Module):
    """An encoder with a linear readout: logits (N, classes)."""

    def __init__(self, encoder: nn.Module, weights: NDArray[np.float64]) -> None:
        super().__init__()
        self.encoder = encoder
        self.linear = nn.Linear(weights.shape[1], len(weights), bias=False)
        self.linear.weight.data = torch.from_numpy(weights).float()

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, classes)."""
        logits: Tensor = self.linear(self.encoder(x))
        return logits


def readout_on(encoder: Encoder, count: int) -> Encoder:
    """The encoder with a readout of the vehicles, on scenes whose trucks carry logos as often as in its training."""
    training = scenes(count, seed=TRAINING_SEED, classes=CLASSES, logo=LOGO)
    embeddings = encoder.embed(pictures(training)).numpy()
    fitted: Any = linear_readout().fit(embeddings, [scene.label for scene in training])
    size = encoder.preprocessing.size
    return Encoder.wrap(
        Readout(encoder.module, fitted.coef_).eval().requires_grad_(False),
        size=size,
        mean=encoder.preprocessing.mean,
        std=encoder.preprocessing.std,
        interpolation=encoder.preprocessing.interpolation,
        name=f"{encoder.name} with a readout",
    )


def pictures(drawn: Sequence[Scene]) -> list[Image.Image]:
    """Scenes as images."""
    return [Image.fromarray(scene.image) for scene in drawn]


def probability(classifier: Encoder, images: Tensor) -> Tensor:
    """Of a garbage truck (n,)."""
    return classifier.module(images).softmax(1)[:, TRUCK]


@dataclass(frozen=True, eq=False)
class Case:
    """A scene whose logo is proven to be the cause of its score."""

    x: Tensor
    scene: Scene


def proven_cases(classifier: Encoder, count: int, most: int) -> tuple[list[Case], pd.DataFrame]:
    """Scenes that are taken for garbage trucks by their logo alone, and the probabilities that prove it."""
    marked = scenes(count, seed=TEST_SEED, classes=CLASSES, logo=EVERYWHERE_LOGO)
    plain = scenes(count, seed=TEST_SEED, classes=CLASSES)
    inputs = classifier.prepare(*pictures(marked))
    with torch.no_grad():
        pairs = zip(inputs.split(32), classifier.prepare(*pictures(plain)).split(32), strict=True)
        both = [[probability(classifier, images) for images in pair] for pair in pairs]
        with_logo, without = (torch.cat(parts).numpy() for parts in zip(*both, strict=True))
    others = np.array([scene.label != TRUCK and bool(scene.object.any()) for scene in marked])
    indices = np.flatnonzero(others & (with_logo > 0.5) & (without < 0.2))[:most]
    if not len(indices):
        refuse("no scene is taken for a garbage truck by its logo: draw more --scenes.")
    cases = [Case(inputs[i : i + 1], marked[i]) for i in indices]
    placebo = [blurred_elsewhere(classifier, case) for case in cases]
    columns = {"with logo": with_logo[indices], "without": without[indices], "blurred elsewhere": np.array(placebo)}
    rows = [with_interval({"image": name}, "probability", values) for name, values in columns.items()]
    return cases, pd.DataFrame(rows)


def blurred_elsewhere(classifier: Encoder, case: Case) -> float:
    """The probability where a box of the size of the logo is blurred in the opposite corner."""
    mirrored = torch.from_numpy(case.scene.logo[::-1, ::-1].copy())
    changed = torch.where(mirrored, reference_images("blur", case.x)[0], case.x)
    with torch.no_grad():
        return float(probability(classifier, changed)[0])


def known_maps(scene: Scene, seed: int) -> dict[str, tuple[int, Map]]:
    """Maps by name, each with its quality, but for the controls that `judge` adds itself."""
    mask = scene.logo.astype(float)
    size = mask.shape
    rng = np.random.default_rng([7, seed])
    height = int(np.ptp(np.nonzero(scene.logo)[0])) + 1
    noise = enlarged(rng.random((7, 7)), size).numpy().astype(float)
    maps = {"logo": (4, mask), "logo, blurred": (4, gaussian_filter(mask, size[0] / 32))}
    for quality, factor in zip((3, 2, 1), NOISES, strict=True):
        maps[f"logo + {factor:g} noise"] = (quality, mask + factor * noise)
    for quality, steps in ((3, 1), (2, 2), (0, 4)):
        # the logo lies at the bottom
        maps[f"logo, moved {steps}/3"] = (quality, np.roll(mask, -round(steps / 3 * height), axis=0))
    maps["object"] = (0, (scene.object & ~scene.logo).astype(float))
    maps["random pixels"] = (0, rng.random(size))
    rows, columns = np.meshgrid(*(np.linspace(-0.5, 0.5, length) for length in size), indexing="ij")
    for name, width in (("small", 1 / 8), ("wide", 1 / 2)):
        maps[f"centred blob, {name}"] = (0, np.exp(-(rows**2 + columns**2) / 2 / width**2))
    return maps


class Study:
    """Values of all metrics for all maps of all scenes.

    Attributes:
        maps: names; quality: of each, -1 where it is not known (maps of real methods).
        values: (metrics, maps, scenes), signed so that higher is better.
    """

    def __init__(self, classifier: Encoder, cases: Sequence[Case], metrics: Sequence[str], seed: int) -> None:
        known = [known_maps(case.scene, seed + i) for i, case in enumerate(cases)]
        self.inputs = torch.cat([case.x for case in cases])
        self.classifier = classifier
        self.masks = np.stack([case.scene.logo for case in cases])
        weights = torch.eye(len(CLASSES))[[TRUCK] * len(cases)]
        real = {name: MAP_METHODS[name](classifier, self.inputs, weights) for name in REAL}
        tables: dict[str, Any] = {name: np.stack([maps[name][1] for maps in known]) for name in known[0]}
        tables |= real
        self.maps = (*tables, *CONTROLS)
        self.quality = np.array([known[0][name][0] if name in known[0] else -(name in real) for name in self.maps])
        controls = [control_maps(self.masks.shape[1:], seed + i) for i in range(len(cases))]
        for name in CONTROLS:
            tables[name] = [maps[name] for maps in controls]
        self.area, self.smoothness = self._extents(tables)
        self.metrics = metrics
        self.names: list[str] = []
        self.values = self._judged({name: tables[name] for name in self.maps if name not in CONTROLS}, seed)

    def _extents(self, tables: Mapping[str, Any]) -> tuple[Map, Map]:
        """Mean of the mask, and its negative total variation: (maps, scenes) each."""
        size = self.masks.shape[1:]
        masks = [[as_mask(enlarged(map_, size)) for map_ in tables[name]] for name in self.maps]
        area = np.array([[complexity(mask) for mask in row] for row in masks])
        steps = [[sum(float(mask.diff(dim=axis).abs().mean()) for axis in (0, 1)) for mask in row] for row in masks]
        return area, -np.array(steps)

    def _judged(self, tables: Mapping[str, Any], seed: int) -> NDArray[np.float64]:
        score = partial(probability, self.classifier)
        count = len(self.inputs)
        # those of known quality do not depend on the image, so that they are coherent by construction
        remaps = {name: [partial(_same, table[i]) for i in range(count)] for name, table in tables.items()}
        weights = torch.eye(len(CLASSES))[[TRUCK]]
        remaps |= {name: [partial(_again, name, self.classifier, weights)] * count for name in REAL}
        values = []
        for reference in REFERENCES:
            black = self.classifier.input_range[0].view(1, 3, 1, 1).expand(1, *self.inputs.shape[1:])
            asked = [name for name in self.metrics if reference == REFERENCES[0] or name in REMOVING]
            if not asked:
                continue
            judgement = judge(
                score,
                self.inputs,
                tables,
                metrics=asked,
                masks=self.masks,
                remaps=remaps,
                reference=black if reference == "black" else reference,
                random_state=seed,
            )
            self.names += [f"{name}, {reference}" if name in REMOVING else name for name in asked]
            signs = np.array([METRICS[name].sign or 1 for name in asked])
            values.append(judgement.values * signs[:, None, None])
        return np.concatenate(values)

    def maps_table(self) -> pd.DataFrame:
        """A row a map: its quality, and the mean of each metric."""
        means = {
            name: np.nanmean(values, axis=1) * self._sign(name)
            for name, values in zip(self.names, self.values, strict=True)
        }
        quality = [value if value >= 0 else np.nan for value in self.quality]
        return pd.DataFrame({"map": self.maps, "quality": quality, **means})

    def metrics_table(self) -> pd.DataFrame:
        """A row a metric of quality, the best first."""
        rows = []
        nothing = self.quality == 0
        for name, values in zip(self.names, self.values, strict=True):
            if not METRICS[name.partition(",")[0]].better:
                continue
            per_scene = values.T
            row = with_interval({"metric": name}, "tau", np.array([tau(scene, self.quality) for scene in per_scene]))
            beaten = np.array([float(scene[nothing].max() >= scene[0]) for scene in per_scene])
            row = with_interval(row, "beaten", beaten)
            outdone = np.array([float(np.nanmax(scene[self.quality < 0]) > scene[0]) for scene in per_scene])
            row = with_interval(row, "outdone", outdone)
            for what, extents in (("area", self.area), ("smoothness", self.smoothness)):
                pairs = zip(per_scene[:, nothing], extents.T[:, nothing], strict=True)
                row = with_interval(row, what, np.array([rank_correlation(*pair) for pair in pairs]))
            rows.append(row)
        return pd.DataFrame(rows).sort_values("tau", ascending=False, kind="stable")

    def _sign(self, name: str) -> int:
        return METRICS[name.partition(",")[0]].sign or 1


def _same(map_: Any, _x: Tensor) -> Any:
    return map_


def _again(name: str, classifier: Encoder, weights: Tensor, x: Tensor) -> Any:
    return MAP_METHODS[name](classifier, x, weights)[0]


def tau(values: Map, quality: NDArray[np.int64]) -> float:
    """Concordant less discordant pairs of maps, over all pairs of different known quality."""
    known = quality >= 0
    order = np.sign(np.subtract.outer(quality[known], quality[known]))
    agree = np.sign(np.subtract.outer(values[known], values[known])) * order
    return float(agree.sum() / np.abs(order).sum())


def rank_correlation(first: Map, second: Map) -> float:
    """Spearman's; 0 where one of both is the same everywhere."""
    a, b = rankdata(first), rankdata(second)
    return float(np.corrcoef(a, b)[0, 1]) if np.ptp(a) and np.ptp(b) else 0.0


def with_interval(row: dict[str, Any], name: str, values: Map) -> dict[str, Any]:
    """The row with a mean and its 95 % interval."""
    valid = values[np.isfinite(values)]
    low, high = mean_interval(valid)
    return row | {name: float(valid.mean()), f"{name}_low": low, f"{name}_high": high}


if __name__ == "__main__":
    main()
