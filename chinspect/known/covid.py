"""COVID-19 on chest X-rays of two collections: a readout that calls what comes from one of them.

A linear support vector machine on the embeddings, fitted and judged on different patients. Where it goes by the
collection it calls healthy images of the one that has the COVID-19 cases: the false positive rate there, beside the
other collection's.

On disk ``nih`` and ``github`` as their owners give them, or folders SOURCE_class; see `chinspect.datasets`.

Source: Kauffmann et al. 2025 (10.1038/s42256-025-01000-2).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from chinspect.datasets import XrayImages, load_github, load_nih, load_xray_folders
from chinspect.execute import Samples
from chinspect.images import open_image
from chinspect.known.effect import Findings, Options
from chinspect.known.models import Models
from chinspect.known.rows import Row, rate_row
from chinspect.readouts import Pictures, balanced_accuracy, embeddings, linear_readout, measured_row

ALL = "all"
ACCURACY = "balanced accuracy"
FALSE = "false positive rate"


def measure_covid(models: Models, data: Path, options: Options) -> Findings:
    """The protocol; ``options.images`` limits the images of each source."""
    images = load_sources(data).limited(options.images, seed=options.seed)
    train, test = images.split(seed=options.seed)
    values = {name: embeddings(models.encoder, _pictures(part)) for name, part in (("train", train), ("test", test))}
    model = linear_readout("svm").fit(values["train"], np.array(train.labels))
    called = model.predict(values["test"]) == 1
    truth = np.array(test.labels) == 1
    sources = np.array(test.sources)
    right = called == truth
    rows: list[Row] = [
        measured_row(ACCURACY, ALL, balanced_accuracy(right, truth.astype(np.intp), options.seed), len(test))
    ]
    notes = [*images.notes]
    for source in sorted({*test.sources}):
        own = sources == source
        if {*truth[own]} == {False, True}:
            values_of = balanced_accuracy(right[own], truth[own].astype(np.intp), options.seed)
            rows.append(measured_row(ACCURACY, source, values_of, int(own.sum())))
        if (own & ~truth).any():
            rows.append(rate_row(FALSE, source, called[own & ~truth]))
        else:
            notes.append(f"No {FALSE} of {source}: all its images are positive.")
    shown = {
        source: np.asarray(open_image(test.paths[int(np.flatnonzero(sources == source)[0])])) for source in {*sources}
    }
    return Findings(pd.DataFrame(rows), len(test), notes, {str(name): shown[name] for name in sorted(shown)})


def load_sources(data: Path) -> XrayImages:
    """Both collections. Raises `InputError` for a folder in another layout."""
    root = Path(data)
    if (root / "github" / "metadata.csv").is_file():
        return load_github(root / "github") + load_nih(root / "nih")
    return load_xray_folders(root)


def _pictures(images: XrayImages) -> Pictures:
    return Pictures(Samples(Path("/"), tuple(str(path.resolve()) for path in images.paths)))
