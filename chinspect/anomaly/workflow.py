"""What the verbs ``fit`` and ``score`` do: a detector made by the name of its kind, and scores of many images."""

from __future__ import annotations

import warnings
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

from chinspect.anomaly._progress import reporting
from chinspect.anomaly.d2neighbors import D2Neighbors
from chinspect.anomaly.detector import Detector
from chinspect.anomaly.filters import Blur
from chinspect.anomaly.images import Images, image_paths
from chinspect.anomaly.labelled import Separation, separation
from chinspect.anomaly.patchcore import PatchCore
from chinspect.anomaly.persistence import save_detector
from chinspect.digests import digest_of_json
from chinspect.errors import ImageWarning, InputError, MissingImageError, did_you_mean
from chinspect.execute import Samples, load_samples, map_images
from chinspect.files import check_output_file, replacing, shown
from chinspect.images import AnyImage, open_image
from chinspect.report import Result, records

KINDS: Mapping[str, Callable[..., Detector]] = {"d2neighbors": D2Neighbors, "patchcore": PatchCore}
_NAMED = 5  # images that cannot be read, of which the others are counted
_BATCH = 32  # images that are lost at most when a run is stopped


def fit(
    kind: str,
    images: Images,
    *,
    path: str | Path | None = None,
    blur: float | None = None,
    strict: bool = True,
    progress: Callable[[int, int], None] | None = None,
    **parameters: Any,
) -> Detector:
    """Fits a detector on normal images, and writes it to a file.

    Args:
        kind: a name of `KINDS`.
        images: as `Detector` takes them.
        path: file to write to; None for none.
        blur: images are blurred by a Gaussian of this standard deviation in pixels first; see `Blur.of_sigma`.
        strict: raise for an image that cannot be read; else it is left out, which a warning (`ImageWarning`) tells.
        progress: called with how many images are read, how many of them the network has seen and how many of the
            held-out parts are scored, and with how many there are; one after the other.
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
    detector = KINDS[kind](**parameters)
    with reporting(progress):
        if strict:
            detector.fit(images)
        else:
            _fit_readable(detector, images)
    if path is not None:
        save_detector(detector, path)
    return detector


def _fit_readable(detector: Detector, images: Images) -> None:
    """Fits on those images that can be read; `InputError` where none can, or something else is wrong."""
    try:
        detector.fit(images)
    except InputError:
        # looked for only now, as to decode all images takes as long as to read them
        paths = image_paths(images) or []
        unreadable = [path for path in paths if not _can_open(path)]
        if not 0 < len(unreadable) < len(paths):
            raise
        warnings.warn(left_out([shown(path) for path in unreadable], len(paths)), ImageWarning, stacklevel=3)
        detector.fit([path for path in map(Path, paths) if path not in set(map(Path, unreadable))])


def _can_open(path: str | Path) -> bool:
    """Whether an image can be read; `MissingImageError` where there is no file."""
    try:
        open_image(path)
    except MissingImageError:
        raise
    except InputError:
        return False
    return True


def left_out(unreadable: Sequence[str], total: int) -> str:
    """Which of so many images cannot be read, in words."""
    named = ", ".join(map(repr, unreadable[:_NAMED]))
    others = f" and {len(unreadable) - _NAMED} more" if len(unreadable) > _NAMED else ""
    verb = "is" if len(unreadable) == 1 else "are"
    return f"{len(unreadable)} of {total} images cannot be read and {verb} left out: {named}{others}."


@dataclass(frozen=True, eq=False, repr=False)
class Scores(Result):
    """Anomaly scores of images on disk; see `score`.

    Attributes:
        threshold: the score above which an image is called anomalous.
        table: one row an image: ``image`` (its path), ``score`` and ``anomalous``.
        unreadable: paths of images that cannot be read, and have no row.
    """

    stem: ClassVar[str] = "scores"

    threshold: float
    table: pd.DataFrame
    unreadable: tuple[str, ...] = ()

    @property
    def separation(self) -> Separation | None:
        """How well the scores tell defects from normal images; None unless folders say which is which."""
        return separation(self.table["image"].tolist(), self.table["score"].to_numpy())

    @property
    def sentence(self) -> str:
        """How many images are anomalous, and whether the scores tell defects from normal images."""
        count = int(self.table["anomalous"].sum())
        lines = [f"{count} of {len(self.table)} images exceed the threshold {self.threshold:.5g}"]
        if self.separation is not None:
            lines.append(self.separation.sentence)
        if self.unreadable:
            lines.append(left_out(self.unreadable, len(self.table) + len(self.unreadable)))
        return "\n".join(lines)

    def document(self) -> dict[str, Any]:
        """The threshold, the table, which images cannot be read and, where folders say which are normal, the AUROC."""
        separation = self.separation
        judged = {} if separation is None else {"separation": separation.document()}
        rows = {"threshold": self.threshold, "images": records(self.table), "unreadable": list(self.unreadable)}
        return rows | judged

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
    strict: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> Scores:
    """Scores images, and writes the table to a file.

    Args:
        detector: fitted.
        images: paths, pictures, arrays or tensors; those in memory get the names of the files that they are put into.
        csv: file of the table; None for none. With one, a run that is stopped leaves what it has done in the folder
            ``.NAME.resume`` beside it, and the same call goes on there.
        strict: raise for an image that cannot be read; else it is left out.
        progress: called with the number of images done and in all.

    Raises `InputError` for an image that cannot be read, or where none can, or a file that cannot be written to (before
    the work).
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
    results = map_images(scoring, samples, resume, shard_size=_BATCH, strict=strict, progress=progress)
    scores = results.arrays("scores")
    columns = {"image": [shown(path) for path in paths], "score": scores, "anomalous": scores > detector.threshold_}
    table = pd.DataFrame(columns)
    unreadable: tuple[str, ...] = ()
    if not strict:
        readable = results.arrays("readable")
        unreadable = tuple(table["image"][~readable])
        table = table[readable].reset_index(drop=True)
        if not len(table):
            raise InputError(f"none of {len(paths)} images can be read, such as {unreadable[0]!r}.")
    if target is not None and leftover is not None:
        with replacing(target) as temporary:
            table.to_csv(temporary, index=False)
        rmtree(leftover, ignore_errors=True)
    return Scores(detector.threshold_, table, unreadable)


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
