"""The whole loop in one call.

    audit = audit_model("efficientnet-lite0", "photographs", path="audited")
    audit.show()
    audit.save("audited")

Named after what it does to a model, since `chinspect.audit` is the package.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from chinspect.audit.encoders import Options, audit_encoder
from chinspect.audit.plan import Plan
from chinspect.audit.result import Audit
from chinspect.audit.steps import Progress
from chinspect.encoders import Encoder, as_encoder
from chinspect.errors import InputError
from chinspect.execute import Samples, Source, load_samples, read_column
from chinspect.readouts import FOLDER
from chinspect.spray import load_labels

FEWEST = 20
"""Images that an audit takes at least: a proof compares ten with it with ten without."""


def audit_model(
    model: Encoder | str,
    images: Source,
    *,
    labels: str | Path | Sequence[str] | None = None,
    confounder: str | Path | Sequence[str] | None = None,
    mitigate: bool = False,
    path: str | Path | None = None,
    budget: float | None = None,
    workers: int = 0,
    n_surrogates: int = 99,
    seed: int = 0,
    force: bool = False,
    announce: Callable[[Plan], None] | None = None,
    progress: Progress | None = None,
) -> Audit:
    """Finds, proves and, if asked, mends what an encoder goes by that it should not.

    Args:
        model: an encoder, or the name of one (see `load_encoder`).
        images: the data set: a folder, a list or table of paths, or a list of images (see `load_samples`).
        labels: classes: ``folder``, a table with the columns path and label, or one text an image. With them each class
            is analysed on its own as well.
        confounder: what images should not be neighbours for, such as their hospital: ``folder`` for the folder that an
            image lies in, a CSV file with the columns path and confounder, or one text an image. Needs labels.
        mitigate: whether the encoder is pruned of what is confirmed, and tested again.
        path: the folder of the run, from which the same call goes on where it was stopped; None remembers nothing.
        budget: minutes that it may take: images are sampled, and steps that were not asked for left out, until the
            estimates of the plan fit.
        workers: 0 to work in this process, else how many workers on Ray explain images.
        n_surrogates: data sets of moved maps that sets of alike maps are compared with.
        seed: of whatever chance decides.
        force: start anew in a folder that holds an audit of something else.
        announce: called with the plan before anything long begins.
        progress: called with the step, and the number done and in all.

    Returns:
        The audit; where it was interrupted, of what was done until then (`Audit.stopped`).

    Raises `InputError` for images, labels, a confounder or a folder that do not fit, before anything is computed, and
    for a budget that cannot be kept.
    """
    encoder = as_encoder(model)
    samples = load_samples(images)
    if len(samples) < FEWEST:
        raise InputError(f"an audit takes {FEWEST} images at least, and {str(samples.root)!r} has {len(samples)}.")
    if budget is not None and not budget > 0:
        raise InputError(f"a budget is a number of minutes above 0, not {budget!r}.")
    classes = load_labels(labels, samples.names, samples.paths)
    options = Options(
        labels=None if classes is None else [str(label) for label in classes],
        confounders=_confounders(confounder, samples),
        mitigate=mitigate,
        workers=workers,
        budget=budget,
        surrogates=n_surrogates,
        seed=seed,
    )
    if options.confounders is not None and options.labels is None:
        raise InputError("a confounder is measured beside the class: give labels as well.")
    if path is not None:
        return audit_encoder(encoder, samples, options, Path(path), force=force, announce=announce, progress=progress)
    with TemporaryDirectory(prefix="chinspect-") as folder:
        return audit_encoder(encoder, samples, options, Path(folder), announce=announce, progress=progress)


def _confounders(source: str | Path | Sequence[str] | None, samples: Samples) -> list[str] | None:
    if source is None:
        return None
    if not isinstance(source, str | Path):
        if len(source) != len(samples):
            raise InputError(f"confounders are one for each of {len(samples)} images, and there are {len(source)}.")
        return [str(name) for name in source]
    if str(source) == FOLDER:
        return [Path(os.path.abspath(path)).parent.name for path in samples.paths]
    return read_column(source, samples.names, samples.paths, "confounder")
