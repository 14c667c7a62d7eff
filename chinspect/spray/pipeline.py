"""The whole analysis of a data set in one call: explain its images, cluster the maps, and keep the images at hand.

run = analyse("efficientnet-lite0", "photographs", path="run")
run.show()
run.save("run")
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike
from PIL import Image

from chinspect.digests import digest_of_json
from chinspect.encoders import as_encoder
from chinspect.errors import InputError
from chinspect.execute import Samples, Source, load_samples
from chinspect.explain import Explain, ExplainedImages, explain_images, map_deletions, question_for, seen_by
from chinspect.images import Preprocessing, cropped_in_words
from chinspect.spray.analysis import SpRAy
from chinspect.spray.ground import grounded
from chinspect.spray.maps import Labels, load_labels, load_maps
from chinspect.spray.run import SprayRun, check_output
from chinspect.subjects import Subject


def analyse(
    subject: Subject | str,
    images: Source,
    *,
    explain: Explain | None = None,
    labels: Labels = None,
    n_surrogates: int = 99,
    path: str | Path | None = None,
    workers: int = 0,
    check: bool = True,
    progress: Callable[[int, int], None] | None = None,
    **options: Any,
) -> SprayRun:
    """Which strategies does a model use over a data set?

    Args:
        subject: an encoder or the name of one (see `load_encoder`), a fitted detector, or a classifier whose logits are
            a module.
        images: the data set: a folder, a list or table of paths, or a list of images (see `load_samples`).
        explain: the question, see `chinspect.explain.explain_images`; by default ``neighbours`` of an encoder,
            ``output`` of a classifier, and of a detector ``anomaly_map`` where it has such a map, else ``anomaly``.
        labels: with them each class is analysed on its own as well.
        n_surrogates: data sets of moved maps that p-values come from; 0 tests nothing.
        path: folder of the run, where `SprayRun.save` will write and explanations are stored, so that a run that was
            stopped goes on; None stores nothing.
        workers: 0 to explain in this process, else how many workers on Ray.
        check: whether the most relevant patches of some images are replaced, to see how faithful the maps are.
        progress: called with the number of images explained and in all, then with the number of surrogates.
        options: further ones of `explain_images`: targets, layer, k, method, composite, reference.

    Raises `InputError` where the question, the images, the labels or the folder do not fit, before anything is
    explained, and for fewer than 3 maps that differ.
    """
    subject = as_encoder(subject) if isinstance(subject, str) else subject
    question = question_for(subject, explain)
    samples = load_samples(images)
    classes = load_labels(labels, samples.names, samples.paths)
    store = None
    if path is not None:
        check_output(Path(path))
        # Another data set in the same folder has another store.
        store = Path(path) / "explanations" / f"{question}-{digest_of_json(samples.description)[:8]}"
    explained = explain_images(
        subject, samples, explain=question, path=store, workers=workers, progress=progress, **options
    )
    if classes is not None:
        label_of = dict(zip(samples.names, classes, strict=True))
        classes = [label_of[name] for name in explained.names]
    spatial = explained.maps.shape[1] > 1
    run = SprayRun(
        SpRAy(n_surrogates=n_surrogates).fit(explained.maps, classes, images=explained.paths, progress=progress),
        explained.maps,
        explained.names,
        paths=explained.paths,
        labels=classes,
        picture=explained.picture,
        made=explained.description | {"unreadable": list(explained.unreadable), "cropped": _cropped(explained)},
        scores={"value": explained.values, "conservation": explained.conservation},
        faithfulness=map_deletions(subject, explained) if check and spatial else None,
    )
    return grounded(run)


def analyse_maps(
    maps: str | Path | ArrayLike,
    *,
    images: Source | None = None,
    labels: Labels = None,
    subject: Subject | None = None,
    n_surrogates: int = 99,
    progress: Callable[[int, int], None] | None = None,
) -> SprayRun:
    """Which strategies do maps show that another tool has made?

    Args:
        maps: (N, H, W), or (N, C, H, W), whose channels are summed; or an .npy file of them.
        images: the images of the maps, in their order.
        labels: one a map; with them each class is analysed on its own as well.
        subject: the model that the maps explain: images are shown as it sees them.
        n_surrogates: data sets of moved maps that p-values come from; 0 tests nothing.
        progress: called with the number of surrogates done and in all.

    Raises `InputError` where maps, images and labels do not fit, and for fewer than 3 maps that differ.
    """
    values = load_maps(maps)
    samples = None if images is None else load_samples(images)
    if samples is not None and len(samples) != len(values):
        raise InputError(f"there are {len(values)} maps and {len(samples)} images: give one image for each map.")
    names = [f"map {i}" for i in range(len(values))] if samples is None else samples.names
    paths = None if samples is None else samples.paths
    classes = load_labels(labels, names, paths)
    run = SprayRun(
        SpRAy(n_surrogates=n_surrogates).fit(values, classes, images=paths, progress=progress),
        values,
        names,
        paths=paths,
        labels=classes,
        picture=None if samples is None else partial(_picture, samples, subject),
        made={
            "method": "given",
            "maps": str(maps) if isinstance(maps, str | Path) else None,
            "images": None if samples is None else str(samples.root),
        },
    )
    return grounded(run)


def _cropped(explained: ExplainedImages) -> str:
    """What encoders do not see of the images, in words."""
    fields = explained.description.get("preprocessing")  # detectors and classifiers have none of their own
    return "" if fields is None else cropped_in_words(Preprocessing(**fields), explained.paths)


def _picture(samples: Samples, subject: Subject | None, index: int) -> Image.Image:
    return samples[index] if subject is None else seen_by(subject, samples[index])
