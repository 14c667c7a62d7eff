"""How often a proof confirms what a network relies on, and how often what is no more than its placebos.

    python experiments/benchmarks/proof_power.py --photographs DIR [--models M ...] [--repeats 50] [--first 0]
                                                 [--out DIR] [--smoke]

DIR holds photographs, ``data/imagenet_sample`` for instance. Each proof adds an artefact to 10 images that are drawn
anew. On `efficientnet-lite0` the artefact is the watermark of ImageNet-W, on photographs; on `tiny-clip` the logo that
was planted in its training, on drawings of vehicles. Nulls, of which at most one in twenty may be confirmed:

* content: drawn from the very family of placebos, with content of pictures that take no further part;
* object: the middle of another picture in the middle of all images, between a third and six tenths of their side;
* text: other words where the artefact lies, of about its area (letters of a random text);
* shuffled: the artefact with its pieces shuffled, for the question whether what it shows matters.

What is no null is said by the column *exceeds*: how often the effect is above the mean of its placebos. So does most
text on `tiny-clip`, and shuffled strokes of ImageNet-W on both questions but the second. A null whose verdict is
certain gets no more placebos; that changes no verdict. Every line is written when it is measured; a run that was
interrupted goes on behind the last one.
"""

from __future__ import annotations

import argparse
import string
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))  # the checkout, wherever this is started from

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from PIL import Image

from chinspect.artefacts import Artefact, imagenet_w, text_logo, watermark
from chinspect.encoders import load_encoder
from chinspect.files import output_folder
from chinspect.images import list_images, open_image
from chinspect.intervals import wilson
from chinspect.proof.contents import Contents, shuffled
from chinspect.proof.experiment import Experiment
from chinspect.proof.family import decide
from chinspect.proof.placebos import mean_view
from chinspect.proof.trial import SHUFFLED, Rule
from chinspect.world import VEHICLES, scenes
from experiments.faithfulness.photographs import onnx_session
from experiments.study import option, read_options, refuse

Pixels = NDArray[np.uint8]
MODELS = ("efficientnet-lite0", "tiny-clip")
KINDS = ("artefact", "content", "object", "text", "shuffled")
COLUMNS = ["model", "kind", "repeat"]
OPTIONS = (
    option("photographs", None, "folder of photographs", type=Path),
    option("models", list(MODELS)),
    option("kinds", list(KINDS)),
    option("repeats", 50, "of each kind"),
    option("first", 0, "the number of the first, which draws fresh images and nulls"),
    option("images", 10, "that each proof edits"),
)
SMOKE = {"repeats": 1, "models": ["tiny-clip"], "images": 10}
_LEVEL = 0.05
_SHUFFLED = ("artefact", "shuffled")  # that the second question is asked of
_ASKED = 5  # every so manieth shuffle is asked the first question as well, which takes long where the answer is yes
_STEP = 4  # placebos between two looks at a null that may be certain already


class Fast:
    """An encoder that ONNX Runtime runs."""

    kind = "encoder"
    device = "cpu"

    def __init__(self, name: str) -> None:
        self.encoder = load_encoder(name)
        self.fingerprint = self.encoder.fingerprint
        self._respond = onnx_session(self.encoder)

    def see(self, images: Sequence[Pixels]) -> list[Pixels]:
        return self.encoder.see(images)

    def respond(self, images: Sequence[Pixels]) -> NDArray[np.float64]:
        mean, std = (np.reshape(values, (3, 1, 1)) for values in self._statistics)
        x = (np.stack(images).transpose(0, 3, 1, 2) / 255 - mean) / std
        inputs = torch.from_numpy(x.astype(np.float32))
        return torch.cat([self._respond(batch) for batch in inputs.split(16)]).double().numpy()

    def explain(self, images: Sequence[Pixels], weights: NDArray[Any], *, bands: int = 0) -> NDArray[np.float32]:
        raise NotImplementedError

    @property
    def _statistics(self) -> tuple[Sequence[float], Sequence[float]]:
        return self.encoder.preprocessing.mean, self.encoder.preprocessing.std


def main() -> None:
    """Measures every case that the table lacks, and prints rates with intervals."""
    options = read_options(__doc__, OPTIONS, out="results/proof_power", smoke=SMOKE)
    path = output_folder(options.out) / "cases.csv"
    done = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=COLUMNS)
    seen = set(done[COLUMNS].itertuples(index=False, name=None))
    for model in options.models:
        subject = Fast(model)
        pictures = subject.see(pictures_for(model, options))
        for kind, repeat in order(options):
            if (model, kind, repeat) not in seen:
                row = {"model": model, "kind": kind, "repeat": repeat} | measure(
                    subject, pictures, kind, repeat, options
                )
                pd.DataFrame([row]).to_csv(path, mode="a", header=not path.exists(), index=False)
    print(summary(pd.read_csv(path)).to_string(index=False))


def order(options: argparse.Namespace) -> Iterator[tuple[str, int]]:
    """Kinds by turns, so that an interrupted run has some of each; the artefact half as often, as it takes longer."""
    for repeat in range(options.first, options.first + options.repeats):
        for kind in options.kinds:
            if kind != "artefact" or repeat % 2 == 0:
                yield kind, repeat


def pictures_for(model: str, options: argparse.Namespace) -> list[Pixels]:
    """All images of the study: drawings for a network that was trained on drawings, photographs for others."""
    if model == "tiny-clip":
        return [scene.image for scene in scenes(200, seed=11, classes=tuple(VEHICLES), logo=None)]
    if options.photographs is None:
        refuse(f"{model} is tested on photographs: name a folder with --photographs.")
    return [np.array(open_image(path)) for path in list_images(options.photographs)]


def measure(
    subject: Fast, pictures: Sequence[Pixels], kind: str, repeat: int, options: argparse.Namespace
) -> dict[str, Any]:
    """One proof."""
    rng = np.random.default_rng([repeat, KINDS.index(kind)])
    drawn = rng.permutation(len(pictures))
    images = [pictures[i] for i in drawn[: options.images]]
    others = [pictures[i] for i in drawn[options.images :]]
    artefact = artefact_of(kind, subject.encoder.name, images, others, rng)
    experiment = Experiment(subject, artefact, "add", images, [*images, *others[1:]], repeat)
    rule = Rule(_LEVEL, 1, 2000, repeat)
    experiment.measure(_STEP)
    p_value = 1.0
    if (kind != "shuffled" or repeat % _ASKED == 0) and not decided_early(experiment):
        p_value = decide([experiment], rule)[0]
    specific = False
    if kind in _SHUFFLED:
        specific = what_it_shows_matters(experiment)
    trial = experiment.trial(rule, p_value)
    return {
        "effect": trial.effect,
        "excess": trial.excess[0],
        "strength": trial.strength,
        "placebos": len(trial.placebos),
        "exceeded": trial.exceeded,
        "p_value": p_value,
        "asked": kind != "shuffled" or repeat % _ASKED == 0,
        "confirmed": trial.passed,
        "undecided": trial.leans and not trial.passed,
        "specific": specific,
        "shuffled": trial.shuffled_fraction,
    }


def decided_early(experiment: Experiment) -> bool:
    """Whether so many placebos do as much that nothing can confirm it any more, after as few placebos as that takes."""
    count = 0
    while count < round(2 / _LEVEL) - 1:
        count += _STEP
        experiment.measure(min(count, round(2 / _LEVEL) - 1))
        if (experiment.statistics[1:] >= experiment.statistics[0]).sum() >= 5:  # of 199, four may do as much
            return True
    return False


def what_it_shows_matters(experiment: Experiment) -> bool:
    """The second question, stopped when two of 39 shuffles do as much."""
    for count in range(1, 40):
        experiment.shuffle(count)
        shuffles = [means["similarity_gain"] for means in experiment.effects[SHUFFLED]]
        if sum(shuffle >= experiment.statistics[0] for shuffle in shuffles) > 1:
            return False
    return True


def artefact_of(
    kind: str, model: str, images: Sequence[Pixels], others: Sequence[Pixels], rng: np.random.Generator
) -> Artefact:
    """The artefact of a case; the first of the others lends its content to nulls, and to no placebo."""
    photographs = model != "tiny-clip"
    base = imagenet_w() if photographs else text_logo()
    if kind == "content":
        before = mean_view(base, images)
        after = mean_view(base, [base.add(image) for image in images])
        return Contents(base, before, after, others[:1], rng).draw()[0]
    if kind == "object":
        return centred(others[0], rng.uniform(1 / 3, 0.6))
    if kind == "text":
        text = "".join(rng.choice(list(string.ascii_uppercase), rng.integers(5, 9)))
        return watermark(text, width=0.95, opacity=0.5) if photographs else text_logo(text)
    return shuffled(base, rng) if kind == "shuffled" else base


def centred(picture: Pixels, side: float) -> Artefact:
    """The middle of a picture, cut out in an ellipse."""
    size = 224
    content = np.asarray(Image.fromarray(picture).resize((size, size)), np.float32) / 255
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    return Artefact("object", content, (np.add.outer(axis**2, axis**2) < side**2).astype(np.float32))


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Rates of each kind, with Wilson's intervals."""
    rows = []
    for (model, kind), cases in table.groupby(["model", "kind"], sort=False):
        row: dict[str, Any] = {"model": model, "kind": kind, "proofs": len(cases)}
        for name in ("confirmed", "undecided", "specific"):
            asked = cases[cases.asked] if name != "specific" else cases[[kind in _SHUFFLED] * len(cases)]
            row[name] = rate(int(asked[name].sum()), len(asked))
        row["exceeds"] = f"{(cases.excess > 0).mean():.2f}"
        row |= {"effect": f"{cases.effect.median():.3f}", "strength": f"{cases.strength.median():.1f}"}
        rows.append(row)
    return pd.DataFrame(rows)


def rate(count: int, number: int) -> str:
    """A rate with its interval, and of how many."""
    if not number:
        return "-"
    low, high = wilson(count, number)
    return f"{count}/{number} [{low:.2f}, {high:.2f}]"


if __name__ == "__main__":
    main()
