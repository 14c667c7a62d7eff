"""What the verbs ``fit`` and ``score`` do: a detector made by the name of its kind, and scores of many images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.markup import escape

from chinspect.anomaly.d2neighbors import D2Neighbors
from chinspect.anomaly.detector import Detector
from chinspect.anomaly.filters import Blur
from chinspect.anomaly.images import Images
from chinspect.anomaly.labelled import Separation, separation
from chinspect.anomaly.patchcore import PatchCore
from chinspect.anomaly.persistence import save_detector
from chinspect.digests import digest_of_json
from chinspect.errors import InputError, did_you_mean
from chinspect.execute import Samples, load_samples, map_images
from chinspect.files import check_output_file, replacing, shown
from chinspect.images import AnyImage
from chinspect.report import Result, records

KINDS: Mapping[str, Callable[..., Detector]] = {"d2neighbors": D2Neighbors, "patchcore": PatchCore}
_BATCH = 32  # images that are lost at most when a run is stopped


def fit(
    kind: str, images: Images, *, path: str | Path | None = None, blur: float | None = None, **parameters: Any
) -> Detector:
    """Fits a detector on normal images, and writes it to a file.

    Args:
        kind: a name of `KINDS`.
        images: as `Detector` takes them.
        path: file to write to; None for none.
        blur: images are blurred by a Gaussian of this standard deviation in pixels first; see `Blur.of_sigma`.
        parameters: of the detector.

    Raises `InputError` for another kind, a file that cannot be written to (before the work), and what the detector
    refuses.
    """
    if path is not None:
        check_output_file(path)
    if kind not in KINDS:
        raise InputError(f"unknown detector {kind!r}{did_you_mean(kind, KINDS)}: choose {' or '.join(KINDS)}.")
    if blur is not None:
        parameters["layer"] = Blur.of_sigma(blur)
    detector = KINDS[kind](**parameters).fit(images)
    if path is not None:
        save_detector(detector, path)
    return detector


@dataclass(frozen=True, eq=False, repr=False)
class Scores(Result):
    """Anomaly scores of images on disk; see `score`.

    Attributes:
        threshold: the score above which an image is called anomalous.
        table: one row an image: ``image`` (its path), ``score`` and ``anomalous``.
    """

    stem: ClassVar[str] = "scores"

    threshold: float
    table: pd.DataFrame

    @property
    def separation(self) -> Separation | None:
        """How well the scores tell defects from normal images; None unless folders say which is which."""
        return separation(self.table["image"].tolist(), self.table["score"].to_numpy())

    @property
    def sentence(self) -> str:
        """How many images are anomalous, and whether the scores tell defects from normal images."""
        count = int(self.table["anomalous"].sum())
        exceed = f"{count} of {len(self.table)} images exceed the threshold {self.threshold:.5g}"
        separation = self.separation
        return exceed if separation is None else f"{exceed}\n{separation.sentence}"

    def document(self) -> dict[str, Any]:
        """The threshold, the table and, where folders say which images are normal, the AUROC."""
        separation = self.separation
        judged = {} if separation is None else {"separation": separation.document()}
        return {"threshold": self.threshold, "images": records(self.table), **judged}

    def tables(self) -> Mapping[str, pd.DataFrame]:
        """The table."""
        return {self.stem: self.table}

    def show(self) -> None:
        """Prints one line an image, never wrapped, and the sentence."""
        console = Console(highlight=False, soft_wrap=True)
        for image, score, anomalous in self.table.itertuples(index=False):
            verdict = "[red]anomalous[/red]" if anomalous else "normal   "
            console.print(f"{score:12.5g}  {verdict}  {escape(image)}")
        console.print(self.sentence)


def score(
    detector: Detector,
    images: Sequence[AnyImage],
    *,
    csv: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Scores:
    """Scores images, and writes the table to a file.

    Args:
        detector: fitted.
        images: paths, pictures, arrays or tensors; those in memory get the names of the files that they are put into.
        csv: file of the table; None for none. With one, a run that is stopped leaves what it has done in the folder
            ``.NAME.resume`` beside it, and the same call goes on there.
        progress: called with the number of images done and in all.

    Raises `InputError` for an image that cannot be read, or a file that cannot be written to (before the work).
    """
    paths = [image for image in images if isinstance(image, str | Path)]
    if len(paths) < len(images):
        paths = [*load_samples(images).paths]
    scoring = _Scoring(detector)
    samples = Samples(Path(), tuple(map(str, paths)))
    target = None if csv is None else Path(csv)
    leftover = None
    resume = None
    if target is not None:
        check_output_file(target)
        leftover = target.with_name(f".{target.name}.resume")
        # a folder for each detector and set of images: what others left is not in the way
        resume = leftover / digest_of_json({**scoring.description, **samples.description})[:16]
    results = map_images(scoring, samples, resume, shard_size=_BATCH, strict=True, progress=progress)
    scores = results.arrays("scores")
    columns = {"image": [shown(path) for path in paths], "score": scores, "anomalous": scores > detector.threshold_}
    table = pd.DataFrame(columns)
    if target is not None and leftover is not None:
        with replacing(target) as temporary:
            table.to_csv(temporary, index=False)
        rmtree(leftover, ignore_errors=True)
    return Scores(detector.threshold_, table)


@dataclass(frozen=True, eq=False)
class _Scoring:
    """The work of `score`, see `chinspect.execute.map_images`."""

    detector: Detector
    device: str = "cpu"

    @property
    def description(self) -> dict[str, Any]:
        return {"detector": self.detector.fingerprint}

    def __call__(self, pictures: Sequence[Image.Image], indices: range) -> dict[str, NDArray[np.float64]]:  # noqa: ARG002
        seen = self.detector.see([np.asarray(picture) for picture in pictures])
        return {"scores": self.detector.respond(seen)[:, 0]}
